//! Lives that are over before they began, twice as many as there should be, or cut in two.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Selector;
use rondo_collector::collector::Collector;
use rondo_collector::query::{Answer, Plan, Request, SeriesAnswer, Tier};
use rondo_tests::simulation::{
    GUIDE, Host, Machine, S, START, assert_tiers, expected_rows, pass, schema, stored, world,
};
use rondo_writer::{SchemaConfig, SeriesHandle, Writer};
use std::time::Duration;

fn query(collector: &Collector, selector: &str, tier: Tier) -> Answer {
    let live = collector.live(|_| true);
    let request = Request {
        tier,
        ..Request::new(selector.parse::<Selector>().unwrap())
    };
    let answer = Plan::new(&live, collector.archives(), request).unwrap().answer();
    assert_eq!(answer.warnings, Vec::<String>::new());
    answer
}

/// The totals of a counter's points.
fn totals(series: &SeriesAnswer) -> Vec<u64> {
    series.points.iter().filter_map(|point| point.row.total).collect()
}

/// A counter that counts its seconds from a number on.
struct Counting {
    writer: Writer,
    counter: SeriesHandle,
    base: u64,
}

impl Counting {
    fn start(host: &Host, base: u64, second: u64) -> Self {
        let builder = Writer::builder("vm").schema(schema(&GUIDE)).bus(host.bus.path());
        let mut writer = builder.simulated_time(START + second * S).create().unwrap();
        let counter = writer.counter("counter_total").held().unwrap();
        Self {
            writer,
            counter,
            base,
        }
    }

    fn live(&mut self, second: u64) {
        let now = START + second * S;
        self.writer.record(self.counter, (self.base + second) as f64, now);
        self.writer.tick_at(now);
    }
}

/// The name says which machine, the incarnation which of its lives.
#[test]
fn two_incarnations_one_after_the_other_are_both_found_and_told_apart() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut incarnations = Vec::new();
    for life in 0..2u64 {
        let mut machine = Counting::start(&host, 1_000 * (life + 1), 100 * life);
        incarnations.push(machine.writer.incarnation());
        for second in 100 * life..100 * life + 45 {
            machine.live(second);
            pass(&mut collector, host.at(second));
        }
    }
    pass(&mut collector, host.at(145));
    both_are_there(&collector, &incarnations, [1_000, 2_100], 45);
    // Also from the store alone.
    collector.finish(host.at(146));
    drop(collector);
    for slab in std::fs::read_dir(host.bus.path()).unwrap() {
        std::fs::remove_file(slab.unwrap().path()).unwrap();
    }
    both_are_there(&host.collector(), &incarnations, [1_000, 2_100], 45);
}

/// A machine that is started again before the old one is quite gone, or twice by mistake.
#[test]
fn two_incarnations_at_the_same_time_are_both_found_and_told_apart() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machines = [1_000, 2_000].map(|base| Counting::start(&host, base, 0));
    let incarnations: Vec<_> = machines
        .iter()
        .map(|machine| machine.writer.incarnation())
        .collect();
    for second in 0..45 {
        machines.iter_mut().for_each(|machine| machine.live(second));
        pass(&mut collector, host.at(second));
    }
    both_are_there(&collector, &incarnations, [1_000, 2_000], 45);
    drop(machines);
    // Stored, and their slabs removed.
    (45..110).for_each(|second| pass(&mut collector, host.at(second)));
    assert_eq!(std::fs::read_dir(host.bus.path()).unwrap().count(), 0);
    both_are_there(&collector, &incarnations, [1_000, 2_000], 45);
}

#[track_caller]
fn both_are_there(collector: &Collector, incarnations: &[[u8; 16]], bases: [u64; 2], seconds: u64) {
    let answer = query(collector, "counter_total{instance=\"vm\"}", Tier::Number(0));
    assert_eq!(answer.series.len(), 2);
    for (incarnation, base) in incarnations.iter().zip(bases) {
        let series = answer
            .series
            .iter()
            .find(|series| series.source.incarnation == *incarnation);
        assert_eq!(
            totals(series.unwrap()),
            (base..base + seconds).collect::<Vec<_>>()
        );
        let hex: String = incarnation.iter().map(|byte| format!("{byte:02x}")).collect();
        let one = query(
            collector,
            &format!("counter_total{{incarnation=\"{hex}\"}}"),
            Tier::Number(1),
        );
        assert_eq!(one.series.len(), 1);
        let newest = one.series[0].points.last().unwrap().row.total;
        assert_eq!(newest, Some(base + seconds - 1));
    }
}

