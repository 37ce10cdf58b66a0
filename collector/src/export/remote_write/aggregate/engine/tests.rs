//! The engine, by examples and against the obvious one.

use super::super::naive::{self, collect, engine, expected, labels, steps};
use super::*;
use proptest::prelude::*;

const COUNTER: u8 = 0;
const GAUGE: u8 = 1;

fn grow(engine: &mut Aggregator, stamp_ms: i64, growth: f64) {
    engine.add(
        AggregateOp::Sum,
        &labels(COUNTER),
        stamp_ms,
        Reading::Growth(growth),
    );
}

fn say(engine: &mut Aggregator, stamp_ms: i64, value: f64) {
    engine.add(AggregateOp::Sum, &labels(GAUGE), stamp_ms, Reading::Value(value));
}

/// Stamps and values, as texts because of stale markers.
fn emit(engine: &mut Aggregator, until_ms: i64) -> Vec<(i64, String)> {
    let shown = |value: f64| match value.to_bits() == STALE.to_bits() {
        true => "stale".to_owned(),
        false => value.to_string(),
    };
    let samples = engine.emit_until(until_ms);
    samples
        .iter()
        .map(|one| (one.stamp_ms, shown(one.value)))
        .collect()
}

fn pairs(pairs: &[(i64, &str)]) -> Vec<(i64, String)> {
    pairs
        .iter()
        .map(|&(stamp, value)| (stamp, value.to_owned()))
        .collect()
}

#[test]
fn a_sample_belongs_to_the_window_that_ends_at_or_after_it() {
    let mut engine = engine();
    for (stamp_ms, value) in [(100, 1.0), (91, 2.0), (101, 10.0), (110, 20.0)] {
        say(&mut engine, stamp_ms, value);
    }
    assert_eq!(emit(&mut engine, 99), []);
    assert_eq!(emit(&mut engine, 109), pairs(&[(100, "3")]));
    assert_eq!(emit(&mut engine, 109), []);
    assert_eq!(emit(&mut engine, 120), pairs(&[(110, "30"), (120, "stale")]));
    assert_eq!(engine.emitted_until_ms(), Some(120));
    assert_eq!(engine.group_count(), 0);
}

/// A machine of 45 s ends; what it did still counts.
#[test]
fn a_counter_grows_over_machines_that_come_and_go() {
    let mut engine = engine();
    grow(&mut engine, 100, 5.0);
    grow(&mut engine, 100, 7.0);
    grow(&mut engine, 110, 1.5);
    // Nothing for two windows, and another machine.
    grow(&mut engine, 137, 2.0);
    let expected = pairs(&[
        (90, "0"),
        (100, "12"),
        (110, "13.5"),
        (120, "13.5"),
        (130, "13.5"),
        (140, "15.5"),
    ]);
    assert_eq!(emit(&mut engine, 140), expected);
}

#[test]
fn a_counter_that_nobody_reports_goes_stale_comes_back_and_is_forgotten_at_last() {
    let mut engine = engine();
    grow(&mut engine, 100, 4.0);
    let expected = pairs(&[
        (90, "0"),
        (100, "4"),
        (110, "4"),
        (120, "4"),
        (130, "4"),
        (140, "stale"),
    ]);
    assert_eq!(emit(&mut engine, 200), expected);
    grow(&mut engine, 230, 1.0);
    assert_eq!(emit(&mut engine, 230), pairs(&[(230, "5")]));
    // 13 windows are remembered.
    assert_eq!(emit(&mut engine, 360).last(), Some(&(270, "stale".into())));
    assert_eq!(engine.group_count(), 1);
    assert_eq!(emit(&mut engine, 370), []);
    assert_eq!(engine.group_count(), 0);
    grow(&mut engine, 380, 1.0);
    assert_eq!(emit(&mut engine, 380), pairs(&[(370, "0"), (380, "1")]));
}

#[test]
fn late_growth_is_in_the_next_window_and_late_values_are_counted() {
    let mut engine = engine();
    grow(&mut engine, 100, 1.0);
    say(&mut engine, 100, 1.0);
    assert_eq!(
        emit(&mut engine, 100),
        pairs(&[(90, "0"), (100, "1"), (100, "1")])
    );
    grow(&mut engine, 100, 2.0);
    grow(&mut engine, 20, 4.0);
    say(&mut engine, 100, 2.0);
    assert_eq!(emit(&mut engine, 110), pairs(&[(110, "7"), (110, "stale")]));
    let AggregatorCounts { late, delayed, .. } = engine.counts();
    assert_eq!((late, delayed), (1, 2));
}

