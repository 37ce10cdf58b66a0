//! What leaves, by kind, tier and functions.

use super::*;
use crate::store::{BucketCounts, BucketShape, state};
use proptest::prelude::*;
use rondo_reader::Kind;
use rondo_shm_layout::{SENTINEL, buckets};

const SECOND: u64 = 1_000_000_000;

fn source() -> Source {
    Source {
        incarnation: [7; 16],
        boot_id: [0; 16],
        instance: "vm-1".into(),
        schema: "vmm".into(),
        part: 0,
        uid: 0,
        labels: vec![("tenant".into(), "blue".into())],
        created_ns: 0,
        interval_ns: SECOND,
        simulated_time: false,
    }
}

fn series(kind: Kind, name: &str, unit: Unit) -> StoredSeries {
    StoredSeries {
        kind,
        unit,
        name: name.into(),
        help: "Help.".into(),
        labels: Vec::new(),
        buckets: (kind == Kind::Histogram).then_some(BucketShape {
            count: buckets::count_for(1 << 36, 3),
            precision: 3,
        }),
    }
}

fn layout(tier: u8, functions: u32, series: Vec<StoredSeries>) -> Arc<Layout> {
    let interval_ns = if tier == 0 { SECOND } else { 10 * SECOND };
    Arc::new(Layout::new(
        tier,
        interval_ns,
        Functions(functions),
        &[],
        series.into(),
    ))
}

fn run(
    layout: &Arc<Layout>,
    known: u32,
    words: &[u64],
    counts: impl IntoIterator<Item = BucketCounts>,
) -> Run {
    let mut run = Run::new(Arc::new(source()), layout.clone(), 0, 0);
    run.push(&vec![known; layout.series().len()], words, counts);
    run
}

