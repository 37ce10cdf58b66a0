//! Machines of simulated time on a bus of their own, a collector over them, and what it has to store, worked out from
//! the values alone.

use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::store::{ArchiveSettings, Archives, RowValue};
use rondo_reader::Limits;
use rondo_writer::{ConsolidationFn, SchemaConfig, SeriesHandle, TierConfig, Writer};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Every consolidation function.
pub const ALL: [ConsolidationFn; 6] = [
    ConsolidationFn::Average,
    ConsolidationFn::Min,
    ConsolidationFn::Max,
    ConsolidationFn::Last,
    ConsolidationFn::Sum,
    ConsolidationFn::Count,
];

/// The guide's tiers, in seconds and slots.
pub const GUIDE: [(u64, u64); 3] = [(1, 600), (10, 2_160), (300, 2_016)];

/// Tiers with every function.
pub fn schema(tiers: &[(u64, u64)]) -> SchemaConfig {
    let tier =
        |&(seconds, slots): &(u64, u64)| TierConfig::new(Duration::from_secs(seconds), slots).with(&ALL);
    SchemaConfig::default().tiers(&tiers.iter().map(tier).collect::<Vec<_>>())
}

/// A second, in nanoseconds.
pub const S: u64 = 1_000_000_000;

/// Where simulated time starts: on a boundary of five minutes.
pub const START: u64 = 1_700_000_100 * S;

/// A bus in shared memory, a store on disk, and when it all began.
pub struct Host {
    /// Directory of the slabs.
    pub bus: tempfile::TempDir,
    /// Directory of the archives.
    pub store: tempfile::TempDir,
    /// What passes count seconds from.
    pub start: Instant,
}

impl Host {
    /// Fresh ones.
    #[allow(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        Self {
            bus: tempfile::tempdir_in("/dev/shm").unwrap(),
            store: tempfile::tempdir().unwrap(),
            start: Instant::now(),
        }
    }

    /// A collector of these directories, with small extents so that several are filled.
    pub fn settings(&self) -> CollectorSettings {
        CollectorSettings {
            bus: self.bus.path().into(),
            store: self.store.path().into(),
            archives: ArchiveSettings {
                budget_bytes: 16 << 20,
                extent_bytes: 64 << 10,
            },
            keep: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }

    /// It, opened.
    pub fn collector(&self) -> Collector {
        Collector::open(self.settings(), self.start).unwrap()
    }

    /// It, with a store of that size.
    pub fn collector_of(&self, budget_bytes: u64) -> Collector {
        let mut settings = self.settings();
        settings.archives.budget_bytes = budget_bytes;
        Collector::open(settings, self.start).unwrap()
    }

    /// A machine whose time is simulated from [`START`] on.
    pub fn machine(&self, instance: &str, schema: SchemaConfig) -> Writer {
        self.machine_from(START, instance, schema)
    }

    /// The same from another moment on.
    pub fn machine_from(&self, start_ns: u64, instance: &str, schema: SchemaConfig) -> Writer {
        let builder = Writer::builder(instance).schema(schema).bus(self.bus.path());
        builder.simulated_time(start_ns).create().unwrap()
    }

    /// When a second of simulated time is.
    pub fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }
}

/// A pass in which nothing goes wrong.
pub fn pass(collector: &mut Collector, now: Instant) {
    let report = collector.pass(now, true);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
}

/// What is stored of a series in a tier, by the start of its windows; no window may be there twice.
pub fn stored(archives: &Archives, instance: &str, tier: u8, name: &str) -> BTreeMap<u64, RowValue> {
    let mut rows = BTreeMap::new();
    for run in archives.runs(tier, Some(instance), i64::MIN..i64::MAX) {
        let run = archives.read(&run.unwrap()).unwrap();
        let series = run.layout.series().iter().position(|series| series.name == name);
        let Some(series) = series else { continue };
        for row in 0..run.rows() {
            let value = run.value(row, series);
            let before = rows.insert(run.row_ns(row), value);
            assert_eq!(
                before,
                None,
                "{name} of {instance} has {} twice in tier {tier}",
                run.row_ns(row)
            );
        }
    }
    rows
}

/// What a machine does in a second, as a function of the second alone.
pub mod world {
    /// A whole number that jumps up and down, so that sums are exact and extremes are anywhere. Every seventh
    /// second has no value.
    pub fn gauge(second: u64) -> Option<f64> {
        (second % 7 != 3).then_some((second * 7_919 % 1_009) as f64 - 500.0)
    }

    /// Busy for 100 seconds, then idle for 100.
    pub fn is_busy(second: u64) -> bool {
        (second / 100).is_multiple_of(2)
    }

    /// Three a second while it is busy.
    pub fn counter(second: u64) -> u64 {
        3 * (0..=second).filter(|&s| is_busy(s)).count() as u64
    }

