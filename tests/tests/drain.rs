//! What leaves by a cursor: every row of a tier, once, in order, whoever stores it when, and however often the cursor
//! is saved, or the collector starts anew.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Store;
use rondo_collector::collector::Collector;
use rondo_collector::export::{Drained, ExportCursor};
use rondo_collector::store::RowValue;
use rondo_tests::simulation::{GUIDE, Host, Machine, S, SERIES, START, expected_rows, pass, schema, world};
use std::collections::BTreeMap;

/// Rows by machine, series and start; none may come twice, or before an earlier one of its series.
#[derive(Default)]
struct Left(BTreeMap<(String, String), BTreeMap<u64, RowValue>>);

impl Left {
    fn take(&mut self, drained: Vec<Drained>) -> usize {
        let mut rows = 0;
        for one in drained.into_iter().filter(|one| !one.is_end) {
            rows += one.rows();
            for (index, series) in one.run.layout.series().iter().enumerate() {
                let key = (one.run.source.instance.clone(), series.name.clone());
                let column = self.0.entry(key).or_default();
                for row in one.first_row..one.run.rows() {
                    let value = one.run.value(row, index);
                    if value.known == 0 {
                        continue;
                    }
                    let start_ns = one.run.row_ns(row);
                    let newest = column.last_key_value().map(|(newest, _)| *newest);
                    assert!(
                        newest.is_none_or(|newest| newest < start_ns),
                        "{newest:?} then {start_ns}"
                    );
                    column.insert(start_ns, value);
                }
            }
        }
        rows
    }

    #[track_caller]
    fn assert_all(&self, instance: &str, seconds: u64, length: u64) {
        for name in SERIES {
            let rows = &self.0[&(instance.to_owned(), name.to_owned())];
            assert_eq!(
                *rows,
                expected_rows(name, 0..seconds, length),
                "{name} of {instance}"
            );
        }
    }
}

fn drain(collector: &Collector, cursor: &mut ExportCursor, rows_max: usize) -> Vec<Drained> {
    let drain = collector.drain(cursor, rows_max);
    assert!(drain.errors.is_empty(), "{:?}", drain.errors);
    assert_eq!(drain.points_lost, 0);
    drain.drained
}

/// Guide, phase 3: "`drain()` returns correct data and advances cursor", "repeated calls return only new data".
#[test]
fn drain_returns_all_rows_once_and_repeated_calls_only_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Store::builder(dir.path(), &[schema(&GUIDE)]).budget_bytes(8 << 20);
    let mut store = builder.simulated_time(START).open().unwrap();
    let gauge = store.register("gauge", &[]).unwrap();
    let mut cursors = [0, 1, 2].map(ExportCursor::new);
    let mut left = [(); 3].map(|()| Left::default());
    for second in 0..=1_200u64 {
        if let Some(value) = world::gauge(second) {
            store.record(gauge, value, START + second * S);
        }
        store.consolidate_at(START + second * S).unwrap();
        if second % 7 == 0 || second == 1_200 {
            for (cursor, left) in cursors.iter_mut().zip(&mut left) {
                left.take(store.drain(cursor.tier(), cursor).unwrap());
                assert!(store.drain(cursor.tier(), cursor).unwrap().is_empty());
            }
        }
    }
    let seconds: Vec<(u64, f64)> = left[0].0[&("self".to_owned(), "gauge".to_owned())]
        .iter()
        .map(|(t, value)| ((t - START) / S, value.last.unwrap()))
        .collect();
    // The last second is still going on, and the one before it is settled with the next pass.
    let expected = (0..1_199).filter_map(|second| Some((second, world::gauge(second)?)));
    assert_eq!(seconds, expected.collect::<Vec<_>>());
    for (left, length) in left.iter().zip([1, 10, 300]).skip(1) {
        let rows = &left.0[&("self".to_owned(), "gauge".to_owned())];
        assert_eq!(*rows, expected_rows("gauge", 0..1_200, length));
    }
    let error = store.drain(1, &mut cursors[2]).unwrap_err().to_string();
    assert_eq!(error, "the cursor is of tier 2, not 1");
}

