//! Twenty thousand machines of a few seconds each, through a store that holds some of them: space, memory and time are
//! bounded, and what is retained is right.
//!
//! One test to a process, since it looks at the memory of all of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Selector;
use rondo_collector::collector::Collector;
use rondo_collector::query::{Limits, Plan, Request, Tier};
use rondo_collector::store::ArchiveSettings;
use rondo_tests::simulation::{Host, S, START, pass, schema, world};
use rondo_writer::{SchemaConfig, SeriesHandle, Writer};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const MACHINES: u64 = 20_000;
/// That start in each second; some four times as many are there at once.
const STARTS: u64 = 100;
const BUDGET: u64 = 4 << 20;
const TIERS: [(u64, u64); 3] = [(1, 16), (2, 100), (4, 100)];

/// Lives 2 to 6 seconds.
struct Machine {
    number: u64,
    writer: Writer,
    gauge: SeriesHandle,
    counter: SeriesHandle,
}

/// When a machine starts and ends, in seconds.
fn life(number: u64) -> std::ops::Range<u64> {
    let start = number / STARTS;
    start..start + 2 + number % 5
}

/// Of the world, but no other machine's.
fn gauge(number: u64, second: u64) -> Option<f64> {
    world::gauge(second).map(|value| value + 10_000.0 * number as f64)
}

impl Machine {
    fn start(host: &Host, number: u64) -> Self {
        let schema: SchemaConfig = schema(&TIERS).capacity(2, 0);
        let builder = Writer::builder(&format!("vm-{number}"))
            .schema(schema)
            .bus(host.bus.path());
        let builder = builder.simulated_time(START + life(number).start * S);
        let mut writer = builder.create().unwrap();
        Self {
            number,
            gauge: writer.gauge("gauge").held().unwrap(),
            counter: writer.counter("counter_total").held().unwrap(),
            writer,
        }
    }

    fn live(&mut self, second: u64) {
        let now = START + second * S;
        if let Some(value) = gauge(self.number, second) {
            self.writer.record(self.gauge, value, now);
        }
        self.writer
            .record(self.counter, (self.number + second) as f64, now);
        self.writer.tick_at(now);
    }
}

/// The points that a series of a machine has to have in a tier: (start, known points, sum of a gauge or total of a counter).
fn expected(name: &str, number: u64, length: u64) -> Vec<(u64, u32, f64)> {
    let life = life(number);
    let windows = life.start / length..life.end.div_ceil(length);
    let of = |window: u64| {
        let mut seconds = (window * length).max(life.start)..((window + 1) * length).min(life.end);
        let t = START + window * length * S;
        if name == "gauge" {
            let values: Vec<f64> = seconds.filter_map(|second| gauge(number, second)).collect();
            (!values.is_empty()).then(|| (t, values.len() as u32, values.iter().sum()))
        } else {
            let newest = seconds.next_back().unwrap();
            Some((t, seconds.count() as u32 + 1, (number + newest) as f64))
        }
    };
    windows.filter_map(of).collect()
}

/// What a query finds of all machines, by tier and machine.
fn found(collector: &Collector, name: &str, tier: u8) -> BTreeMap<u64, Vec<(u64, u32, f64)>> {
    let request = Request {
        tier: Tier::Number(tier),
        limits: Limits {
            series_max: 100_000,
            points_max: 10_000_000,
        },
        ..Request::new(name.parse::<Selector>().unwrap())
    };
    let answer = Plan::new(&[], collector.archives(), request).unwrap().answer();
    assert_eq!(answer.warnings, Vec::<String>::new());
    let of_series = answer.series.iter().map(|series| {
        let number = series
            .source
            .instance
            .strip_prefix("vm-")
            .unwrap()
            .parse()
            .unwrap();
        let points = series.points.iter().map(|point| {
            let row = point.row;
            let number = match (name, tier) {
                ("gauge", 0) => row.last.unwrap(),
                ("gauge", _) => row.sum.unwrap(),
                _ => row.total.unwrap() as f64,
            };
            (point.t, row.known, number)
        });
        (number, points.collect())
    });
    let found: BTreeMap<_, _> = of_series.collect();
    assert_eq!(found.len(), answer.series.len(), "an instance twice");
    found
}

/// Size and space on the disk of each file.
fn files(store: &Path) -> Vec<(u64, u64)> {
    let path = |tier| store.join(format!("tier-{tier}.archive"));
    let of = |tier| {
        path(tier)
            .metadata()
            .map(|file| (file.len(), file.blocks() * 512))
            .unwrap()
    };
    (0..3).map(of).collect()
}

/// Memory that no file stands for.
fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn churn_takes_no_more_than_it_was_given_and_what_is_retained_is_right() {
    let host = Host::new();
    let mut settings = host.settings();
    settings.keep = Duration::ZERO;
    settings.archives = ArchiveSettings {
        budget_bytes: BUDGET,
        extent_bytes: 64 << 10,
    };
    let mut collector = Collector::open(settings, host.start).unwrap();
    let files_at_start = files(host.store.path());
    let total: u64 = files_at_start.iter().map(|(size, _)| size).sum();
    assert!(
        total <= BUDGET && total > BUDGET - 4 * (64 << 10),
        "{total} of {BUDGET}"
    );

    let mut alive = VecDeque::new();
    let (mut most, mut half_way_kib) = (0, 0);
    for second in 0.. {
        let starts = (second * STARTS..(second + 1) * STARTS).filter(|&number| number < MACHINES);
        alive.extend(starts.map(|number| Machine::start(&host, number)));
        alive
            .iter_mut()
            .for_each(|machine: &mut Machine| machine.live(second));
        most = most.max(collector.states().live);
        pass(&mut collector, host.at(second));
        alive.retain(|machine| life(machine.number).end > second + 1);
        assert_eq!(files(host.store.path()), files_at_start, "in second {second}");
        if second == MACHINES / STARTS / 2 {
            half_way_kib = anonymous_kib();
        }
        if alive.is_empty() && collector.slabs().count() == 0 {
            break;
        }
    }
    let end_kib = anonymous_kib();
    println!("{most} machines at once; {half_way_kib} KiB half-way, {end_kib} KiB in the end");
    assert!(most >= 300, "{most}");
    assert!(
        end_kib < half_way_kib + 1_024,
        "{half_way_kib} KiB half-way, {end_kib} KiB in the end"
    );
    assert_eq!(collector.totals().unlinked, MACHINES);
    assert_eq!(collector.totals().tally.intervals_lost, 0);
    assert_eq!(std::fs::read_dir(host.bus.path()).unwrap().count(), 0);

    retained_is_right(&collector);
    // And for whoever comes next.
    drop(collector);
    retained_is_right(&host.collector_of(BUDGET));
    assert_eq!(files(host.store.path()), files_at_start);
}

fn retained_is_right(collector: &Collector) {
    for (tier, (length, _)) in (0..).zip(TIERS) {
        for name in ["gauge", "counter_total"] {
            let found = found(collector, name, tier);
            for (&number, points) in &found {
                assert_eq!(
                    *points,
                    expected(name, number, length),
                    "{name} of vm-{number} in tier {tier}"
                );
            }
            let oldest = *found.keys().next().unwrap();
            println!("tier {tier}: {} machines, the oldest vm-{oldest}", found.len());
            // The ring has come round more than once. Only of the oldest extent some are gone.
            assert!(
                (MACHINES / 2..MACHINES * 9 / 10).contains(&oldest),
                "vm-{oldest} in tier {tier}"
            );
            assert!((oldest + 6 * STARTS..MACHINES).all(|number| found.contains_key(&number)));
        }
    }
}
