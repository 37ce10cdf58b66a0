//! What merging a window costs for each series and interval, beside the obvious code that has all of one series in one
//! place: `cargo bench -p rondo-collector --bench consolidate`. That the compiler uses vector registers for
//! `Window::merge` is seen by `collector/benches/vectors.sh`, which looks at the instructions.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rondo_collector::commands::bench::synthetic::Dice;
use rondo_collector::consolidate::Window;
use rondo_reader::PointValue;
use std::hint::black_box;
use std::time::Duration;

const SERIES: usize = 30;
const INTERVALS: usize = 10;

/// What is known of one series, all in one place, as one would write it first.
#[derive(Debug, Clone, Copy)]
struct Naive {
    known: u32,
    total: u64,
    total_sum: f64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
}

impl Naive {
    fn of(value: Option<f64>) -> Self {
        let or_nan = value.unwrap_or(f64::NAN);
        Self {
            known: u32::from(value.is_some()),
            total: 0,
            total_sum: 0.0,
            sum: value.unwrap_or(0.0),
            min: or_nan,
            max: or_nan,
            last: or_nan,
        }
    }

    fn merge(&mut self, later: &Self) {
        if later.known != 0 {
            self.total = later.total;
            self.total_sum = later.total_sum;
        }
        self.known = self.known.saturating_add(later.known);
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        if !later.last.is_nan() {
            self.last = later.last;
        }
    }
}

#[inline(never)]
fn merge_naive(all: &mut [Naive], later: &[Naive]) {
    all.iter_mut()
        .zip(later)
        .for_each(|(all, later)| all.merge(later));
}

/// Values of a window, interval by interval; one in ten is missing.
fn values() -> Vec<Vec<Option<f64>>> {
    let mut dice = Dice(1);
    let mut value = || (!dice.roll().is_multiple_of(10)).then(|| dice.share());
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
        let mut all = Window::empty(SERIES);
        bencher.iter(|| {
            black_box(&windows).iter().for_each(|window| all.merge(window));
        });
        black_box(all);
    });
    let naive = |values: &Vec<Option<f64>>| values.iter().map(|value| Naive::of(*value)).collect();
    let rows: Vec<Vec<Naive>> = values.iter().map(naive).collect();
    group.bench_function("one series after the other", |bencher| {
        let mut all = vec![Naive::of(None); SERIES];
        bencher.iter(|| black_box(&rows).iter().for_each(|row| merge_naive(&mut all, row)));
        black_box(all);
    });
    group.finish();
}

criterion_group!(merge, benches);
criterion_main!(merge);
