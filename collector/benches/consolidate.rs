//! What merging a window costs for each series and interval, beside the obvious loop over one series after the other:
//! `cargo bench -p rondo-collector --bench consolidate`.
//!
//! That the compiler uses vector registers for `Window::merge` shows in this ratio, and in
//! `collector/benches/vectors.sh`, which looks at the instructions.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rondo_collector::bench::synthetic::Dice;
use rondo_collector::consolidate::Window;
use rondo_reader::PointValue;
use std::hint::black_box;
use std::time::Duration;

const SERIES: usize = 30;
const INTERVALS: usize = 10;

/// What is known of one series, as one would write it first.
#[derive(Debug, Clone, Copy)]
struct Naive {
    known: u32,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    last: Option<f64>,
}

impl Naive {
    const EMPTY: Self = Self {
        known: 0,
        sum: 0.0,
        min: None,
        max: None,
        last: None,
    };

    fn add(&mut self, value: Option<f64>) {
        let Some(value) = value else { return };
        self.known += 1;
        self.sum += value;
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        self.last = Some(value);
    }
}

/// Values of a window, interval by interval; one in ten is missing.
fn values() -> Vec<Vec<Option<f64>>> {
    let mut dice = Dice(1);
    let mut value = || (dice.roll() % 10 > 0).then(|| dice.share());
    (0..INTERVALS)
        .map(|_| (0..SERIES).map(|_| value()).collect())
        .collect()
}

fn benches(criterion: &mut Criterion) {
    let values = values();
    let windows: Vec<Window> = values
        .iter()
        .map(|values| {
            let mut window = Window::empty(SERIES);
            for (series, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    window.set_point(series, PointValue::Gauge(*value));
                }
            }
            window
        })
        .collect();
    let mut group = criterion.benchmark_group("ten intervals of 30 gauges");
    group.throughput(Throughput::Elements((SERIES * INTERVALS) as u64));
    group.measurement_time(Duration::from_secs(3));
    group.bench_function("Window::merge", |bencher| {
        bencher.iter(|| {
            let mut all = Window::empty(SERIES);
            black_box(&windows).iter().for_each(|window| all.merge(window));
            all
        });
    });
    group.bench_function("one series after the other", |bencher| {
        bencher.iter(|| {
            let values = black_box(&values);
            let all: Vec<Naive> = (0..SERIES)
                .map(|series| {
                    let mut naive = Naive::EMPTY;
                    values.iter().for_each(|interval| naive.add(interval[series]));
                    naive
                })
                .collect();
            all
        });
    });
    group.finish();
}

criterion_group!(merge, benches);
criterion_main!(merge);