    /// Two a second while it is busy.
    pub fn samples(second: u64) -> Vec<f64> {
        if is_busy(second) {
            vec![(second * 31 % 97) as f64, -(second as f64)]
        } else {
            Vec::new()
        }
    }
}

/// A machine that does what [`world`] says.
pub struct Machine {
    /// Its writer.
    pub writer: Writer,
    start_ns: u64,
    gauge: SeriesHandle,
    counter: SeriesHandle,
    distribution: SeriesHandle,
}

impl Machine {
    /// Creates its slab and registers its series.
    pub fn start(host: &Host, instance: &str, schema: SchemaConfig) -> Self {
        Self::born(host, 0, instance, schema)
    }

    /// The same some seconds after [`START`]; its own seconds count from there.
    pub fn born(host: &Host, birth: u64, instance: &str, schema: SchemaConfig) -> Self {
        let start_ns = START + birth * S;
        let mut writer = host.machine_from(start_ns, instance, schema);
        Self {
            start_ns,
            gauge: writer.gauge("gauge").held().unwrap(),
            counter: writer.counter("counter_total").held().unwrap(),
            distribution: writer.distribution("distribution").held().unwrap(),
            writer,
        }
    }

    /// Records a second.
    pub fn live(&mut self, second: u64) {
        let now = self.start_ns + second * S;
        if let Some(value) = world::gauge(second) {
            self.writer.record(self.gauge, value, now);
        }
        if world::is_busy(second) {
            self.writer
                .record(self.counter, world::counter(second) as f64, now);
        }
        for sample in world::samples(second) {
            self.writer.record(self.distribution, sample, now);
        }
        self.writer.tick_at(now);
    }

    /// Records seconds, with a pass of the collector after each.
    pub fn live_and_pass(&mut self, seconds: Range<u64>, host: &Host, collector: &mut Collector) {
        for second in seconds {
            self.live(second);
            pass(collector, host.at(second));
        }
    }
}

/// What a window of seconds has to be, worked out from the values alone.
pub fn expected(name: &str, seconds: Range<u64>) -> Option<RowValue> {
    let empty = RowValue {
        known: (seconds.end - seconds.start) as u32,
        total: None,
        sum: None,
        min: None,
        max: None,
        last: None,
    };
    let of = |values: &[f64], sum: Option<f64>, row: RowValue| RowValue {
        sum,
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
        last: values.last().copied(),
        ..row
    };
    let newest = seconds.end - 1;
    match name {
        "gauge" => {
            let values: Vec<f64> = seconds.filter_map(world::gauge).collect();
            let known = values.len() as u32;
            (known > 0).then(|| of(&values, Some(values.iter().sum()), RowValue { known, ..empty }))
        }
        "counter_total" => {
            let totals: Vec<f64> = seconds.map(|s| world::counter(s) as f64).collect();
            let total = Some(world::counter(newest));
            let row = of(&totals, Some(totals.iter().sum()), RowValue { total, ..empty });
            // A counter's newest value is its total.
            Some(RowValue { last: None, ..row })
        }
        _ => {
            let all: Vec<f64> = (0..=newest).flat_map(world::samples).collect();
            let row = RowValue {
                total: Some(all.len() as u64),
                ..empty
            };
            let samples: Vec<f64> = seconds.flat_map(world::samples).collect();
            Some(of(&samples, Some(all.iter().sum()), row))
        }
    }
}

/// Names of a machine's series.
pub const SERIES: [&str; 3] = ["gauge", "counter_total", "distribution"];

/// All windows of a tier that a machine of so many seconds has to have, the last one sealed.
pub fn expected_rows(name: &str, seconds: Range<u64>, length: u64) -> BTreeMap<u64, RowValue> {
    let windows = seconds.start / length..seconds.end.div_ceil(length);
    windows
        .filter_map(|window| {
            let known = (window * length).max(seconds.start)..((window + 1) * length).min(seconds.end);
            Some((START + window * length * S, expected(name, known)?))
        })
        .collect()
}

/// Compares all rows of a machine that lived for these seconds, in each consolidated tier.
#[track_caller]
pub fn assert_tiers(archives: &Archives, instance: &str, seconds: Range<u64>, tiers: &[(u64, u64)]) {
    for name in SERIES {
        for (tier, (length, _)) in tiers.iter().enumerate().skip(1) {
            let mut rows = stored(archives, instance, tier as u8, name);
            // A window that is stored for the sake of other series says so of one of which it knows nothing.
            rows.retain(|_, value| value.known > 0);
            assert_eq!(
                rows,
                expected_rows(name, seconds.clone(), *length),
                "{name} in tier {tier}"
            );
        }
    }
}