/// A disk that is unplugged and plugged in again: between the two nothing is known of its gauge, and its counter says nothing
/// new; the machine's other series do not notice.
#[test]
fn a_series_that_is_unplugged_ends_and_begins_again() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut writer = host.machine("vm", schema(&GUIDE));
    let cpu = writer.counter("cpu_total").held().unwrap();
    for second in 0..300 {
        let now = START + second * S;
        writer.record(cpu, second as f64, now);
        if !(95..205).contains(&second) {
            let gauge = writer.gauge("disk").label("device", "vda").held().unwrap();
            let counter = writer
                .counter("disk_total")
                .label("device", "vda")
                .held()
                .unwrap();
            writer.record(gauge, second as f64, now);
            if !(50..250).contains(&second) {
                writer.record(counter, second as f64, now);
            }
            if second == 94 {
                writer.end(gauge);
                writer.end(counter);
            }
        }
        writer.tick_at(now);
        pass(&mut collector, host.at(second));
    }
    drop(writer);
    pass(&mut collector, host.at(300));
    let archives = collector.archives();
    let rows = stored(archives, "vm", 1, "disk");
    let at = |window: u64| rows.get(&(START + window * S)).map_or(0, |row| row.known);
    assert_eq!(
        [at(80), at(90), at(100), at(190), at(200), at(210)],
        [10, 5, 0, 0, 5, 10]
    );
    assert_eq!(stored(archives, "vm", 1, "cpu_total").len(), 30);
    // Idle is known, gone is not.
    let counters = stored(archives, "vm", 1, "disk_total");
    let total = |window: u64| counters.get(&(START + window * S)).and_then(|row| row.total);
    assert_eq!([total(40), total(60), total(80)], [Some(49); 3]);
    assert_eq!(total(150), None);
    assert_eq!(total(290), Some(299));
}

/// Minutes in which a counter does not move, some of them longer than a window, are as good as any.
#[test]
fn an_idle_counter_is_carried_through_all_tiers() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut writer = host.machine("vm", schema(&GUIDE));
    let counter = writer.counter("exits_total").held().unwrap();
    for second in 0..1_500 {
        let now = START + second * S;
        if [0, 400, 1_499].contains(&second) {
            writer.record(counter, (second + 1) as f64, now);
        }
        writer.tick_at(now);
        pass(&mut collector, host.at(second));
    }
    drop(writer);
    pass(&mut collector, host.at(1_500));
    let total = |second: u64| {
        if second < 400 {
            1
        } else if second < 1_499 {
            401
        } else {
            1_500
        }
    };
    for (tier, length) in [(1, 10), (2, 300)] {
        let rows = stored(collector.archives(), "vm", tier, "exits_total");
        assert_eq!(rows.len() as u64, 1_500 / length, "tier {tier}");
        for (t, row) in rows {
            let newest = (t - START) / S + length - 1;
            assert_eq!(
                (row.total, u64::from(row.known)),
                (Some(total(newest)), length),
                "{newest} in tier {tier}"
            );
        }
    }
}

