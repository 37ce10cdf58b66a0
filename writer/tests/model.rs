//! Everything a writer can be told, against the obvious: a map from interval to value for each series.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, SECOND, START, Words, path, simulated};
use proptest::prelude::*;
use rondo_writer::Writer;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const SLOTS: u64 = 8;
const INTERVAL: u64 = SECOND;

/// When something happens.
#[derive(Debug, Clone, Copy)]
enum When {
    /// Nanoseconds after the present of the test, or before it.
    Near(i64),
    /// Slab time.
    At(u64),
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// The present moves on.
    Pass(u64),
    Tick(When),
    Gauge(When, f64),
    Total(When, u64),
    Add(When, u64),
    Distribution(When, f64),
    Histogram(When, f64),
    SharedAdd(u64),
    SharedSet(f64),
}

fn op() -> impl Strategy<Value = Op> {
    let second = SECOND.cast_signed();
    let when = || {
        prop_oneof![
            6 => (0..second).prop_map(When::Near),
            2 => (-3 * second..3 * second).prop_map(When::Near),
            1 => (-12 * second..30 * second).prop_map(When::Near),
            1 => prop_oneof![0..2 * SECOND, (1 << 63)..=u64::MAX].prop_map(When::At),
        ]
    };
    let value =
        || prop_oneof![8 => -100.0..100.0f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(-0.0)];
    prop_oneof![
        2 => prop_oneof![4 => 0..2 * SECOND, 1 => 0..20 * SECOND].prop_map(Op::Pass),
        2 => when().prop_map(Op::Tick),
        2 => (when(), value()).prop_map(|(t, v)| Op::Gauge(t, v)),
        2 => (when(), 0..50u64).prop_map(|(t, v)| Op::Total(t, v)),
        1 => (when(), 0..50u64).prop_map(|(t, v)| Op::Add(t, v)),
        2 => (when(), value()).prop_map(|(t, v)| Op::Distribution(t, v)),
        2 => (when(), value()).prop_map(|(t, v)| Op::Histogram(t, v)),
        1 => (0..50u64).prop_map(Op::SharedAdd),
        1 => value().prop_map(Op::SharedSet),
    ]
}

/// What was refused, and the newest interval of all.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    stale: u64,
    future: u64,
    bad: u64,
    cursor: u64,
}

impl Counts {
    /// The interval of `t`, if a series whose newest is `newest` takes it.
    fn admit(&mut self, newest: u64, t: u64) -> Option<u64> {
        if t < INTERVAL || t < newest {
            self.stale += 1;
            None
        } else if t >= 1 << 63 {
            self.future += 1;
            None
        } else {
            self.cursor = self.cursor.max(t / INTERVAL * INTERVAL);
            Some(t / INTERVAL * INTERVAL)
        }
    }
}

/// A series that nothing is too slow for.
#[derive(Debug, Default, Clone)]
struct Series(BTreeMap<u64, Words>);

impl Series {
    fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(&start, _)| start)
    }

    fn value(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, words)| words[0])
    }

    fn put(&mut self, start: u64, words: Words) {
        // The ring: what is in the same slot goes.
        self.0
            .retain(|&t, _| t / INTERVAL % SLOTS != start / INTERVAL % SLOTS);
        self.0.insert(start, words);
    }

    fn set(&mut self, counts: &mut Counts, t: u64, bits: u64) {
        if let Some(start) = counts.admit(self.newest(), t) {
            self.put(start, vec![bits]);
        }
    }

    fn sample(&mut self, counts: &mut Counts, t: u64, sample: f64) -> bool {
        let Some(start) = counts.admit(self.newest(), t) else {
            return false;
        };
        let f = f64::from_bits;
        let words = match self.0.last_key_value() {
            None => [1.0, sample, sample, sample, sample],
            Some((&newest, old)) => {
                let (count, sum) = (old[0] as f64 + 1.0, f(old[1]) + sample);
                if newest == start {
                    [count, sum, f(old[2]).min(sample), f(old[3]).max(sample), sample]
                } else {
                    [count, sum, sample, sample, sample]
                }
            }
        };
        let mut words = words.map(f64::to_bits).to_vec();
        words[0] = f(words[0]) as u64;
        self.put(start, words);
        true
    }
}

