//! Tiers made of what machines wrote, against models that know every value. Time is simulated.
//!
//! The first tests are the rows of the guide's acceptance of phase 2.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::collector::Collector;
use rondo_collector::store::ArchiveSettings;
use rondo_tests::simulation::{
    GUIDE, Host, Machine, S, SERIES, START, assert_tiers, expected, expected_rows, pass, schema, stored,
    world,
};
use rondo_writer::{ConsolidationFn, SchemaConfig, SeriesHandle, TierConfig};
use std::time::Duration;

/// A machine that lives from 0 on, with a pass in every second, and is over.
fn whole_life(seconds: u64, tiers: &[(u64, u64)]) -> (Host, Collector) {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host, "vm", schema(tiers));
    machine.live_and_pass(0..seconds, &host, &mut collector);
    drop(machine);
    pass(&mut collector, host.at(seconds));
    (host, collector)
}

#[test]
fn consolidate_downsamples_tier_0_to_tier_1_when_tier_0_wraps() {
    // The ring holds one minute, and comes round fifteen times.
    let tiers = [(1, 60), (10, 2_160)];
    let (_host, collector) = whole_life(900, &tiers);
    assert_eq!(stored(collector.archives(), "vm", 1, "gauge").len(), 90);
    assert_tiers(collector.archives(), "vm", 0..900, &tiers);
}

#[test]
fn cascade_works_from_tier_0_to_tier_1_to_tier_2() {
    let (_host, collector) = whole_life(900, &GUIDE);
    assert_eq!(stored(collector.archives(), "vm", 2, "gauge").len(), 3);
    assert_tiers(collector.archives(), "vm", 0..900, &GUIDE);
}

/// The last window has one second, and the gauge has no value in it.
#[test]
fn a_window_in_which_nothing_is_known_of_a_series_has_the_others() {
    let (_host, collector) = whole_life(11, &GUIDE);
    assert_eq!(world::gauge(10), None);
    let last = START + 10 * S;
    assert_eq!(stored(collector.archives(), "vm", 1, "gauge")[&last].known, 0);
    assert_eq!(
        stored(collector.archives(), "vm", 1, "counter_total")[&last].known,
        1
    );
    assert_tiers(collector.archives(), "vm", 0..11, &GUIDE);
}

/// Fifteen simulated minutes at 1 s, all six functions, all kinds, all tiers, to the bit.
#[test]
fn all_consolidation_functions_produce_correct_output() {
    let (_host, collector) = whole_life(900, &GUIDE);
    let of_gauge = stored(collector.archives(), "vm", 2, "gauge");
    let values: Vec<f64> = (0..300).filter_map(world::gauge).collect();
    let row = of_gauge[&START];
    assert_eq!(row.known as usize, values.len());
    assert_eq!(row.sum, Some(values.iter().sum()));
    assert_eq!(row.min, values.iter().copied().reduce(f64::min));
    assert_eq!(row.max, values.iter().copied().reduce(f64::max));
    assert_eq!(row.last, values.last().copied());
    assert_tiers(collector.archives(), "vm", 0..900, &GUIDE);
}

#[test]
fn nan_and_unknown_values_are_excluded_from_consolidation() {
    let (_host, collector) = whole_life(60, &GUIDE);
    let rows = stored(collector.archives(), "vm", 1, "gauge");
    // Seconds 3, 10, 17, 24, … have no value: the windows have 9 or 8 points, and their sums are of those.
    let known: Vec<u32> = rows.values().map(|row| row.known).collect();
    assert_eq!(known, [9, 8, 9, 8, 9, 8]);
    let first: f64 = (0..10).filter_map(world::gauge).sum();
    assert_eq!(rows[&START].sum, Some(first));
}

/// S4: every second is there, and so are the windows that the machine did not live to fill.
#[test]
fn a_45_second_machine_leaves_45_points_and_sealed_windows() {
    let (_host, collector) = whole_life(45, &GUIDE);
    assert_tiers(collector.archives(), "vm", 0..45, &GUIDE);
    assert_eq!(stored(collector.archives(), "vm", 1, "counter_total").len(), 5);
    assert_eq!(stored(collector.archives(), "vm", 2, "counter_total").len(), 1);
    let points = stored(collector.archives(), "vm", 0, "counter_total");
    assert_eq!(points.len(), 45);
    for (second, (t, point)) in points.into_iter().enumerate() {
        assert_eq!(t, START + second as u64 * S);
        assert_eq!(point.total, Some(world::counter(second as u64)));
    }
    let gauges = stored(collector.archives(), "vm", 0, "gauge");
    let expected: Vec<Option<f64>> = (0..45).map(world::gauge).collect();
    assert_eq!(
        gauges.values().map(|point| point.last).collect::<Vec<_>>(),
        expected
    );
}

