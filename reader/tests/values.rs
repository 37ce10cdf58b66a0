//! Values of any stretch of time, against an obvious model of what the specification says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Raw, SECOND, START};
use proptest::prelude::*;
use rondo_reader::{Point, PointValue, Slab};
use std::collections::BTreeMap;

/// What one second brings.
#[derive(Debug, Clone)]
struct Second {
    skip: u64,
    gauge: Option<f64>,
    add: Option<u64>,
    samples: Vec<f64>,
}

fn seconds() -> impl Strategy<Value = Vec<Second>> {
    let second = (
        prop_oneof![4 => Just(0u64), 1 => 1u64..12],
        prop::option::of(-5.0..5.0f64),
        prop::option::of(0u64..9),
        prop::collection::vec(0.0..100.0f64, 0..3),
    );
    let second = second.prop_map(|(skip, gauge, add, samples)| Second {
        skip,
        gauge,
        add,
        samples,
    });
    prop::collection::vec(second, 1..40)
}

/// What was recorded, interval by interval, for ever.
#[derive(Default)]
struct Model {
    gauge: BTreeMap<u64, f64>,
    counter: BTreeMap<u64, u64>,
    distribution: BTreeMap<u64, (u64, f64, f64, f64, f64)>,
}

const SLOTS: u64 = 8;

/// Whether the slot of `t` still holds it: none of a later lap was written.
fn survives<T>(written: &BTreeMap<u64, T>, t: u64) -> bool {
    written.contains_key(&t)
        && !written
            .keys()
            .any(|&later| later > t && (later - t).is_multiple_of(SLOTS * SECOND))
}