/// Rows that left while they waited in memory come by again in an archive; after a restart they may wait in memory again.
#[test]
fn no_row_leaves_twice_or_never_whoever_collects_and_however_often_the_cursor_is_saved() {
    for (tier, length, rows_max) in [
        (1, 10, 1),
        (1, 10, 5),
        (1, 10, usize::MAX),
        (2, 300, 3),
        (0, 1, 40),
    ] {
        let host = Host::new();
        let mut collector = host.collector();
        let mut machines: Vec<(String, Machine, u64)> = [45, 700, 1_234, 95]
            .into_iter()
            .enumerate()
            .map(|(number, seconds)| {
                let name = format!("vm-{number}");
                (
                    name.clone(),
                    Machine::start(&host, &name, schema(&GUIDE)),
                    seconds,
                )
            })
            .collect();
        let lives: Vec<(String, u64)> = machines
            .iter()
            .map(|(name, _, seconds)| (name.clone(), *seconds))
            .collect();
        let mut cursor = ExportCursor::new(tier);
        let mut left = Left::default();
        let mut ends = Vec::new();
        for second in 0..1_240 {
            machines.retain(|(.., seconds)| second < *seconds);
            machines
                .iter_mut()
                .for_each(|(_, machine, _)| machine.live(second));
            pass(&mut collector, host.at(second));
            if second % 13 < 9 {
                let drained = drain(&collector, &mut cursor, rows_max);
                ends.extend(
                    drained
                        .iter()
                        .filter(|one| one.is_end)
                        .map(|one| one.run.source.instance.clone()),
                );
                left.take(drained);
            }
            if second % 111 == 0 {
                cursor = ExportCursor::from_bytes(&cursor.to_bytes()).unwrap();
            }
            if second % 97 == 96 {
                // As after a kill: nothing is handed over.
                drop(collector);
                collector = host.collector();
            }
        }
        while left.take(drain(&collector, &mut cursor, rows_max)) > 0 {}
        for (name, seconds) in &lives {
            if tier > 0 {
                left.assert_all(name, *seconds, length);
            } else {
                let seconds_left = left.0[&(name.clone(), "counter_total".to_owned())].len() as u64;
                assert_eq!(seconds_left, *seconds, "{name}");
            }
        }
        ends.sort();
        let names: Vec<String> = lives.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(ends, names, "each end is told once");
    }
}

/// A cursor of a machine that is gone and stored costs nothing.
#[test]
fn a_cursor_does_not_grow_with_the_machines_that_ever_lived() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut cursor = ExportCursor::new(1);
    let mut sizes = Vec::new();
    for number in 0..60 {
        let mut machine = Machine::start(&host, &format!("vm-{number}"), schema(&GUIDE));
        for second in 0..20 {
            machine.live(second);
        }
        drop(machine);
        for half in 0..2 {
            pass(&mut collector, host.at(number * 62 + half * 61));
            drain(&collector, &mut cursor, usize::MAX);
        }
        sizes.push(cursor.to_bytes().len());
    }
    assert!(sizes.iter().all(|size| *size < 47 + 71 * 4), "{sizes:?}");
}

