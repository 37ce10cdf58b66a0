//! The engine as it is obvious, for tests: it has all samples at once, and looks through them for every window.

use super::engine::{Aggregated, Aggregator, Reading, STALE, Times};
use super::rule::AggregateOp;
use proptest::prelude::*;
use rondo_shm_layout::Labels;
use std::collections::BTreeMap;

/// What a test does to an engine.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A sample of one of eight groups, two of each kind.
    Add { group: u8, stamp_ms: i64, value: f64 },
    /// The windows up to here.
    Emit(i64),
}

/// Windows of 10 ms; counters go on for 3, and are remembered for 13.
pub(super) const TIMES: Times = Times {
    step_ms: 10,
    quiet: 3,
    forget: 13,
};

pub(super) fn engine() -> Aggregator {
    let mut engine = Aggregator::new(TIMES.step_ms);
    engine.times = TIMES;
    engine
}

pub(super) fn labels(group: u8) -> Labels {
    vec![
        ("__name__".into(), format!("metric_{group}")),
        ("job".into(), "vmm".into()),
    ]
}

fn op(group: u8) -> AggregateOp {
    [
        AggregateOp::Sum,
        AggregateOp::Sum,
        AggregateOp::Min,
        AggregateOp::Max,
    ][usize::from(group % 4)]
}

/// Steps that go forward in time on the whole. Values are quarters, so that sums are exact in any order.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = |at: i64| {
        prop_oneof![
            4 => (0..8u8, -60..60i64, 0..40i32).prop_map(move |(group, off, quarters)| Step::Add {
                group,
                stamp_ms: (at + off).max(0),
                value: f64::from(quarters) / 4.0,
            }),
            1 => (-40..20i64).prop_map(move |off| Step::Emit((at + off).max(0))),
        ]
    };
    let pace = prop::sample::select(vec![1, 7, 7, 30, 300]);
    prop::collection::vec(pace, 0..60).prop_flat_map(move |paces| {
        let times = paces.into_iter().scan(0i64, |at, pace| {
            *at += pace;
            Some(*at)
        });
        times.map(step).collect::<Vec<_>>()
    })
}

pub(super) fn run(engine: &mut Aggregator, step: &Step) -> Vec<Aggregated> {
    match *step {
        Step::Add {
            group,
            stamp_ms,
            value,
        } => {
            let reading = match group % 4 {
                0 => Reading::Growth(value),
                _ => Reading::Value(value),
            };
            engine.add(op(group), &labels(group), stamp_ms, reading);
            Vec::new()
        }
        Step::Emit(stamp_ms) => engine.emit_until(stamp_ms),
    }
}

/// Group and stamp of each sample, and its bits, as a stale marker is equal to nothing.
pub(super) type Emitted = BTreeMap<(Labels, i64), u64>;

pub(super) fn collect(samples: Vec<Aggregated>) -> Emitted {
    let count = samples.len();
    let emitted: Emitted = samples
        .into_iter()
        .map(|sample| ((sample.labels.to_vec(), sample.stamp_ms), sample.value.to_bits()))
        .collect();
    assert_eq!(emitted.len(), count, "a sample was emitted twice");
    emitted
}

/// What should be emitted in all.
pub(super) fn expected(steps: &[Step]) -> Emitted {
    let mut mark = None;
    let mut samples: BTreeMap<u8, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Emit(stamp_ms) => mark = mark.max(Some(stamp_ms / 10)),
            Step::Add {
                group,
                stamp_ms,
                value,
            } => {
                let window = (stamp_ms + 9) / 10;
                let window = match mark {
                    Some(mark) if window <= mark && group % 4 == 0 => mark + 1,
                    Some(mark) if window <= mark => continue,
                    _ => window,
                };
                let windows = samples.entry(group).or_default();
                windows.entry(window).or_default().push(value);
            }
        }
    }
    let mut emitted = Emitted::new();
    for (group, windows) in samples {
        for window in 0..=mark.unwrap_or(-1) {
            let mut say = |window: i64, value: f64| {
                emitted.insert((labels(group), window * 10), value.to_bits());
            };
            let values = windows.get(&window);
            let past: Vec<i64> = windows.range(..=window).map(|(&window, _)| window).collect();
            let (Some(&last), true) = (past.last(), group % 4 == 0) else {
                let fold = match group % 4 {
                    1 => |a: f64, b: f64| a + b,
                    2 => f64::min,
                    _ => f64::max,
                };
                match values {
                    Some(values) => say(window, values.iter().copied().reduce(fold).unwrap()),
                    None if windows.contains_key(&(window - 1)) => say(window, STALE),
                    None => {}
                }
                continue;
            };
            // Since the last silence that was too long.
            let gap = past.windows(2).rposition(|pair| pair[1] - pair[0] > 13);
            let since = past[gap.map_or(0, |gap| gap + 1)];
            let total: f64 = windows.range(since..=last).flat_map(|(_, values)| values).sum();
            if window == since && window > 0 {
                say(window - 1, 0.0);
            }
            match window - last {
                0..=3 => say(window, total),
                4 => say(window, STALE),
                _ => {}
            }
        }
    }
    emitted
}