/// Whatever it did not see it reads from the slab, as long as it is there: ten minutes, of which the window that was open
/// when it stopped is a part.
#[test]
fn a_collector_that_was_away_for_less_than_tier_0_holds_loses_nothing() {
    let host = Host::new();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    let mut now = 0;
    for (present, away) in [(95, 580), (7, 3), (601, 588)] {
        let mut collector = host.collector();
        machine.live_and_pass(now..now + present, &host, &mut collector);
        collector.finish(host.at(now + present));
        drop(collector);
        (now + present..now + present + away).for_each(|second| machine.live(second));
        now += present + away;
    }
    let mut collector = host.collector();
    drop(machine);
    pass(&mut collector, host.at(now));
    assert_tiers(collector.archives(), "vm", 0..now, &GUIDE);
    assert_eq!(collector.totals().tally.intervals_lost, 0);
}

#[test]
fn what_left_the_ring_unread_is_a_gap_that_is_counted() {
    let host = Host::new();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    let mut collector = host.collector();
    machine.live_and_pass(0..101, &host, &mut collector);
    // 101 to 999 come, and 400 to 999 stay.
    (101..1_000).for_each(|second| machine.live(second));
    pass(&mut collector, host.at(1_000));
    drop(machine);
    pass(&mut collector, host.at(1_001));
    assert_eq!(collector.totals().tally.intervals_lost, 400 - 100);
    let rows = stored(collector.archives(), "vm", 1, "gauge");
    let mut expected = expected_rows("gauge", 0..100, 10);
    expected.extend(expected_rows("gauge", 400..1_000, 10));
    assert_eq!(rows, expected);
    // Totals are what they are, gap or not.
    let counters = stored(collector.archives(), "vm", 2, "counter_total");
    assert_eq!(counters[&(START + 300 * S)].total, Some(world::counter(599)));
}

/// More series than one layout takes, some of them registered long after the others.
#[test]
fn series_that_come_later_and_slabs_of_many_series_are_stored_whole() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut writer = host.machine("vm", schema(&GUIDE).capacity(1_200, 0));
    let mut handles: Vec<SeriesHandle> = Vec::new();
    for second in 0..60 {
        for _ in 0..20 {
            let name = format!("gauge_{}", handles.len());
            handles.push(writer.gauge(&name).held().unwrap());
        }
        let now = START + second * S;
        for (index, &handle) in handles.iter().enumerate() {
            writer.record(handle, (second * 10_000 + index as u64) as f64, now);
        }
        writer.tick_at(now);
        pass(&mut collector, host.at(second));
    }
    drop(writer);
    pass(&mut collector, host.at(60));
    for index in [0, 19, 20, 511, 512, 777, 1_199] {
        let name = format!("gauge_{index}");
        let first = index as u64 / 20;
        let points = stored(collector.archives(), "vm", 0, &name);
        let known: Vec<u64> = points
            .iter()
            .filter(|(_, point)| point.known != 0)
            .map(|(t, _)| (t - START) / S)
            .collect();
        assert_eq!(known, (first..60).collect::<Vec<_>>(), "{name}");
        let rows = stored(collector.archives(), "vm", 1, &name);
        for (t, row) in rows.into_iter().filter(|(_, row)| row.known != 0) {
            let start = (t - START) / S;
            let values = (start.max(first)..start + 10).map(|second| (second * 10_000 + index as u64) as f64);
            assert_eq!(row.sum, Some(values.sum()), "{name} at {start}");
        }
    }
}

/// An average of averages would be wrong here: the first window has one value, the second ten.
#[test]
fn averages_are_weighted() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut writer = host.machine("vm", SchemaConfig::default());
    let gauge = writer.gauge("gauge").held().unwrap();
    for second in 0..20 {
        let now = START + second * S;
        if second == 4 || second >= 10 {
            writer.record(gauge, if second == 4 { 110.0 } else { 0.0 }, now);
        }
        writer.tick_at(now);
    }
    drop(writer);
    pass(&mut collector, host.at(20));
    let row = stored(collector.archives(), "vm", 2, "gauge")[&START];
    assert_eq!((row.known, row.sum), (11, Some(110.0)));
}