#[test]
fn least_and_greatest_are_of_values_or_of_growth_in_a_window() {
    let mut engine = engine();
    for value in [3.0, -1.0, 2.0] {
        engine.add(AggregateOp::Min, &labels(2), 100, Reading::Value(value));
    }
    for growth in [3.0, 1.0] {
        engine.add(AggregateOp::Max, &labels(3), 100, Reading::Growth(growth));
    }
    assert_eq!(
        emit(&mut engine, 110),
        pairs(&[(100, "-1"), (100, "3"), (110, "stale"), (110, "stale")])
    );
}

#[test]
fn what_there_is_no_room_for_is_refused_and_counted() {
    let mut engine = engine();
    (engine.bounds.groups, engine.bounds.cells) = (2, 3);
    for group in 0..4 {
        engine.add(AggregateOp::Sum, &labels(group), 100, Reading::Value(1.0));
    }
    for stamp_ms in [110, 120, 100] {
        engine.add(AggregateOp::Sum, &labels(0), stamp_ms, Reading::Value(1.0));
    }
    assert_eq!(engine.counts().refused, 3);
    assert_eq!(
        emit(&mut engine, 110),
        pairs(&[(100, "2"), (100, "1"), (110, "1"), (110, "stale")])
    );
    // There is room again.
    engine.add(AggregateOp::Sum, &labels(4), 120, Reading::Value(1.0));
    assert_eq!((engine.counts().refused, engine.group_count()), (3, 2));
}

#[test]
fn what_cannot_be_added_up_is_left_out_and_counted() {
    let mut engine = engine();
    say(&mut engine, 100, 1.0);
    // The same labels with another meaning.
    engine.add(AggregateOp::Max, &labels(GAUGE), 100, Reading::Value(9.0));
    engine.add(AggregateOp::Sum, &labels(GAUGE), 100, Reading::Growth(9.0));
    assert_eq!(engine.counts().conflicting, 2);
    for value in [f64::NAN, f64::INFINITY, STALE] {
        say(&mut engine, 100, value);
    }
    grow(&mut engine, 100, -1.0);
    say(&mut engine, -1, 1.0);
    say(&mut engine, i64::MAX, 1.0);
    let unnamed = vec![("job".to_owned(), "a".to_owned())];
    engine.add(AggregateOp::Sum, &unnamed, 100, Reading::Value(1.0));
    let mut long = labels(GAUGE);
    long[1].1 = "x".repeat(LABELS_BYTES_MAX);
    engine.add(AggregateOp::Sum, &long, 100, Reading::Value(1.0));
    assert_eq!(engine.counts().unusable, 8);
    assert_eq!(emit(&mut engine, i64::MAX), pairs(&[(100, "1"), (110, "stale")]));
}

/// A new engine must not say anything for a time that an old one spoke of.
#[test]
fn an_engine_that_begins_after_another_leaves_out_a_window() {
    let mut engine = Aggregator::beginning_after(10, 95);
    grow(&mut engine, 95, 1.0);
    say(&mut engine, 110, 1.0);
    assert_eq!(emit(&mut engine, 120), pairs(&[(110, "0"), (120, "1")]));
    assert_eq!(engine.counts().late, 1);
}

#[test]
fn counters_go_on_for_minutes_whatever_the_step() {
    for (step_ms, quiet, forget) in [
        (1_000, 300, 21_600),
        (10_000, 30, 2_160),
        (300_000, 1, 72),
        (86_400_000, 1, 4),
    ] {
        let times = Times::new(step_ms);
        assert_eq!((times.quiet, times.forget), (quiet, forget));
    }
    assert_eq!(Times::new(0).step_ms, 1);
}

proptest! {
    #[test]
    fn what_is_emitted_is_what_all_samples_at_once_give(steps in steps()) {
        let mut engine = engine();
        let samples = steps.iter().flat_map(|step| naive::run(&mut engine, step)).collect();
        prop_assert_eq!(collect(samples), expected(&steps));
    }

    /// However far the caller goes at once.
    #[test]
    fn windows_are_in_order_of_time_and_the_same_in_one_go(steps in steps(), by_ms in 1..500i64) {
        let (mut one, mut many) = (engine(), engine());
        for step in steps.iter().filter(|step| matches!(step, naive::Step::Add { .. })) {
            naive::run(&mut one, step);
            naive::run(&mut many, step);
        }
        let at_once = one.emit_until(20_000);
        let ends: Vec<i64> = at_once.iter().filter(|sample| sample.value != 0.0).map(|sample| sample.stamp_ms).collect();
        prop_assert!(ends.is_sorted());
        let in_steps: Vec<Aggregated> = (0..=20_000 / by_ms + 1).flat_map(|n| many.emit_until((n * by_ms).min(20_000))).collect();
        prop_assert_eq!(collect(at_once), collect(in_steps));
        prop_assert_eq!((one.cell_count, one.group_count()), (0, 0));
    }
}