/// Section 11.4, as slowly as can be.
fn expected<T: Copy>(
    written: &BTreeMap<u64, T>,
    t: u64,
    show: impl Fn(T) -> PointValue,
    fill: impl Fn(Option<T>) -> Option<PointValue>,
) -> Option<(PointValue, bool)> {
    if survives(written, t) {
        return Some((show(written[&t]), false));
    }
    let present = || written.keys().copied().filter(|&at| survives(written, at));
    let reach = present()
        .max()
        .and_then(|newest| newest.checked_sub(SLOTS * SECOND));
    let before = present()
        .filter(|&at| at < t && reach.is_none_or(|reach| at >= reach))
        .max();
    if before.is_none() && reach.is_some_and(|reach| START <= reach) {
        return None;
    }
    fill(before.map(|at| written[&at])).map(|value| (value, true))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn ranges_are_what_the_model_says(seconds in seconds(), cut in 0u64..10) {
        let bus = common::bus();
        let mut writer = common::writer(bus.path(), "vm-1", SLOTS);
        let mut gauge = writer.gauge("gauge").owned().unwrap();
        let mut counter = writer.counter("counter").owned().unwrap();
        let mut distribution = writer.distribution("distribution").owned().unwrap();
        let mut model = Model::default();
        let (mut now, mut total, mut count, mut sum) = (START, 0, 0, 0.0);
        model.counter.insert(START, 0);
        for second in &seconds {
            now += (1 + second.skip) * SECOND;
            writer.tick_at(now);
            if let Some(value) = second.gauge {
                gauge.set_at(now, value);
                model.gauge.insert(now, value);
            }
            if let Some(increment) = second.add {
                counter.add_at(now, increment);
                total += increment;
                model.counter.insert(now, total);
            }
            for &sample in &second.samples {
                distribution.record_at(now, sample);
                (count, sum) = (count + 1, sum + sample);
                let (_, _, min, max, _) = *model.distribution.entry(now).or_insert((0, 0.0, sample, sample, sample));
                model.distribution.insert(now, (count, sum, min.min(sample), max.max(sample), sample));
            }
        }
        let slab = common::open(&common::path(&writer));
        let view = slab.view().unwrap();
        let (first, last) = view.window().unwrap();
        prop_assert_eq!(last, now);
        prop_assert_eq!(first, now - (SLOTS - 1) * SECOND);
        let from = first + cut * SECOND;
        let read = |name: &str| slab.range(common::series(&slab, name), &view, from, u64::MAX).unwrap();
        let wanted = |expected: &dyn Fn(u64) -> Option<(PointValue, bool)>| -> Vec<Point> {
            let starts = (from..=last).step_by(SECOND as usize);
            starts.filter_map(|t| {
                let (value, filled) = expected(t)?;
                Some(Point { t, value, filled, partial: t == last })
            }).collect()
        };
        prop_assert_eq!(read("gauge"), wanted(&|t| expected(&model.gauge, t, PointValue::Gauge, |_| None)));
        let carried = |before: Option<u64>| before.map(PointValue::Counter);
        prop_assert_eq!(read("counter"), wanted(&|t| expected(&model.counter, t, PointValue::Counter, carried)));
        let show = |(count, sum, min, max, last)| PointValue::Distribution {
            count, sum, min: Some(min), max: Some(max), last: Some(last),
        };
        let totals = |before: Option<(u64, f64, f64, f64, f64)>| {
            let (count, sum, ..) = before.unwrap_or_default();
            Some(PointValue::Distribution { count, sum, min: None, max: None, last: None })
        };
        prop_assert_eq!(
            read("distribution"),
            wanted(&|t| if t < START { None } else { expected(&model.distribution, t, show, totals) })
        );
    }

    /// A scan in pieces sees each slot once, and what it sees is what a range has that is not filled.
    #[test]
    fn scans_in_pieces_see_what_a_range_sees(seconds in seconds(), pieces in prop::collection::vec(1u64..5, 1..5)) {
        let bus = common::bus();
        let mut writer = common::writer(bus.path(), "vm-1", 64);
        let mut gauge = writer.gauge("gauge").owned().unwrap();
        let mut counter = writer.counter("counter").owned().unwrap();
        let path = common::path(&writer);
        let slab = common::open(&path);
        let (mut now, mut cursor, mut seen) = (START, 0, Vec::new());
        for (i, second) in seconds.iter().enumerate() {
            now += SECOND;
            if second.gauge.is_some() {
                gauge.set_at(now, now as f64);
                counter.add_at(now, 1);
            }
            writer.tick_at(now);
            if (i as u64).is_multiple_of(pieces[i % pieces.len()]) {
                let view = slab.view().unwrap();
                let until = view.complete_ns().unwrap_or(0);
                let next = slab.scan(&view, cursor, until, |series, point| {
                    assert!(point.t > cursor && point.t <= until && !point.partial);
                    seen.push((series.index, point.t, point.value));
                }).unwrap();
                prop_assert!(next >= cursor);
                cursor = next;
            }
        }
        let view = slab.view().unwrap();
        slab.scan(&view, cursor, u64::MAX, |series, point| seen.push((series.index, point.t, point.value))).unwrap();
        let mut wanted = Vec::new();
        for series in slab.series() {
            let points = slab.range(series, &view, 0, u64::MAX).unwrap();
            wanted.extend(points.iter().filter(|p| !p.filled).map(|p| (series.index, p.t, p.value)));
        }
        seen.sort_by_key(|(index, t, _)| (*index, *t));
        prop_assert_eq!(seen, wanted);
    }
}

fn slab_of(raw: &Raw) -> (Slab, tempfile::TempDir) {
    let bus = common::bus();
    let path = bus.path().join("x.slab");
    common::file(&path, &raw.0);
    (common::open(&path), bus)
}

/// A writer that died in the middle of a write leaves such a slot for ever.
#[test]
fn a_torn_slot_is_shown_as_torn_and_nothing_is_filled_from_it() {
    let places = common::places();
    let mut raw = Raw(common::sample_bytes());
    let t = START + 17 * SECOND;
    raw.put_u64(places.slot("counter", t), u64::MAX);
    let sequence = places.slot("distribution", t);
    raw.put_u64(sequence, raw.u64(sequence) + 1);
    let (slab, _bus) = slab_of(&raw);
    let view = slab.view().unwrap();
    for name in ["counter", "distribution"] {
        let points = slab
            .range(common::series(&slab, name), &view, t - 2 * SECOND, t + 2 * SECOND)
            .unwrap();
        let find = |at: u64| *points.iter().find(|point| point.t == at).unwrap();
        assert_eq!(
            find(t),
            Point {
                t,
                value: PointValue::Torn,
                filled: false,
                partial: false
            }
        );
        assert!(find(t + 2 * SECOND).filled);
        let totals = |point: Point| match point.value {
            PointValue::Distribution { count, .. } | PointValue::Counter(count) => count,
            other => panic!("{other:?}"),
        };
        assert!(totals(find(t - 2 * SECOND)) <= totals(find(t + 2 * SECOND)));
    }
    let mut torn = 0;
    slab.scan(&view, 0, u64::MAX, |_, point| {
        torn += u32::from(point.value == PointValue::Torn);
    })
    .unwrap();
    assert_eq!(torn, 2);
}