/// A tier keeps what the tiers after it need, beside what was asked of it.
#[test]
fn a_later_tier_may_have_functions_that_an_earlier_one_has_not() {
    let host = Host::new();
    let mut collector = host.collector();
    let tier = |seconds, functions: &[ConsolidationFn]| {
        TierConfig::new(Duration::from_secs(seconds), 100).with(functions)
    };
    let tiers = [
        tier(1, &[]),
        tier(10, &[]),
        tier(20, &[ConsolidationFn::Max, ConsolidationFn::Last]),
    ];
    let mut machine = Machine::start(&host, "vm", SchemaConfig::default().tiers(&tiers));
    machine.live_and_pass(0..40, &host, &mut collector);
    drop(machine);
    pass(&mut collector, host.at(40));
    let rows = stored(collector.archives(), "vm", 2, "gauge");
    let expected = expected("gauge", 20..40).unwrap();
    let row = rows[&(START + 20 * S)];
    assert_eq!(
        (row.max, row.last, row.min, row.sum),
        (expected.max, expected.last, None, None)
    );
    assert!(
        stored(collector.archives(), "vm", 1, "gauge")[&START]
            .sum
            .is_some()
    );
}

/// What was stored of a window is what queries have answered from: it never becomes something else, and what a
/// writer adds after it came back goes into the windows after it.
#[test]
fn a_sealed_window_does_not_change_when_the_slab_is_reopened() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    machine.live_and_pass(0..25, &host, &mut collector);
    let path = machine.writer.paths().next().unwrap().to_owned();
    drop(machine);
    pass(&mut collector, host.at(25));
    let sealed = stored(collector.archives(), "vm", 1, "gauge");
    assert_eq!(sealed.len(), 3);
    let mut writer = rondo_writer::Builder::reopen(&path).unwrap();
    let gauge = writer.gauge("gauge").held().unwrap();
    for second in 25..50 {
        writer.record(gauge, 1.0, START + second * S);
        writer.tick_at(START + second * S);
        pass(&mut collector, host.at(second));
    }
    drop(writer);
    pass(&mut collector, host.at(50));
    let rows = stored(collector.archives(), "vm", 1, "gauge");
    assert_eq!(rows.len(), 5);
    assert!(sealed.iter().all(|(t, row)| rows[t] == *row));
    assert_eq!(rows[&(START + 30 * S)].known, 10);
    // Of tier 0 nothing is missing.
    let points = stored(collector.archives(), "vm", 0, "gauge");
    assert_eq!(points.len(), 50);
}

/// A slab whose ring is shorter than a window of tier 1 is read before it comes round.
#[test]
fn a_ring_shorter_than_a_window_loses_nothing() {
    let tiers = [(1, 8), (60, 100), (300, 100)];
    let (_host, collector) = whole_life(390, &tiers);
    assert_tiers(collector.archives(), "vm", 0..390, &tiers);
}

/// A store that is far too small for the seconds of a machine still has its minutes, also after a restart that finds the rows
/// gone that the open window was made of.
#[test]
fn tier_2_is_right_although_tier_1_was_overwritten() {
    const SECONDS: u64 = 6_000;
    let host = Host::new();
    let mut settings = host.settings();
    settings.archives = ArchiveSettings {
        budget_bytes: 4 * (8_192 + 2 * 16_384),
        extent_bytes: 16_384,
    };
    let open = || Collector::open(settings.clone(), host.start).unwrap();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    let mut collector = open();
    machine.live_and_pass(0..SECONDS / 2, &host, &mut collector);
    collector.finish(host.at(SECONDS / 2));
    drop(collector);
    collector = open();
    machine.live_and_pass(SECONDS / 2..SECONDS, &host, &mut collector);
    drop(machine);
    pass(&mut collector, host.at(SECONDS));
    for name in SERIES {
        let of_tier_1 = stored(collector.archives(), "vm", 1, name);
        let (&oldest, _) = of_tier_1.first_key_value().unwrap();
        let oldest = (oldest - START) / S;
        assert!(
            (1_000..SECONDS - 600).contains(&oldest),
            "{name} from {oldest} on"
        );
        assert_eq!(of_tier_1, expected_rows(name, oldest..SECONDS, 10), "{name}");
        let of_tier_2 = stored(collector.archives(), "vm", 2, name);
        assert_eq!(of_tier_2, expected_rows(name, 0..SECONDS, 300), "{name}");
    }
}
