//! A state that is written down comes back, and bytes that are none are refused.

use super::super::naive::{self, Step, engine, labels, steps};
use super::super::{AggregateOp, Reading};
use super::*;
use proptest::prelude::*;

fn restored(bytes: &[u8]) -> Aggregator {
    let mut fresh = engine();
    fresh.apply(bytes).unwrap();
    fresh
}

/// An engine with something of everything, and the changes that made it.
fn busy() -> (Aggregator, Vec<Vec<u8>>) {
    let mut engine = engine();
    let mut log = Vec::new();
    for step in 0..40i64 {
        let stamp_ms = 100 + step * 7;
        let group = (step % 8) as u8;
        naive::run(
            &mut engine,
            &Step::Add {
                group,
                stamp_ms,
                value: step as f64 / 4.0,
            },
        );
        if step % 5 == 0 {
            engine.emit_until(stamp_ms - 40);
        }
        log.push(engine.changes());
    }
    (engine, log)
}

#[test]
fn nothing_new_is_nothing_to_write() {
    let mut engine = engine();
    assert!(engine.changes().is_empty());
    engine.apply(&[]).unwrap();
    engine.add(AggregateOp::Sum, &labels(0), 100, Reading::Growth(1.0));
    assert!(!engine.changes().is_empty());
    assert!(engine.changes().is_empty());
    engine.emit_until(100);
    assert!(!engine.changes().is_empty());
    engine.emit_until(100);
    assert!(engine.changes().is_empty());
}

/// A batch is sent every few seconds; it must not cost what all groups cost.
#[test]
fn changes_are_small_and_name_a_group_once() {
    let mut engine = engine();
    for group in 0..200u8 {
        engine.add(AggregateOp::Sum, &labels(group), 100, Reading::Growth(1.0));
    }
    let all = engine.changes();
    for stamp_ms in (110..1_000).step_by(10) {
        engine.add(AggregateOp::Sum, &labels(7), stamp_ms, Reading::Growth(1.0));
    }
    engine.changes();
    engine.add(AggregateOp::Sum, &labels(7), 500, Reading::Growth(1.0));
    let one = engine.changes();
    assert!(
        all.len() > 200 * 20 && one.len() < 50,
        "{} {}",
        all.len(),
        one.len()
    );
}

#[test]
fn a_state_of_other_windows_or_of_another_version_is_refused() {
    let (engine, _) = busy();
    let mut bytes = engine.snapshot();
    let error = Aggregator::new(60_000).apply(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "aggregation state of windows of 10 ms, not of 60000 ms"
    );
    bytes[0] = 9;
    let error = naive::engine().apply(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "aggregation state of format 9; this version understands 1"
    );
}

#[test]
fn changes_that_follow_another_state_are_refused() {
    let (mut engine, log) = busy();
    // A group that is not there.
    let mut fresh = naive::engine();
    assert!(fresh.apply(&log[30]).is_err());
    // Windows that were emitted.
    let before = engine.snapshot();
    assert!(engine.apply(&log[0]).is_err());
    // Other labels under the same number.
    let mut other = naive::engine();
    other.add(AggregateOp::Sum, &labels(99), 100, Reading::Value(1.0));
    other.emit_until(400);
    other.add(AggregateOp::Sum, &labels(98), 500, Reading::Value(1.0));
    assert!(engine.apply(&other.snapshot()).is_err());
    assert_eq!(engine.snapshot(), before);
}

#[test]
fn more_than_an_engine_may_hold_is_refused() {
    let (engine, _) = busy();
    for (groups, cells) in [(engine.group_count() - 1, 1_000), (1_000, engine.cell_count - 1)] {
        let mut small = naive::engine();
        (small.bounds.groups, small.bounds.cells) = (groups, cells);
        assert!(
            small
                .apply(&engine.snapshot())
                .unwrap_err()
                .to_string()
                .contains("more groups")
        );
        assert_eq!(small.group_count(), 0);
    }
}

proptest! {
    /// Killed at any point, by either way back.
    #[test]
    fn a_kill_changes_nothing_of_what_is_emitted(
        steps in steps(),
        kills in prop::collection::vec(prop::sample::select(vec!["", "", "write", "snapshot", "replay"]), 60),
    ) {
        let (mut steady, mut killed) = (engine(), engine());
        let mut log: Vec<Vec<u8>> = Vec::new();
        for (step, kill) in steps.iter().zip(kills) {
            prop_assert_eq!(
                format!("{:?}", naive::run(&mut steady, step)),
                format!("{:?}", naive::run(&mut killed, step))
            );
            match kill {
                "write" => log.push(killed.changes()),
                "snapshot" => {
                    let bytes = killed.snapshot();
                    killed = restored(&bytes);
                    log = vec![bytes];
                }
                "replay" => {
                    log.push(killed.changes());
                    let before = killed.snapshot();
                    killed = engine();
                    for bytes in &log {
                        killed.apply(bytes).unwrap();
                    }
                    prop_assert_eq!(killed.snapshot(), before.clone());
                    // Once more, as after a kill while the log was made shorter.
                    killed.apply(log.last().unwrap()).unwrap();
                    prop_assert_eq!(killed.snapshot(), before);
                }
                _ => {}
            }
            prop_assert_eq!(steady.cell_count, killed.cell_count);
        }
        prop_assert_eq!(steady.snapshot(), killed.snapshot());
    }

    /// Whatever a disk gives back is a state or an error, and an error leaves things as they are.
    #[test]
    fn damaged_bytes_are_a_state_or_an_error(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let (mut engine, log) = busy();
        for mut bytes in [engine.snapshot(), log[38].clone()] {
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            for engine in [&mut engine, &mut naive::engine()] {
                let before = engine.snapshot();
                match engine.apply(&bytes) {
                    Ok(()) => prop_assert_eq!(restored(&engine.snapshot()).snapshot(), engine.snapshot()),
                    Err(_) => prop_assert_eq!(engine.snapshot(), before),
                }
                engine.clone().emit_until(100_000);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_state_or_an_error(bytes in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..60)) {
        let mut head = vec![VERSION, 10];
        head.extend(bytes);
        let mut engine = engine();
        if engine.apply(&head).is_ok() {
            prop_assert_eq!(restored(&engine.snapshot()).snapshot(), engine.snapshot());
            engine.emit_until(100_000);
        }
    }
}