/// A destination that is down for too long loses the oldest, and learns how much.
#[test]
fn points_that_are_overwritten_before_they_leave_are_counted() {
    let host = Host::new();
    let mut collector = host.collector_of(640 << 10);
    let mut cursor = ExportCursor::new(1);
    let mut left = Left::default();
    let (mut made, mut lost, mut points) = (0, 0, 0);
    for number in 0..1_500u64 {
        let mut machine = Machine::start(&host, &format!("vm-{number}"), schema(&GUIDE));
        for second in 0..95 {
            machine.live(second);
        }
        made += 10 * SERIES.len() as u64;
        drop(machine);
        pass(&mut collector, host.at(number * 70));
        // It looks, but takes nothing while it is down.
        let rows_max = if number < 1_400 { 0 } else { usize::MAX };
        let drain = collector.drain(&mut cursor, rows_max);
        assert!(drain.errors.is_empty(), "{:?}", drain.errors);
        lost += drain.points_lost;
        points += drain
            .drained
            .iter()
            .map(|one| one.rows() * one.run.layout.series().len())
            .sum::<usize>() as u64;
        left.take(drain.drained);
    }
    assert!(lost > 0 && points > 0);
    assert_eq!(lost + points, made);
    left.assert_all("vm-1499", 95, 10);
}

/// Of a new destination: it begins with what is not too old.
#[test]
fn a_cursor_may_begin_at_a_time() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    machine.live_and_pass(0..600, &host, &mut collector);
    let mut cursor = ExportCursor::beginning_at(1, (START + 400 * S).cast_signed());
    let mut left = Left::default();
    left.take(drain(&collector, &mut cursor, usize::MAX));
    let rows = &left.0[&("vm".to_owned(), "counter_total".to_owned())];
    let starts: Vec<u64> = rows.keys().map(|t| (t - START) / S).collect();
    assert_eq!(starts, (390..590).step_by(10).collect::<Vec<u64>>());
}

/// Of tier 0 the slab is read as it is when it is drained, but its series are those of the last pass.
#[test]
fn what_is_registered_between_a_pass_and_a_drain_loses_none_of_its_seconds() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    let mut cursor = ExportCursor::new(0);
    let mut left = Left::default();
    machine.live_and_pass(0..5, &host, &mut collector);
    for number in 0..20u64 {
        let second = 5 + 3 * number;
        let late = machine
            .writer
            .counter(&format!("late_{number}_total"))
            .held()
            .unwrap();
        for offset in 0..3 {
            machine
                .writer
                .record(late, 7.0 + offset as f64, START + (second + offset) * S);
            machine.live(second + offset);
            left.take(drain(&collector, &mut cursor, usize::MAX));
        }
        pass(&mut collector, host.at(second));
        left.take(drain(&collector, &mut cursor, usize::MAX));
    }
    drop(machine);
    for second in 70..73 {
        pass(&mut collector, host.at(second));
        left.take(drain(&collector, &mut cursor, usize::MAX));
    }
    for number in 0..20u64 {
        let rows = &left.0[&("vm".to_owned(), format!("late_{number}_total"))];
        let first = START + (5 + 3 * number) * S;
        assert_eq!(rows[&first].total, Some(7), "late_{number}");
        // It was registered in the second before.
        assert_eq!(rows.len() as u64, 61 - 3 * number, "late_{number}");
    }
}

/// Buckets of a row of tier 0 are those of its count, wherever the row is drained from.
#[test]
fn buckets_of_tier_0_add_up_to_their_count() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut writer = host.machine("vm", schema(&GUIDE));
    let mut latency = writer.histogram("latency").owned().unwrap();
    let mut cursor = ExportCursor::new(0);
    let mut rows = 0;
    for second in 0..90 {
        let now = START + second * S;
        latency.record_at(now, (second * 31 % 97) as f64);
        writer.tick_at(now);
        let before = drain(&collector, &mut cursor, usize::MAX);
        pass(&mut collector, host.at(second));
        let behind = drain(&collector, &mut cursor, usize::MAX);
        for drained in before.into_iter().chain(behind) {
            for row in drained.first_row..drained.run.rows() {
                let count = drained.run.value(row, 0).total.unwrap();
                let buckets = drained.run.buckets(row, 0).unwrap().iter();
                let buckets: u64 = buckets.map(|(_, count)| count).sum();
                // They are looked at in a pass, so the interval that has begun by then is among them.
                assert_eq!(buckets, count + 1, "row {rows}");
                rows += 1;
            }
        }
    }
    assert!(rows > 80, "{rows}");
}