/// Distributions as numbers, so that 0 and -0 are equal.
fn numbers(slots: &BTreeMap<u64, Words>) -> Vec<(u64, u64, Vec<f64>)> {
    let of = |words: &Words| words[1..].iter().map(|&bits| f64::from_bits(bits)).collect();
    slots.iter().map(|(&t, words)| (t, words[0], of(words))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Which intervals are present with which values, and what is counted, for any order of late samples,
    /// jumps and laps. Owned and writer-held series are told the same and must come out the same.
    #[test]
    fn a_slab_holds_what_a_map_would(ops in prop::collection::vec(op(), 1..120)) {
        let bus = common::bus();
        let mut writer: Writer = simulated(bus.path()).create().unwrap();
        let mut gauge = writer.gauge("gauge").owned().unwrap();
        let mut total = writer.counter("total").owned().unwrap();
        let mut adds = writer.counter("adds").owned().unwrap();
        let mut distribution = writer.distribution("distribution").owned().unwrap();
        let mut histogram = writer.histogram("histogram").resolution(1, 60).owned().unwrap();
        let held_gauge = writer.gauge("held_gauge").held().unwrap();
        let held_total = writer.counter("held_total").held().unwrap();
        let held_distribution = writer.distribution("held_distribution").held().unwrap();
        let held_histogram = writer.histogram("held_histogram").resolution(1, 60).held().unwrap();
        let shared_adds = writer.counter("shared_adds").shared().unwrap();
        let shared_gauge = writer.gauge("shared_gauge").shared().unwrap();

        let zero = Series(BTreeMap::from([(START, vec![0])]));
        let (mut m_total, mut m_adds, mut m_shared_adds) = (zero.clone(), zero.clone(), zero);
        let (mut m_gauge, mut m_distribution, mut m_histogram, mut m_shared_gauge) =
            (Series::default(), Series::default(), Series::default(), Series::default());
        let (mut cell, mut gauge_cell, mut ticked, mut samples) = (0, None, START, Vec::new());
        let mut counts = Counts { cursor: START, ..Counts::default() };
        // What only one series is told, as the others are told twice.
        let mut once = Counts::default();

        let mut now = START;
        for op in ops {
            let at = |when| match when {
                When::Near(ns) => now.saturating_add_signed(ns),
                When::At(t) => t,
            };
            match op {
                Op::Pass(ns) => now += ns,
                Op::Tick(when) => {
                    writer.tick_at(at(when));
                    if let Some(start) = once.admit(ticked, at(when)) {
                        ticked = start;
                        m_shared_adds.put(start, vec![cell]);
                        if let Some(bits) = gauge_cell {
                            m_shared_gauge.put(start, vec![bits]);
                        }
                    }
                }
                Op::Gauge(when, value) => {
                    gauge.set_at(at(when), value);
                    writer.record(held_gauge, value, at(when));
                    if value.is_nan() {
                        counts.bad += 1;
                    } else {
                        m_gauge.set(&mut counts, at(when), value.to_bits());
                    }
                }
                Op::Total(when, to) => {
                    total.set_total_at(at(when), to);
                    writer.record(held_total, to as f64 + 0.5, at(when));
                    if to < m_total.value() {
                        counts.bad += 1;
                    } else {
                        m_total.set(&mut counts, at(when), to);
                    }
                    prop_assert_eq!(total.total(), m_total.value());
                }
                Op::Add(when, by) => {
                    adds.add_at(at(when), by);
                    let to = m_adds.value() + by;
                    m_adds.set(&mut once, at(when), to);
                }
                Op::Distribution(when, value) => {
                    distribution.record_at(at(when), value);
                    writer.record_batch(&[(held_distribution, value)], at(when));
                    if value.is_finite() {
                        m_distribution.sample(&mut counts, at(when), value);
                    } else {
                        counts.bad += 1;
                    }
                }
                Op::Histogram(when, value) => {
                    histogram.record_at(at(when), value);
                    writer.record(held_histogram, value, at(when));
                    if !value.is_finite() || value < 0.0 {
                        counts.bad += 1;
                    } else if m_histogram.sample(&mut counts, at(when), value) {
                        samples.push(value as u64);
                    }
                }
                Op::SharedAdd(by) => {
                    shared_adds.add(by);
                    cell += by;
                }
                Op::SharedSet(value) => {
                    shared_gauge.set(value);
                    if value.is_nan() {
                        once.bad += 1;
                    } else {
                        gauge_cell = Some(value.to_bits());
                    }
                }
            }
        }

        let slab = Copy::of(path(&writer));
        prop_assert_eq!(&slab.slots("gauge"), &m_gauge.0);
        prop_assert_eq!(&slab.slots("held_gauge"), &m_gauge.0);
        prop_assert_eq!(&slab.slots("total"), &m_total.0);
        prop_assert_eq!(&slab.slots("held_total"), &m_total.0);
        prop_assert_eq!(&slab.slots("adds"), &m_adds.0);
        prop_assert_eq!(&slab.slots("shared_adds"), &m_shared_adds.0);
        prop_assert_eq!(&slab.slots("shared_gauge"), &m_shared_gauge.0);
        prop_assert_eq!(numbers(&slab.slots("distribution")), numbers(&m_distribution.0));
        prop_assert_eq!(numbers(&slab.slots("histogram")), numbers(&m_histogram.0));
        prop_assert_eq!(slab.slots("held_distribution"), slab.slots("distribution"));
        prop_assert_eq!(slab.slots("held_histogram"), slab.slots("histogram"));
        prop_assert_eq!(slab.cell("shared_adds"), cell);

        let buckets = slab.buckets("histogram");
        prop_assert_eq!(&slab.buckets("held_histogram"), &buckets);
        for (index, &count) in (0u32..).zip(&buckets) {
            let (low, high) = rondo_shm_layout::buckets::bounds(index, 1, buckets.len() as u32);
            let within = |v: &&u64| **v >= low && high.is_none_or(|high| **v < high);
            prop_assert_eq!(count, samples.iter().filter(within).count() as u64);
        }

        prop_assert_eq!(slab.live().cursor_ns.load(Ordering::Relaxed), counts.cursor.max(once.cursor));
        prop_assert_eq!(slab.live().ticked_ns.load(Ordering::Relaxed), ticked);
        prop_assert_eq!(writer.ticked_ns(), ticked);
        let refused = [0, 2 * counts.stale + once.stale, 2 * counts.future + once.future, 2 * counts.bad + once.bad];
        prop_assert_eq!(slab.refusals(), refused);
    }
}

/// The clock's judgement: one interval ahead is what clocks of different threads may differ by at
/// most; a timestamp from farther ahead would block its series until then.
#[test]
fn a_sample_from_the_future_is_refused_and_the_series_goes_on() {
    let bus = common::bus();
    let mut writer = Writer::builder("vm-1")
        .bus(bus.path())
        .schema(common::schema(8))
        .create()
        .unwrap();
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    let held = writer.gauge("held").held().unwrap();
    let now = writer.now();
    for (late, value) in [(5, 1.0), (0, 2.0), (1, 3.0), (100, 4.0)] {
        gauge.set_at(now + late * SECOND, value);
        writer.record(held, value, now + late * SECOND);
    }
    writer.tick_at(now + 5 * SECOND);
    let slab = Copy::of(path(&writer));
    assert_eq!(slab.refusals(), [0, 0, 5, 0]);
    let start = now / SECOND * SECOND;
    let expected = BTreeMap::from([
        (start, vec![2f64.to_bits()]),
        (start + SECOND, vec![3f64.to_bits()]),
    ]);
    assert_eq!(slab.slots("gauge"), expected);
    assert_eq!(slab.slots("held"), expected);
    assert_eq!(slab.live().ticked_ns.load(Ordering::Relaxed), 0);
}
