//! Registering: who gets a handle, who is refused, and what a refusal costs the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, SECOND, START, bus, path, schema, simulated};
use rondo_shm_layout::{Access, Unit};
use rondo_writer::{
    ConsolidationFn, Counter, Distribution, Gauge, Histogram, LabelMatcher, RegisterError, SchemaConfig,
    SharedCounter, SharedGauge, TierConfig, Writer,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn refused(writer: &Writer) -> u64 {
    Copy::of(path(writer)).refusals()[0]
}

/// Two handles on one column would be two writers of one slot; so the second is told. Held and
/// shared series have one writer however often they are asked for.
#[test]
fn an_owned_series_has_one_handle_and_others_are_the_same_again() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let first = writer.gauge("owned").label("vcpu", "0").owned().unwrap();
    let again = writer.gauge("owned").label("vcpu", "0").owned();
    assert_eq!(again.err(), Some(RegisterError::AlreadyOwned("owned".into())));
    assert!(
        writer.gauge("owned").label("vcpu", "1").owned().is_ok(),
        "other labels are another series"
    );
    drop(first);
    assert!(writer.gauge("owned").label("vcpu", "0").owned().is_ok());

    let held = writer
        .gauge("held")
        .label("b", "2")
        .label("a", "1")
        .held()
        .unwrap();
    assert_eq!(
        writer.gauge("held").label("a", "1").label("b", "2").held(),
        Ok(held)
    );

    let shared = [(); 3].map(|()| writer.counter("shared").shared().unwrap());
    shared.iter().for_each(|counter| counter.add(1));
    shared[0].clone().add(1);
    writer.tick_at(START + SECOND);
    let slab = Copy::of(path(&writer));
    assert_eq!((slab.newest("shared"), slab.slots("shared").len()), (4, 2));
    assert_eq!(slab.series.len(), 4);
    assert_eq!(refused(&writer), 1);
}

/// A thread that ends gives its series back, and whoever takes it next must not start over: readers
/// would see a total fall.
#[test]
fn a_series_goes_on_where_its_last_handle_stopped() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    for life in 0..3u64 {
        let now = START + life * SECOND;
        let mut counter = writer.counter("counter").owned().unwrap();
        let mut distribution = writer.distribution("distribution").owned().unwrap();
        let mut histogram = writer.histogram("histogram").owned().unwrap();
        assert_eq!(counter.total(), 10 * life);
        counter.add_at(now, 10);
        distribution.record_at(now, 2.0);
        histogram.record_at(now, 2.0);
        // Late for the newest interval, whichever handle that was.
        counter.add_at(now - SECOND, 1);
    }
    let slab = Copy::of(path(&writer));
    assert_eq!(slab.newest("counter"), 30);
    assert_eq!((slab.newest("distribution"), slab.newest("histogram")), (3, 3));
    assert_eq!(slab.slots("counter").len(), 3);
    assert_eq!(slab.refusals(), [0, 3, 0, 0]);
    slab.assert_buckets_add_up();
}