fn text(labels: &Labels) -> String {
    let of = |wanted: &str| {
        labels
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let name = of("__name__").unwrap_or("?");
    match of("le") {
        Some(le) => format!("{name} le {le}"),
        None => name.to_owned(),
    }
}

/// Name, kind, and value in row 0 of what leaves.
fn leaves(run: &Run, naming: Naming) -> Vec<(String, FamilyKind, Option<f64>)> {
    let all = outgoing(&run.source, &run.layout, None, naming);
    all.iter()
        .map(|one| (text(&one.labels), one.family.kind, one.value(run, 0)))
        .collect()
}

fn f(value: f64) -> u64 {
    value.to_bits()
}

#[test]
fn what_leaves_of_each_kind_tier_and_function() {
    use FamilyKind::{Counter, Gauge, Summary};
    let functions = Functions::default();
    let with = |list: &[Functions]| list.iter().copied().fold(functions, Functions::or).0;
    for (kind, tier, functions, words, expected) in [
        (
            Kind::Counter,
            0,
            0,
            vec![1_500],
            vec![("x_seconds_total", Counter, Some(1.5e-6))],
        ),
        (
            Kind::Counter,
            1,
            0,
            vec![u64::MAX],
            vec![("x_seconds_total", Counter, Some(u64::MAX as f64 / 1e9))],
        ),
        // Its average is not something that anyone asks of a counter in Prometheus.
        (
            Kind::Counter,
            1,
            with(&[Functions::AVERAGE, Functions::MAX]),
            vec![1_500, f(9.0), f(9.0)],
            vec![("x_seconds_total", Counter, Some(1.5e-6))],
        ),
        (
            Kind::Gauge,
            0,
            0,
            vec![f(3e9)],
            vec![("x_seconds", Gauge, Some(3.0))],
        ),
        (
            Kind::Gauge,
            1,
            0,
            vec![f(4e9)],
            vec![("x_seconds", Gauge, Some(2.0))],
        ),
        (
            Kind::Gauge,
            1,
            with(&[
                Functions::AVERAGE,
                Functions::MIN,
                Functions::MAX,
                Functions::LAST,
                Functions::SUM,
                Functions::COUNT,
            ]),
            vec![f(4e9), f(1e9), f(3e9), f(1e9)],
            vec![
                ("x_seconds", Gauge, Some(2.0)),
                ("x_seconds_min", Gauge, Some(1.0)),
                ("x_seconds_max", Gauge, Some(3.0)),
                ("x_seconds_last", Gauge, Some(1.0)),
                ("x_seconds_summed", Gauge, Some(4.0)),
                ("x_seconds_known", Gauge, Some(2.0)),
            ],
        ),
        (
            Kind::Gauge,
            1,
            with(&[Functions::MIN, Functions::MAX]),
            vec![f(1e9), f(3e9)],
            vec![
                ("x_seconds", Gauge, Some(3.0)),
                ("x_seconds_min", Gauge, Some(1.0)),
            ],
        ),
        (
            Kind::Gauge,
            1,
            with(&[Functions::MIN, Functions::LAST]),
            vec![f(1e9), f(3e9)],
            vec![
                ("x_seconds", Gauge, Some(3.0)),
                ("x_seconds_min", Gauge, Some(1.0)),
            ],
        ),
        (
            Kind::Gauge,
            1,
            with(&[Functions::MIN]),
            vec![f(1e9)],
            vec![("x_seconds", Gauge, Some(1.0))],
        ),
        (
            Kind::Gauge,
            1,
            with(&[Functions::COUNT]),
            vec![],
            vec![("x_seconds_known", Gauge, Some(2.0))],
        ),
        (
            Kind::Distribution,
            0,
            0,
            vec![5, f(9e9), f(1e9), f(3e9), f(2e9)],
            vec![
                ("x_seconds_count", Summary, Some(5.0)),
                ("x_seconds_sum", Summary, Some(9.0)),
                ("x_seconds_min", Gauge, Some(1.0)),
                ("x_seconds_max", Gauge, Some(3.0)),
            ],
        ),
        (
            Kind::Distribution,
            1,
            0,
            vec![5, f(9e9), SENTINEL, SENTINEL],
            vec![
                ("x_seconds_count", Summary, Some(5.0)),
                ("x_seconds_sum", Summary, Some(9.0)),
                ("x_seconds_min", Gauge, None),
                ("x_seconds_max", Gauge, None),
            ],
        ),
    ] {
        let layout = layout(tier, functions, vec![series(kind, "x_ns", Unit::Nanoseconds)]);
        assert_eq!(layout.width(), words.len(), "{kind:?} {tier} {functions}");
        let known = if tier == 0 { state::PRESENT } else { 2 };
        let found = leaves(&run(&layout, known, &words, []), Naming::default());
        let found: Vec<_> = found
            .iter()
            .map(|(name, kind, value)| (name.as_str(), *kind, *value))
            .collect();
        assert_eq!(found, expected, "{kind:?} of tier {tier}, functions {functions}");
    }
}

#[test]
fn nothing_leaves_of_what_is_not_known() {
    for (tier, known, word, expected) in [
        (0, state::UNKNOWN, f(1.0), None),
        (0, state::TORN, f(1.0), None),
        (0, state::FILLED, f(1.0), Some(1.0)),
        (1, 0, f(1.0), None),
        // Three points, and no torn one.
        (1, 3, f(6.0), Some(2.0)),
        (0, state::PRESENT, SENTINEL, None),
        (0, state::PRESENT, f(f64::NAN), None),
        (0, state::PRESENT, 0x7ff0_0000_0000_0002, None),
        (0, state::PRESENT, f(f64::INFINITY), Some(f64::INFINITY)),
        (0, state::PRESENT, f(f64::NEG_INFINITY), Some(f64::NEG_INFINITY)),
    ] {
        let layout = layout(tier, 0, vec![series(Kind::Gauge, "x", Unit::None)]);
        let run = run(&layout, known, &[word], []);
        assert_eq!(
            leaves(&run, Naming::default())[0].2,
            expected,
            "tier {tier}, known {known}, {word:x}"
        );
        let all = outgoing(&run.source, &layout, None, Naming::default());
        assert_eq!(all[0].value(&run, 1), None, "there is no such row");
    }
}

/// A total beyond 64 bits starts again from 0, which is a counter's reset to Prometheus.
#[test]
fn totals_wrap_without_an_error() {
    let layout = layout(1, 0, vec![series(Kind::Counter, "x", Unit::None)]);
    let mut run = run(&layout, 1, &[u64::MAX], []);
    run.push(&[1], &[u64::MAX.wrapping_add(5)], []);
    let all = outgoing(&run.source, &layout, None, Naming::default());
    let values: Vec<_> = (0..2).map(|row| all[0].value(&run, row)).collect();
    assert_eq!(values, [Some(u64::MAX as f64), Some(4.0)]);
}

#[test]
fn without_base_units_names_stay_but_for_what_is_reserved() {
    let naming = Naming {
        base_units: false,
        ..Naming::default()
    };
    for (name, kind, leaves_as) in [
        ("busy_ns", Kind::Counter, "busy_ns_total"),
        ("busy_ns_total", Kind::Counter, "busy_ns_total"),
        ("a:b_ns", Kind::Gauge, "a_b_ns"),
    ] {
        let layout = layout(0, 0, vec![series(kind, name, Unit::Nanoseconds)]);
        let word = if kind == Kind::Counter { 1_500 } else { f(1_500.0) };
        let found = leaves(&run(&layout, state::PRESENT, &[word], []), naming);
        assert_eq!(
            (found[0].0.as_str(), found[0].2),
            (leaves_as, Some(1_500.0)),
            "{name}"
        );
    }
}

#[test]
fn own_labels_win_over_the_machines_and_those_over_the_instance() {
    let mut source = source();
    source.labels = [("zone", "a"), ("tenant", "blue"), ("gone", "x")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let mut one = series(Kind::Gauge, "x", Unit::None);
    one.labels = [("gone", ""), ("le", "7"), ("tenant", "red")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let all = outgoing(&source, &layout(0, 0, vec![one]), Some("0707"), Naming::default());
    let labels: Vec<_> = all[0]
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        labels,
        [
            ("__name__", "x"),
            ("incarnation", "0707"),
            ("instance", "vm-1"),
            ("le", "7"),
            ("tenant", "red"),
            ("zone", "a")
        ]
    );
    // Names of the protocol cannot be taken by a slab, and not by one from somewhere else either.
    let mut two = series(Kind::Histogram, "y", Unit::None);
    two.labels = vec![("__name__".into(), "evil".into()), ("le".into(), "7".into())];
    source.labels = vec![("instance".into(), "me".into())];
    let all = outgoing(&source, &layout(0, 0, vec![two]), None, Naming::default());
    assert!(all.iter().all(|one| text(&one.labels).starts_with("y_")));
    assert!(
        all.iter()
            .all(|one| one.labels.contains(&("instance".into(), "me".into())))
    );
    let buckets = all.iter().filter(|one| text(&one.labels).starts_with("y_bucket"));
    assert_eq!(
        buckets.filter(|one| !text(&one.labels).ends_with(" 7")).count(),
        20
    );
}

/// Two samples of one series and one time would make a receiver refuse the whole request.
#[test]
fn of_equal_label_sets_one_stays() {
    let all = vec![
        series(Kind::Gauge, "x", Unit::None),
        series(Kind::Gauge, "y_ms", Unit::Milliseconds),
        series(Kind::Gauge, "y_ns", Unit::Nanoseconds),
        series(Kind::Gauge, "x_max", Unit::None),
    ];
    let layout = layout(1, Functions::AVERAGE.or(Functions::MAX).0, all);
    let words: Vec<u64> = (1..=8).map(|number| f(f64::from(number))).collect();
    let found = leaves(&run(&layout, 1, &words, []), Naming::default());
    let found: Vec<_> = found
        .iter()
        .map(|(name, _, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(
        found,
        [
            ("x", Some(1.0)),
            // Not the greatest of `x`, which `x_max` has nothing to do with.
            ("y_seconds", Some(0.003)),
            ("y_seconds_max", Some(0.004)),
            ("x_max", Some(7.0)),
            ("x_max_max", Some(8.0)),
        ]
    );
}

#[test]
fn a_histogram_has_its_boundaries_before_it_has_samples() {
    let layout = layout(1, 0, vec![series(Kind::Histogram, "x_ns", Unit::Nanoseconds)]);
    let nothing = run(
        &layout,
        1,
        &[0, f(0.0), SENTINEL, SENTINEL],
        [BucketCounts::default()],
    );
    let found = leaves(&nothing, Naming::default());
    let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names.len(), 19 + 1 + 2 + 2);
    assert_eq!(
        [names[0], names[1], names[10], names[18], names[19]],
        [
            "x_seconds_bucket le 1e-09",
            "x_seconds_bucket le 4e-09",
            "x_seconds_bucket le 0.001048576",
            "x_seconds_bucket le 68.719476736",
            "x_seconds_bucket le +Inf",
        ]
    );
    assert!(
        found[..22].iter().all(|(.., value)| *value == Some(0.0)),
        "{found:?}"
    );
    // Samples without buckets: these were forgotten, which is not the same as none.
    let forgotten = run(
        &layout,
        1,
        &[5, f(9.0), f(1.0), f(2.0)],
        [BucketCounts::default()],
    );
    let found = leaves(&forgotten, Naming::default());
    assert!(found[..19].iter().all(|(.., value)| value.is_none()));
    assert_eq!(found[19].2, Some(5.0));
}

fn counts_of(samples: &[u64], shape: BucketShape) -> BucketCounts {
    let mut counts = vec![0u64; shape.count as usize];
    for &sample in samples {
        counts[buckets::index(sample as f64, shape.precision, shape.count)] += 1;
    }
    BucketCounts::from_dense(&counts)
}

/// A row of a histogram of bytes with those samples.
fn histogram_of(samples: &[u64], shape: BucketShape) -> Run {
    let mut one = series(Kind::Histogram, "x", Unit::Bytes);
    one.buckets = Some(shape);
    let layout = layout(1, 0, vec![one]);
    let sum: f64 = samples.iter().map(|&sample| sample as f64).sum();
    let words = [samples.len() as u64, f(sum), SENTINEL, SENTINEL];
    run(&layout, 1, &words, [counts_of(samples, shape)])
}

prop_compose! {
    fn shapes()(precision in 0..=buckets::PRECISION_MAX, power in 0u32..64) -> BucketShape {
        BucketShape { count: buckets::count_for(1 << power, precision), precision }
    }
}

prop_compose! {
    fn samples()(of in prop::collection::vec((any::<u64>(), 12u32..64), 0..100)) -> Vec<u64> {
        of.into_iter().map(|(sample, shift)| sample >> shift).collect()
    }
}

proptest! {
    /// Against the samples themselves. What lies in the last bucket may be anywhere above its start.
    #[test]
    fn buckets_count_the_samples_below_their_boundary(samples in samples(), shape in shapes()) {
        let run = histogram_of(&samples, shape);
        let all = outgoing(&run.source, &run.layout, None, Naming::default());
        let (open, _) = buckets::bounds(shape.count - 1, shape.precision, shape.count);
        let (mut before, mut upper_before) = (0.0, 0.0);
        for one in all.iter().filter(|one| text(&one.labels).contains("_bucket")) {
            let le = &one.labels.iter().find(|(name, _)| name == "le").unwrap().1;
            let upper: f64 = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
            let value = one.value(&run, 0).unwrap();
            let naive = samples.iter().filter(|&&sample| upper.is_infinite() || (sample < open && (sample as f64) < upper));
            prop_assert_eq!(value, naive.count() as f64, "le {}", le);
            prop_assert!(value >= before && upper > upper_before);
            prop_assert_eq!(one.nature, Nature::Cumulative);
            (before, upper_before) = (value, upper);
        }
        prop_assert!(upper_before.is_infinite());
    }

    /// The labels of what leaves are no matter of what was measured.
    #[test]
    fn boundaries_depend_on_the_shape_alone(first in samples(), second in samples(), shape in shapes()) {
        let labels = |run: Run| {
            let all = outgoing(&run.source, &run.layout, None, Naming::default());
            all.into_iter().map(|one| one.labels).collect::<Vec<_>>()
        };
        let (first, second) = (labels(histogram_of(&first, shape)), labels(histogram_of(&second, shape)));
        prop_assert!(first.len() <= 32 + 1 + 4);
        prop_assert_eq!(first, second);
    }

    /// Each sample is in the bucket of its power of two, and Prometheus' own check holds: the buckets add up to the count.
    #[test]
    fn a_native_histogram_counts_each_power_of_two(samples in samples(), shape in shapes()) {
        let run = histogram_of(&samples, shape);
        let naming = Naming { histograms: Histograms::Native, ..Naming::default() };
        let all = outgoing(&run.source, &run.layout, None, naming);
        let names: Vec<String> = all.iter().map(|one| text(&one.labels)).collect();
        prop_assert_eq!(names, ["x_bytes", "x_bytes_min", "x_bytes_max"]);
        prop_assert!(all[0].is_native() && all[0].value(&run, 0).is_none());
        let native = all[0].native(&run, 0).unwrap();
        prop_assert_eq!(native.count, samples.len() as u64);
        let (open, _) = buckets::bounds(shape.count - 1, shape.precision, shape.count);
        let mut naive = std::collections::BTreeMap::new();
        for &sample in samples.iter().filter(|&&sample| sample > 0) {
            *naive.entry(sample.min(open).ilog2().cast_signed() + 1).or_insert(0u64) += 1;
        }
        prop_assert_eq!(native.buckets().collect::<Vec<_>>(), naive.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(native.zero_count, samples.iter().filter(|&&sample| sample == 0).count() as u64);
        prop_assert!(native.spans.iter().skip(1).all(|span| span.offset > 0), "spans could be joined");
    }
}

/// Boundaries of nanoseconds in seconds are no powers of two.
#[test]
fn histograms_leave_native_only_where_that_is_exact() {
    let count = |unit: Unit, base_units, histograms| {
        let layout = layout(1, 0, vec![series(Kind::Histogram, "x", unit)]);
        let naming = Naming {
            base_units,
            histograms,
        };
        let all = outgoing(&source(), &layout, None, naming);
        (all.iter().filter(|one| one.is_native()).count(), all.len())
    };
    let (classic, native, both) = ((0, 24), (1, 3), (1, 25));
    assert_eq!(count(Unit::Nanoseconds, true, Histograms::Native), classic);
    assert_eq!(count(Unit::Nanoseconds, true, Histograms::Both), classic);
    assert_eq!(count(Unit::Nanoseconds, false, Histograms::Native), native);
    assert_eq!(count(Unit::Bytes, true, Histograms::Classic), classic);
    assert_eq!(count(Unit::Bytes, true, Histograms::Both), both);
    assert_eq!(count(Unit::Kibibytes, true, Histograms::Native), native);
    // 3 KiB are in (2^11, 2^12] bytes.
    let layout = layout(1, 0, vec![series(Kind::Histogram, "x", Unit::Kibibytes)]);
    let shape = layout.series()[0].buckets.unwrap();
    let run = run(
        &layout,
        1,
        &[2, f(3.0), f(0.0), f(3.0)],
        [counts_of(&[0, 3], shape)],
    );
    let naming = Naming {
        histograms: Histograms::Native,
        ..Naming::default()
    };
    let native = outgoing(&run.source, &layout, None, naming)[0]
        .native(&run, 0)
        .unwrap();
    assert_eq!(native.buckets().collect::<Vec<_>>(), [(12, 1)]);
    assert_eq!(
        (native.zero_threshold, native.zero_count, native.sum),
        (1_024.0, 1, 3_072.0)
    );
}

#[test]
fn a_row_is_stamped_with_its_end_or_with_that_of_its_machine() {
    let layout = layout(1, 0, vec![series(Kind::Counter, "x", Unit::None)]);
    let mut run = run(&layout, 1, &[1], []);
    run.start_ns = 100 * SECOND;
    run.push(&[1], &[2], []);
    let offset = 1_700_000_000 * SECOND.cast_signed() + 999_999;
    let stamps = |run: &Run| [0, 1].map(|row| stamp_ns(run, row, offset) - offset);
    let seconds = |first: u64, second: u64| [first * SECOND, second * SECOND].map(u64::cast_signed);
    assert_eq!(stamps(&run), seconds(110, 120));
    for (last_tick, end) in [(110, 111), (113, 114), (118, 119), (119, 120)] {
        run.ended_ns = last_tick * SECOND;
        assert_eq!(stamps(&run), seconds(110, end), "last tick at {last_tick}");
    }
    // It ended before this run: nonsense, but of a stranger's store.
    run.ended_ns = 5 * SECOND;
    assert_eq!(stamps(&run), seconds(110, 120));
    assert_eq!(stamp_ms(&run, 0, offset), 1_700_000_110_000);
    assert_eq!(stamp_ms(&run, 0, -(110 * SECOND.cast_signed()) - 1), -1);
    assert_eq!(stamp_ns(&run, usize::MAX, i64::MAX), i64::MAX);
}