#[test]
fn the_latest_value_of_a_shared_series_is_its_cell() {
    let bus = common::bus();
    let mut writer = common::writer(bus.path(), "vm-1", 8);
    let counter = writer.counter("counter").shared().unwrap();
    let gauge = writer.gauge("gauge").shared().unwrap();
    counter.add(5);
    let slab = common::open(&common::path(&writer));
    let view = slab.view().unwrap();
    let latest = |name: &str| {
        slab.latest(common::series(&slab, name), &view)
            .unwrap()
            .map(|point| point.value)
    };
    assert_eq!(latest("counter"), Some(PointValue::Counter(5)));
    assert_eq!(latest("gauge"), None, "never set");
    gauge.set(2.5);
    assert_eq!(latest("gauge"), Some(PointValue::Gauge(2.5)));
}

#[test]
fn buckets_add_up_to_the_count() {
    let bus = common::bus();
    let mut writer = common::writer(bus.path(), "vm-1", 8);
    let mut histogram = writer
        .histogram("histogram")
        .resolution(2, 1 << 10)
        .owned()
        .unwrap();
    for sample in [0.0, 1.0, 1.5, 7.0, 900.0, 1e12] {
        histogram.record_at(START, sample);
    }
    let slab = common::open(&common::path(&writer));
    let view = slab.view().unwrap();
    let buckets = slab
        .buckets(common::series(&slab, "histogram"), &view)
        .unwrap()
        .unwrap();
    assert!(buckets.is_consistent);
    let shown: Vec<_> = buckets
        .non_empty()
        .map(|one| (one.lower, one.upper, one.count))
        .collect();
    assert_eq!(shown[..3], [(0, Some(1), 1), (1, Some(2), 2), (7, Some(8), 1)]);
    assert_eq!((shown[3].2, shown[4].1, shown[4].2), (1, None, 1));
}

#[test]
fn new_series_appear_with_a_refresh() {
    let bus = common::bus();
    let mut writer = common::writer(bus.path(), "vm-1", 8);
    let _first = writer.gauge("first").owned().unwrap();
    let mut slab = common::open(&common::path(&writer));
    assert!(!slab.refresh().unwrap());
    let _second = writer.gauge("second").owned().unwrap();
    assert_eq!(slab.series().len(), 1);
    assert!(slab.refresh().unwrap());
    assert_eq!(slab.series()[1].name, "second");
}

/// While samples come in at full speed, a snapshot is either of one moment or says that it is not.
#[test]
fn buckets_of_a_busy_histogram_are_consistent_or_say_so() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let bus = common::bus();
    let mut writer = common::writer(bus.path(), "vm-1", 8);
    let mut histogram = writer
        .histogram("histogram")
        .resolution(2, 1 << 10)
        .owned()
        .unwrap();
    let path = common::path(&writer);
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (mut sample, mut now) = (0u64, START);
            while !stop.load(Ordering::Relaxed) {
                sample += 1;
                if sample.is_multiple_of(1_000) {
                    now += SECOND;
                    writer.tick_at(now);
                }
                histogram.record_at(now, (sample % 1_000) as f64);
                // A sample every 100 ns or so is more than any device has.
                for _ in 0..10 {
                    std::hint::spin_loop();
                }
            }
        });
        let slab = common::open(&path);
        let (mut consistent, mut before) = (0, 0);
        for _ in 0..2_000 {
            let view = slab.view().unwrap();
            let buckets = slab
                .buckets(common::series(&slab, "histogram"), &view)
                .unwrap()
                .unwrap();
            let total = buckets.counts.iter().sum::<u64>();
            assert_eq!(buckets.is_consistent, total == buckets.count);
            assert!(total >= before, "buckets only grow");
            (consistent, before) = (consistent + u32::from(buckets.is_consistent), total);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(consistent > 0);
    });
}