#[test]
fn a_series_is_not_two_things() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let held = writer.gauge("x").unit(Unit::Bytes).held();
    assert!(held.is_ok() && writer.histogram("h").label("vcpu", "0").owned().is_ok());
    let what = |error: Option<RegisterError>| match error {
        Some(RegisterError::Mismatch { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(writer.counter("x").unit(Unit::Bytes).held().err()), "kind");
    // The kind goes with the name, or the exposition formats could not say it.
    assert_eq!(what(writer.counter("x").label("a", "1").held().err()), "kind");
    assert_eq!(what(writer.gauge("x").held().err()), "unit");
    assert_eq!(what(writer.gauge("x").unit(Unit::Bytes).owned().err()), "access");
    assert_eq!(what(writer.gauge("x").unit(Unit::Bytes).shared().err()), "access");
    assert_eq!(
        what(
            writer
                .histogram("h")
                .label("vcpu", "0")
                .resolution(4, 9)
                .owned()
                .err()
        ),
        "resolution"
    );
    // The slab keeps words: one that the caller spells out is the same.
    assert_eq!(writer.gauge("x").unit(Unit::Other("bytes".into())).held(), held);
    assert_eq!(refused(&writer), 6);
    assert_eq!(Copy::of(path(&writer)).series.len(), 2);
}

#[test]
fn what_is_not_allowed_is_refused_and_counted() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let long = "x".repeat(201);
    let mut refusals = 0;
    let mut check = |error: Option<RegisterError>, expected: &str| {
        let error = error.unwrap_or_else(|| panic!("{expected} was taken"));
        assert!(error.to_string().contains(expected), "{error}");
        refusals += 1;
    };
    for name in ["", "9lives", "a-b", "a b", "é", long.as_str()] {
        check(writer.gauge(name).owned().err(), "is not a metric name");
        check(writer.gauge(name).held().err(), "is not a metric name");
        check(writer.gauge(name).shared().err(), "is not a metric name");
    }
    for (name, value) in [
        ("le", "1"),
        ("instance", "x"),
        ("__a", "x"),
        ("a-b", "x"),
        ("a", ""),
        ("a", "\n"),
    ] {
        check(writer.gauge("g").label(name, value).held().err(), "series g: ");
    }
    check(
        writer.gauge("g").label("a", "1").label("a", "2").held().err(),
        "given twice",
    );
    let many = (0..65).fold(writer.gauge("g"), |g, i| g.label(&format!("l{i}"), "x"));
    check(many.held().err(), "more than 64");
    check(
        writer.gauge("g").help(&"x".repeat(1025)).held().err(),
        "help is too long",
    );
    check(
        writer.gauge("g").help("two\nlines").held().err(),
        "control characters",
    );
    check(
        writer.gauge("g").unit(Unit::Other("x".repeat(33))).held().err(),
        "unit or help",
    );
    check(writer.histogram("h").resolution(7, 100).held().err(), "precision");
    let slab = Copy::of(path(&writer));
    assert_eq!((slab.series.len(), slab.refusals()), (0, [refusals, 0, 0, 0]));
    // 200 bytes and a sample_max of any size are fine.
    assert!(writer.gauge(&long[..200]).owned().is_ok());
    assert!(writer.histogram("h").resolution(0, u64::MAX).owned().is_ok());
    assert!(writer.histogram("tiny").resolution(6, 0).owned().is_ok());
    assert_eq!(Copy::of(path(&writer)).series.len(), 3);
}

/// A full pool must refuse what does not fit and nothing else: what a refused series had taken would be
/// lost to all that come later, and the count tells operators that something is missing.
#[test]
fn each_pool_refuses_what_does_not_fit_and_takes_what_does() {
    let bus = bus();
    let mut config = schema(8);
    (config.series_max, config.distribution_max, config.shared_max) = (3, 3, 1);
    (config.buckets_max, config.strings_max) = (100, 256);
    let mut writer = Writer::builder("full")
        .bus(bus.path())
        .schema(config)
        .simulated_time(START)
        .create()
        .unwrap();
    let full = |error: Option<RegisterError>| match error {
        Some(RegisterError::Full { field, max, .. }) => (field, max),
        other => panic!("{other:?}"),
    };

    // Buckets: 31 + 31 of 100, and 64 more do not fit, but 31 do.
    assert!(writer.histogram("a").resolution(0, 1 << 29).owned().is_ok());
    assert!(writer.histogram("b").resolution(0, 1 << 29).held().is_ok());
    assert_eq!(
        full(writer.histogram("c").resolution(0, 1 << 62).owned().err()),
        ("buckets_max", 100)
    );
    assert!(writer.histogram("c").resolution(0, 1 << 29).owned().is_ok());
    assert_eq!(
        full(writer.distribution("d").owned().err()),
        ("distribution_max", 3)
    );

    // Strings: a long help after a name that fits must not keep the name's room.
    let help = "x".repeat(220);
    for i in 0..50 {
        let error = writer
            .gauge(&format!("a_name_that_takes_room_{i}"))
            .help(&help)
            .held()
            .err();
        assert_eq!(full(error).0, "strings_max");
    }
    assert!(writer.gauge("g").help(&help[..100]).held().is_ok());

    // Cells, then the points themselves.
    let shared = writer.gauge("s").shared();
    assert!(shared.is_ok());
    assert_eq!(full(writer.counter("t").shared().err()), ("shared_max", 1));
    assert!(writer.counter("t").owned().is_ok());
    assert_eq!(full(writer.gauge("u").owned().err()), ("series_max", 3));
    assert_eq!(full(writer.gauge("u").held().err()), ("series_max", 3));

    let slab = Copy::of(path(&writer));
    let names: Vec<_> = slab.series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "g", "s", "t"]);
    assert_eq!(slab.refusals(), [55, 0, 0, 0]);
}

/// Equal texts are stored once, within one series too.
#[test]
fn equal_texts_take_room_once() {
    let bus = bus();
    let mut config = schema(8);
    config.strings_max = 16;
    let mut writer = Writer::builder("vm-1")
        .bus(bus.path())
        .schema(config)
        .create()
        .unwrap();
    for kind in ["same", "same"] {
        let same = writer
            .gauge("bytes_of_name")
            .help("bytes_of_name")
            .label("vcpu", kind);
        assert!(
            matches!(same.held().err(), Some(RegisterError::Full { .. })),
            "the labels are 8 bytes too long"
        );
    }
    assert!(writer.gauge("bytes_of_name").help("bytes_of_name").held().is_ok());
    let slab = Copy::of(path(&writer));
    assert_eq!(slab.find("bytes_of_name").help, "bytes_of_name");
}

