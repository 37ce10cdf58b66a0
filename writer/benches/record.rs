//! Throughput of every kind of record, for those who change this crate: `cargo bench -p rondo-writer`.
//!
//! Each round records once into each of 30 series. Time is simulated where it is passed in. Rondo
//! against its peers is `tests/benches`; what may not get worse is counted in instructions there.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use rondo_writer::{Builder, RegisterError, SchemaConfig, TierConfig, TimeSource, Writer};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SERIES: u32 = 30;
const INTERVAL_NS: u64 = 1_000_000_000;
const START_NS: u64 = 1_000 * INTERVAL_NS;

fn writer(with: impl FnOnce(Builder) -> Builder) -> Writer {
    let mut schema = SchemaConfig::new("bench")
        .tiers(&[TierConfig::new(Duration::from_nanos(INTERVAL_NS), 600)])
        .capacity(2 * SERIES, SERIES);
    schema.shared_max = SERIES;
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let builder = with(Writer::builder("bench").schema(schema)).bus(directory.path());
    builder.create().expect("a slab")
}

fn simulated() -> Writer {
    writer(|builder| builder.simulated_time(START_NS))
}

fn each<H>(mut register: impl FnMut(&str) -> Result<H, RegisterError>) -> Vec<H> {
    let handle = |i: u32| register(&i.to_string()).expect("a series");
    (0..SERIES).map(handle).collect()
}

/// One record into each series, over and over.
fn round<H>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut handles: Vec<H>,
    mut record: impl FnMut(&mut H, u64, f64),
) {
    let mut now = START_NS;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let time = black_box(now);
            for (i, handle) in handles.iter_mut().enumerate() {
                record(handle, time, i as f64 * 1_000.0);
            }
            now = time;
        });
    });
}

/// The same, with time that moves on by one interval after each round.
fn round_of_new_intervals<H>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut handles: Vec<H>,
    mut record: impl FnMut(&mut H, u64, f64),
) {
    let mut now = START_NS;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            now += INTERVAL_NS;
            for (i, handle) in handles.iter_mut().enumerate() {
                record(handle, now, i as f64 * 1_000.0);
            }
        });
    });
}

fn owned(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("owned");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    let mut w = simulated();
    let gauges = each(|i| w.gauge("g").label("i", i).owned());
    round(&mut group, "gauge", gauges, |h, now, v| h.set_at(now, v));
    let counters = each(|i| w.counter("c").label("i", i).owned());
    round(&mut group, "counter", counters, |h, now, _| h.add_at(now, 1));
    let distributions = each(|i| w.distribution("d").label("i", i).owned());
    round(&mut group, "distribution", distributions, |h, now, v| {
        h.record_at(now, v);
    });
    let mut w = simulated();
    let histograms = each(|i| w.histogram("h").label("i", i).owned());
    round(&mut group, "histogram", histograms, |h, now, v| {
        h.record_at(now, v);
    });
    let gauges = each(|i| w.gauge("g").label("i", i).owned());
    round_of_new_intervals(&mut group, "gauge, new interval", gauges, |h, now, v| {
        h.set_at(now, v);
    });
    group.finish();
}

fn held(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("held");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    let mut w = simulated();
    let gauges = each(|i| w.gauge("g").label("i", i).held());
    let distributions = each(|i| w.distribution("d").label("i", i).held());
    round(&mut group, "gauge", gauges.clone(), |&mut h, now, v| {
        w.record(h, v, now);
    });
    round(&mut group, "distribution", distributions, |&mut h, now, v| {
        w.record(h, v, now);
    });
    let batch: Vec<_> = gauges.iter().map(|&handle| (handle, 1.0)).collect();
    group.bench_function("batch of 30 gauges", |bencher| {
        bencher.iter(|| w.record_batch(black_box(&batch), START_NS));
    });
    round_of_new_intervals(&mut group, "gauge, new interval", gauges, |&mut h, now, v| {
        w.record(h, v, now);
    });
    group.finish();
}

fn own_clock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("own clock");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    for source in [TimeSource::Coarse, TimeSource::Tick] {
        let mut w = writer(|builder| builder.time_source(source));
        let gauges = each(|i| w.gauge("g").label("i", i).owned());
        let name = format!("gauge, {source:?}");
        round(&mut group, &name, gauges, |h, _, v| h.set(v));
    }
    group.finish();
}

fn shared(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shared");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    let mut w = simulated();
    let counters = each(|i| w.counter("c").label("i", i).shared());
    round(&mut group, "counter", counters, |h, _, _| h.add(1));
    group.finish();
}

fn creation(criterion: &mut Criterion) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    criterion.bench_function("create a slab of 30 series", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                let start = Instant::now();
                let builder = Writer::builder("bench").bus(directory.path());
                let mut w = builder.create().expect("a slab");
                let points: Vec<_> = (0..24)
                    .map(|i: u32| w.gauge("g").label("i", &i.to_string()).owned())
                    .collect();
                let histograms: Vec<_> = (0..6)
                    .map(|i: u32| w.histogram("h").label("i", &i.to_string()).owned())
                    .collect();
                took += start.elapsed();
                assert!(points.iter().all(Result::is_ok) && histograms.iter().all(Result::is_ok));
                for path in w.paths() {
                    std::fs::remove_file(path).expect("the slab");
                }
            }
            took
        });
    });
}

criterion_group!(benches, owned, held, own_clock, shared, creation);
criterion_main!(benches);