/// None of these has a row, and none stays on the bus or keeps others from going.
#[test]
fn machines_without_a_life_leave_nothing_and_go() {
    let host = Host::new();
    let mut settings = host.settings();
    settings.keep = Duration::from_secs(5);
    let mut collector = Collector::open(settings, host.start).unwrap();
    let mut good = Machine::start(&host, "good", schema(&GUIDE));
    // Never a series; series, but never a sample; a sample, but never a tick.
    let mut bare = host.machine("bare", schema(&GUIDE));
    let mut silent = host.machine("silent", schema(&GUIDE));
    let mut unticked = host.machine("unticked", schema(&GUIDE));
    silent.gauge("gauge").held().unwrap();
    silent.counter("counter_total").held().unwrap();
    silent.histogram("histogram").held().unwrap();
    let gauge = unticked.gauge("gauge").held().unwrap();
    for second in 0..40 {
        good.live(second);
        bare.tick_at(START + second * S);
        unticked.record(gauge, second as f64, START + second * S);
        // Killed before it did anything, and perhaps before anybody saw it.
        drop(host.machine("short", SchemaConfig::default()));
        pass(&mut collector, host.at(second));
    }
    // The last of the short ones was found ended when it was first looked at.
    let states = collector.states();
    assert_eq!((states.live, states.stuck), (2, 2), "{states:?}");
    drop((bare, silent, unticked));
    for second in 40..60 {
        good.live(second);
        pass(&mut collector, host.at(second));
    }
    assert_eq!(
        std::fs::read_dir(host.bus.path()).unwrap().count(),
        1,
        "only the good one"
    );
    drop(good);
    pass(&mut collector, host.at(60));
    let archives = collector.archives();
    assert_tiers(archives, "good", 0..60, &GUIDE);
    for (instance, name) in [("bare", "gauge"), ("silent", "gauge"), ("short", "gauge")] {
        for tier in 0..3 {
            let rows = stored(archives, instance, tier, name);
            assert!(rows.values().all(|row| row.known == 0), "{instance}");
        }
    }
    // Ticks say when an interval is over; without them later samples do.
    assert_eq!(stored(archives, "unticked", 0, "gauge").len(), 40);
    let sums: f64 = stored(archives, "unticked", 1, "gauge")
        .values()
        .filter_map(|row| row.sum)
        .sum();
    assert_eq!(sums, (0..40).map(f64::from).sum::<f64>());
}

/// One sample, and gone before its first second was over: there is one point, and a sealed window in each tier.
#[test]
fn a_machine_of_less_than_one_interval_leaves_its_one_point() {
    for is_seen in [false, true] {
        let host = Host::new();
        let mut collector = host.collector();
        let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
        machine.live(0);
        if is_seen {
            pass(&mut collector, host.at(0));
        }
        drop(machine);
        pass(&mut collector, host.at(1));
        assert_tiers(collector.archives(), "vm", 0..1, &GUIDE);
        let points = stored(collector.archives(), "vm", 0, "gauge");
        assert_eq!(points[&START].last, world::gauge(0));
        let answer = query(&collector, "gauge", Tier::Number(2));
        assert!(answer.series[0].points[0].sealed_ns.is_some());
    }
}

/// What is served while the machine lives is what is stored afterwards.
#[test]
fn rows_are_the_same_before_and_after_they_are_stored() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    machine.live_and_pass(0..700, &host, &mut collector);
    let of = |collector: &Collector, tier| {
        let answer = query(collector, "gauge", Tier::Number(tier));
        let points = answer.series[0].points.iter();
        points
            .filter(|point| !point.partial)
            .map(|point| (point.t, point.row))
            .collect::<Vec<_>>()
    };
    let before = [of(&collector, 1), of(&collector, 2)];
    drop(machine);
    pass(&mut collector, host.at(700));
    for (tier, before) in (1..).zip(before) {
        let after = of(&collector, tier);
        assert_eq!(after[..before.len()], before[..], "tier {tier}");
        let all: Vec<_> = expected_rows("gauge", 0..700, [1, 10, 300][usize::from(tier)])
            .into_iter()
            .collect();
        assert_eq!(after, all, "tier {tier}");
    }
}

/// Also where the last window is the one that fills a run, which ends it before the machine's end is written down.
#[test]
fn the_last_window_is_sealed_wherever_the_end_falls() {
    let tiers = [(1, 600), (2, 1_000), (4, 1_000)];
    let host = Host::new();
    let mut collector = host.collector();
    // Runs of tier 1 have 30 rows of 2 s, of tier 2 24 of 4 s.
    let lives: Vec<u64> = (50..=130).collect();
    for &seconds in &lives {
        let mut machine = Machine::start(&host, &format!("vm-{seconds}"), schema(&tiers));
        (0..seconds).for_each(|second| machine.live(second));
    }
    pass(&mut collector, host.at(1));
    for seconds in lives {
        for (tier, (length, _)) in tiers.iter().enumerate().skip(1) {
            let selector = format!("counter_total{{instance=\"vm-{seconds}\"}}");
            let answer = query(&collector, &selector, Tier::Number(tier as u8));
            let (last, before) = answer.series[0].points.split_last().unwrap();
            let is_cut = seconds % length != 0;
            let ended_ns = is_cut.then_some(START + (seconds - 1) * S);
            assert_eq!(last.sealed_ns, ended_ns, "{seconds} s in tier {tier}");
            assert!(before.iter().all(|point| point.sealed_ns.is_none()));
        }
    }
}