#[test]
fn the_first_schema_whose_matchers_fit_takes_a_series() {
    let bus = bus();
    let with = |name: &str, matchers: &[LabelMatcher]| SchemaConfig {
        name: name.into(),
        matchers: matchers.to_vec(),
        ..schema(8)
    };
    let disk = LabelMatcher::Label("device".into(), "vda".into());
    let block = LabelMatcher::NamePrefix("block_".into());
    let mut writer = Writer::builder("vm-1")
        .bus(bus.path())
        .schema(with("both", &[disk, block.clone()]))
        .schema(with("block", &[block]))
        .schema(with("one", &[LabelMatcher::Name("steal".into())]))
        .simulated_time(START)
        .create()
        .unwrap();
    let paths: Vec<_> = writer.paths().map(ToOwned::to_owned).collect();
    let handles = [
        writer.gauge("block_reads").label("device", "vda").held().unwrap(),
        writer.gauge("block_reads").label("device", "vdb").held().unwrap(),
        writer.gauge("steal").held().unwrap(),
    ];
    let shared = writer.counter("block_writes").shared().unwrap();
    let error = writer.gauge("other").owned().err();
    assert_eq!(error, Some(RegisterError::NoSchema("other".into())));
    // One record and one tick reach all slabs.
    writer.record_batch(&handles.map(|handle| (handle, 1.5)), START);
    shared.add(7);
    writer.tick_at(START + SECOND);
    for (path, names) in paths.iter().zip([
        vec!["block_reads"],
        vec!["block_reads", "block_writes"],
        vec!["steal"],
    ]) {
        let slab = Copy::of(path);
        assert_eq!(
            slab.series.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            names
        );
        assert_eq!(slab.newest(names[0]), 1.5f64.to_bits());
        assert_eq!(slab.live().ticked_ns.load(Ordering::Relaxed), START + SECOND);
    }
    assert_eq!(Copy::of(&paths[1]).newest("block_writes"), 7);
    assert_eq!(Copy::of(&paths[0]).refusals()[0], 1);
}

/// A handle of another writer, or of one that is gone, must not write where it does not belong.
#[test]
fn a_handle_of_another_writer_does_nothing() {
    let (one, two) = (bus(), bus());
    let mut mine = simulated(one.path()).create().unwrap();
    let mut other = simulated(two.path()).create().unwrap();
    let handle = mine.gauge("mine").held().unwrap();
    assert!(other.gauge("theirs").held().is_ok());
    other.record(handle, 1.0, START);
    assert!(Copy::of(path(&other)).slots("theirs").is_empty());
    mine.record(handle, 1.0, START);
    assert_eq!(Copy::of(path(&mine)).slots("mine").len(), 1);
}

/// Without the zero, the first increase would have nothing to differ from.
#[test]
fn a_counters_zero_is_there_before_its_first_add() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let (_owned, _shared) = (
        writer.counter("owned").owned().unwrap(),
        writer.counter("shared").shared().unwrap(),
    );
    assert!(writer.counter("held").held().is_ok());
    let slab = Copy::of(path(&writer));
    for (name, access) in [
        ("owned", Access::Owned),
        ("shared", Access::Shared),
        ("held", Access::WriterHeld),
    ] {
        assert_eq!(
            slab.slots(name).into_iter().collect::<Vec<_>>(),
            [(START, vec![0])],
            "{name}"
        );
        assert_eq!(
            (slab.find(name).access, slab.find(name).registered_ns),
            (access, START)
        );
    }
}

/// Whoever holds no handle to end can still say that a device went away.
#[test]
fn a_held_series_can_be_ended_and_registered_again() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let handle = writer.gauge("gauge").held().unwrap();
    writer.record(handle, 1.0, START);
    writer.tick_at(START + SECOND);
    let ended = |writer: &Writer| {
        let slab = Copy::of(path(writer));
        slab.find("gauge").ended_ns(slab.image())
    };
    writer.end(handle);
    assert_eq!(ended(&writer), Some(START + SECOND));
    let two = common::bus();
    simulated(two.path()).create().unwrap().end(handle); // of another writer: nothing
    assert_eq!(writer.gauge("gauge").held(), Ok(handle));
    assert_eq!(ended(&writer), None);
}

