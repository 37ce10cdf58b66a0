//! Runs for tests: some of all kinds, and any that proptest can think of.

use crate::store::{BucketCounts, BucketShape, Layout, Run, Source, StoredSeries};
use proptest::prelude::*;
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::{Functions, SENTINEL};
use std::sync::Arc;

pub(super) const INTERVAL_NS: u64 = 10_000_000_000;

/// A machine by its number.
pub(super) fn source(number: u8) -> Arc<Source> {
    Arc::new(Source {
        incarnation: [number; 16],
        boot_id: [7; 16],
        instance: format!("vm-{number}"),
        schema: "vmm".into(),
        part: 0,
        uid: 1000,
        labels: vec![("tenant".into(), format!("t{}", number % 3))],
        created_ns: 0,
        interval_ns: 1_000_000_000,
        simulated_time: false,
    })
}

pub(super) fn layout(tier: u8, kinds: &[Kind]) -> Arc<Layout> {
    let series = |(index, &kind): (usize, &Kind)| StoredSeries {
        kind,
        unit: Unit::Bytes,
        name: format!("{}_{index}", kind.as_str()),
        help: String::new(),
        labels: Vec::new(),
        buckets: (kind == Kind::Histogram).then_some(BucketShape {
            count: 20,
            precision: 1,
        }),
    };
    let series: Vec<_> = kinds.iter().enumerate().map(series).collect();
    Arc::new(Layout::new(
        tier,
        INTERVAL_NS,
        Functions::default(),
        &[],
        series.into(),
    ))
}

/// Consecutive rows of a machine whose values can be told from all others.
pub(super) fn run(number: u8, first_row: u64, rows: u64, layout: &Arc<Layout>) -> Run {
    let start_ns = (1_000 + first_row) * INTERVAL_NS;
    let mut run = Run::new(source(number), layout.clone(), 0, start_ns);
    for row in first_row..first_row + rows {
        let word = |at: usize| {
            let value = row * 1_000_003 + at as u64 * 7_919 + u64::from(number);
            // Nothing that can be packed.
            (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2 | 1 << 61).to_le()
        };
        let words: Vec<u64> = (0..layout.width()).map(word).collect();
        let known: Vec<u32> = (0..layout.series().len() as u32).map(|at| 10 - at % 2).collect();
        let buckets = layout.histograms().iter().map(|_| {
            let counts: Vec<u64> = (0..20)
                .map(|bucket| if bucket % 3 == 0 { row + bucket } else { 0 })
                .collect();
            BucketCounts::from_dense(&counts)
        });
        run.push(&known, &words, buckets.collect::<Vec<_>>());
    }
    run
}

fn any_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(SENTINEL),
        Just(5.0f64.to_bits()),
        (0u32..100).prop_map(|n| (f64::from(n) / 10.0).to_bits()),
        any::<f64>().prop_map(f64::to_bits),
        any::<u64>(),
    ]
}

/// Any run of tier 1: any kinds of series, rows, and slices, of one of four machines.
pub(super) fn any_run() -> impl Strategy<Value = Run> {
    let kinds = prop::collection::vec(prop::sample::select(&Kind::ALL[..]), 1..6);
    (kinds, 1usize..12, 0u8..4, 0u64..1000).prop_flat_map(|(kinds, rows, number, first_row)| {
        let layout = layout(1, &kinds);
        let histogram_count = layout.histograms().len();
        let bucket_counts = prop::collection::vec(prop_oneof![3 => Just(0u64), 1 => any::<u64>()], 20);
        (
            prop::collection::vec(prop_oneof![Just(10u32), 0u32..300], rows * kinds.len()),
            prop::collection::vec(any_word(), rows * layout.width()),
            prop::collection::vec(bucket_counts, rows * histogram_count),
            any::<i32>(),
            prop_oneof![Just(0u64), any::<u64>()],
        )
            .prop_map(move |(known, words, buckets, clock_offset_ns, ended_ns)| Run {
                known,
                words,
                buckets: buckets
                    .iter()
                    .map(|counts| BucketCounts::from_dense(counts))
                    .collect(),
                clock_offset_ns: clock_offset_ns.into(),
                ended_ns,
                ..Run::new(
                    source(number),
                    layout.clone(),
                    0,
                    (1_000 + first_row) * INTERVAL_NS,
                )
            })
    })
}

/// Runs of tier 1 in which no row comes twice: each machine's go on where the last one ended, or later.
pub(super) fn any_runs(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Run>> {
    prop::collection::vec(any_run(), count).prop_map(|mut runs| {
        let mut next = [0u64; 4];
        for run in &mut runs {
            let machine = &mut next[usize::from(run.source.incarnation[0])];
            run.start_ns += *machine;
            *machine = run.end_ns();
        }
        runs
    })
}