/// Unplugging a device and plugging in another at the same place is one series with a gap.
#[test]
fn an_ended_series_can_be_registered_again() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let ended = |writer: &Writer| {
        let slab = Copy::of(path(writer));
        slab.series
            .iter()
            .map(|series| series.ended_ns(slab.image()))
            .collect::<Vec<_>>()
    };
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    let mut counter = writer.counter("counter").owned().unwrap();
    let distribution = writer.distribution("distribution").owned().unwrap();
    let histogram = writer.histogram("histogram").owned().unwrap();
    gauge.set(1.0);
    counter.add(3);
    assert_eq!(ended(&writer), [None; 4]);
    writer.tick_at(START + SECOND);
    gauge.end();
    counter.end();
    distribution.end();
    histogram.end();
    assert_eq!(ended(&writer), [Some(START + SECOND); 4]);
    writer.tick_at(START + 2 * SECOND);
    let mut counter = writer.counter("counter").owned().unwrap();
    assert!(writer.gauge("gauge").owned().is_ok());
    assert!(writer.distribution("distribution").owned().is_ok());
    assert!(writer.histogram("histogram").owned().is_ok());
    counter.add(4);
    assert_eq!(ended(&writer), [None; 4]);
    assert_eq!(Copy::of(path(&writer)).newest("counter"), 7);
}

/// A VMM that runs on without a bus has nothing to show for it: the same calls, and no file, not even
/// one without a name.
#[test]
fn noop_handles_record_into_nothing_that_others_see() {
    const NAME: &str = "noop_handles_record_into_nothing_that_others_see";
    if common::told().is_none() {
        let bus = bus();
        let mut command = common::child(NAME, "go");
        let output = command.env("RONDO_BUS", bus.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert!(common::listing(bus.path()).is_empty());
        return;
    }
    let (mut gauge, mut counter) = (Gauge::noop(), Counter::noop());
    let (mut distribution, mut histogram) = (Distribution::noop(), Histogram::noop());
    let (shared_counter, shared_gauge) = (SharedCounter::noop(), SharedGauge::noop());
    for i in 0..100 {
        gauge.set(f64::from(i));
        counter.add(2);
        distribution.record(1.0);
        histogram.record(1.0);
        shared_counter.add(1);
        shared_gauge.set(1.0);
    }
    assert_eq!(counter.total(), 200);

    let mut private = Writer::builder("vm-1").create_private().unwrap();
    assert_eq!(private.paths().count(), 0);
    let handle = private.counter("c").held().unwrap();
    private.record(handle, 3.0, private.now());
    private.tick();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let is_shared = |line: &&str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|rights| rights.ends_with('s'))
    };
    let shared: Vec<_> = maps.lines().filter(is_shared).collect();
    assert!(shared.is_empty(), "{shared:?}");
    private.close();
    gauge.end();
    counter.end();
    distribution.end();
    histogram.end();
}

/// What a collector needs of the schema stands in the slab.
#[test]
fn tiers_and_labels_of_the_machine_stand_in_the_slab() {
    let bus = bus();
    let tiers = [
        TierConfig::new(Duration::from_millis(250), 40),
        TierConfig::new(Duration::from_secs(1), 60).with(&[ConsolidationFn::Max, ConsolidationFn::Last]),
    ];
    let writer = Writer::builder("vm-1")
        .label("tenant", "blue")
        .label("image", "debian")
        .schema(SchemaConfig::new("fast").tiers(&tiers).capacity(2, 0))
        .bus(bus.path())
        .part(3)
        .incarnation([7; 16])
        .create()
        .unwrap();
    assert_eq!(writer.interval_ns(), SECOND / 4);
    assert_eq!(writer.incarnation(), [7; 16]);
    let slab = Copy::of(path(&writer));
    let identity = &slab.layout.identity;
    assert_eq!(
        (
            identity.part,
            identity.instance.as_str(),
            identity.schema.as_str()
        ),
        (3, "vm-1", "fast")
    );
    assert_eq!(
        identity.labels,
        [("image", "debian"), ("tenant", "blue")].map(|(n, v)| (n.into(), v.into()))
    );
    assert_eq!(
        path(&writer).file_name().unwrap().to_str().unwrap(),
        "vm-1.fast.07070707-3.slab"
    );
    assert_eq!(identity.file_name(), "vm-1.fast.07070707-3.slab");
    let found: Vec<_> = slab
        .layout
        .tiers
        .iter()
        .map(|t| (t.interval_ns.get(), t.slot_count.get(), t.functions.get()))
        .collect();
    assert_eq!(found, [(SECOND / 4, 40, 0), (SECOND, 60, 4 + 8)]);
}
