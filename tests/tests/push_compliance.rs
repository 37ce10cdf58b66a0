//! The cases of Prometheus' own suite for senders of remote write (`remote_write_sender` in
//! [prometheus/compliance](https://github.com/prometheus/compliance)), for a sender that is not a scraper.
//!
//! | case | here |
//! |---|---|
//! | Counter, Gauge, Histogram, Summary | a test for each kind; a distribution is a summary without quantiles |
//! | Up | nothing: nobody scrapes, so nobody can be found down. A machine is up as long as its series have samples, and [`stale_markers_end_every_series_of_a_machine_that_is_gone`] |
//! | Invalid | a file on the bus that is no slab harms nobody; there is no `up` that could be 0 |
//! | JobLabel, InstanceLabel | `job` is an external label, which no machine may have; `instance` is the machine's name |
//! | SortedLabels, RepeatedLabels, EmptyLabels | labels of machine, series and destination together |
//! | NameLabel | a rule that takes a series' name takes the series |
//! | HonorLabels | as with `honor_labels: true`: what a machine says of itself stays. There is no `exported_job`, as writers refuse `job` |
//! | Staleness | of machines. A series that ends before its machine just ends |
//! | Timestamp | the end of the row's window, by the machine's clock |
//! | Headers, Ordering | here, and checked by the receiver on every request of every test |
//! | Retries500, Retries400 | `push_faults.rs` |
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::{Destination, RelabelAction, STALE_BITS};
use rondo_shm_layout::Unit;
use rondo_tests::bus::{Bus, buckets, labels, ms, named, names_after, now, rule, values};
use rondo_tests::export::{Export, Labels, Samples, assert_samples, count, destination, expected_of};
use rondo_tests::receiver::{Answer, Receiver};
use rondo_tests::simulation::pass;
use rondo_writer::{Builder, SchemaConfig, TierConfig, Writer};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn counter() {
    let bus = Bus::new(|_| {});
    let mut writer = bus.builder("vm").create().unwrap();
    let mut exits = writer.counter("exits_total").owned().unwrap();
    let (samples, _) = bus.one(writer, 35, move |_, second| exits.add_at(now(second), second));
    let expected = [(0, 0.0), (10, 45.0), (20, 190.0), (30, 435.0), (35, 595.0)];
    let expected = expected.map(|(second, value)| (ms(second), value));
    assert_eq!(values(&samples[&named("exits_total")]), expected);
    assert_eq!(samples.len(), 1);
}

/// Of the tiers above the first the average of the window, under the plain name.
#[test]
fn gauge() {
    let bus = Bus::new(|_| {});
    let mut writer = bus.builder("vm").create().unwrap();
    let mut level = writer.gauge("level").owned().unwrap();
    let (samples, _) = bus.one(writer, 25, move |_, second| {
        level.set_at(now(second), second as f64);
    });
    let expected = [(10, 4.5), (20, 14.5), (25, 22.0)].map(|(second, value)| (ms(second), value));
    assert_eq!(values(&samples[&named("level")]), expected);
    assert_eq!(samples.len(), 1);
}

/// The samples of a second, in nanoseconds.
fn latencies(second: u64) -> [f64; 3] {
    [(second * 1_000 + 1) as f64, 3e6 * (second % 4) as f64, 1e12]
}

/// Classic buckets: cumulative, with `+Inf`, in base units, and every one of them from the first row on, with a 0 before it.
#[test]
fn histogram() {
    let bus = Bus::new(|_| {});
    let mut writer = bus.builder("vm").create().unwrap();
    let histogram = writer.histogram("exit_latency_ns").unit(Unit::Nanoseconds);
    let mut histogram = histogram.owned().unwrap();
    let (samples, _) = bus.one(writer, 30, move |_, second| {
        for latency in latencies(second) {
            histogram.record_at(now(second), latency);
        }
    });
    let all: Vec<f64> = (0..30).flat_map(latencies).collect();
    let found = buckets(&samples, "exit_latency_seconds_bucket");
    assert_eq!(found.len(), 20);
    assert_eq!(found.last(), Some(&(f64::INFINITY, 90.0)));
    for (at, (boundary, count)) in found[..19].iter().enumerate() {
        // Every second power of two, in nanoseconds.
        let power = (1u64 << (2 * at)) as f64;
        assert_eq!(*boundary, power / 1e9);
        let below = all.iter().filter(|sample| **sample < power).count();
        assert_eq!(*count, below as f64, "below {power} ns");
    }
    for (labels, samples) in &samples {
        let name = &labels.iter().find(|label| label.0 == "__name__").unwrap().1;
        if name.ends_with("_bucket") {
            assert_eq!(samples.len(), 4, "{labels:?}");
            assert_eq!(samples[0], (ms(0), 0));
        }
    }
    assert_eq!(
        values(&samples[&named("exit_latency_seconds_count")])[3],
        (ms(30), 90.0)
    );
    let (_, sum) = values(&samples[&named("exit_latency_seconds_sum")])[3];
    assert!((sum - all.iter().sum::<f64>() / 1e9).abs() < 1e-9, "{sum}");
    assert_eq!(
        values(&samples[&named("exit_latency_seconds_max")]),
        [10, 20, 30].map(|s| (ms(s), 1_000.0))
    );
}

/// A distribution says how many, how much, and the least and greatest of each window; quantiles are for those who ask.
#[test]
fn summary() {
    let bus = Bus::new(|_| {});
    let mut writer = bus.builder("vm").create().unwrap();
    let mut sizes = writer.distribution("request_size").owned().unwrap();
    let (samples, _) = bus.one(writer, 20, move |_, second| {
        sizes.record_at(now(second), second as f64);
        sizes.record_at(now(second), -1.0);
    });
    let of = |name: &str| values(&samples[&named(name)]);
    let at =
        |all: &[(u64, f64)]| -> Vec<(i64, f64)> { all.iter().map(|(s, value)| (ms(*s), *value)).collect() };
    assert_eq!(of("request_size_count"), at(&[(0, 0.0), (10, 20.0), (20, 40.0)]));
    assert_eq!(of("request_size_sum"), at(&[(0, 0.0), (10, 35.0), (20, 170.0)]));
    assert_eq!(of("request_size_min"), at(&[(10, -1.0), (20, -1.0)]));
    assert_eq!(of("request_size_max"), at(&[(10, 9.0), (20, 19.0)]));
    assert_eq!(samples.len(), 4);
}

/// What is no slab is complained of, and everything else arrives.
#[test]
fn invalid() {
    let bus = Bus::new(|_| {});
    let slab = bus.builder("other").create().unwrap();
    let path = slab.paths().next().unwrap().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    drop(slab);
    bytes[..4_096].fill(0x5a);
    let wrong = path.with_file_name(format!("x{}", path.file_name().unwrap().to_string_lossy()));
    std::fs::write(&wrong, bytes).unwrap();
    let mut machine = bus.export.machine("vm");
    for second in 0..45 {
        machine.live(second);
        bus.export
            .collector
            .write()
            .unwrap()
            .pass(bus.export.host.at(second), true);
        bus.export.sender.as_ref().unwrap().wake();
    }
    drop(machine);
    for second in 45..47 {
        bus.export
            .collector
            .write()
            .unwrap()
            .pass(bus.export.host.at(second), true);
        bus.export.sender.as_ref().unwrap().wake();
    }
    let expected = expected_of(&["vm"], 45);
    assert!(
        bus.receiver
            .wait(PATIENCE, |journal| journal.sample_count >= count(&expected))
    );
    bus.receiver.assert_clean();
    assert_samples(&bus.receiver.samples(), &expected);
}

/// One gauge of a machine with those labels, as it arrives.
fn arrives(
    settings: impl FnOnce(&mut Destination),
    machine: &[(&str, &str)],
    series: &[(&str, &str)],
) -> Vec<Labels> {
    let bus = Bus::new(settings);
    let add = |builder: Builder, (name, value): &(&str, &str)| builder.label(name, value);
    let mut writer = machine.iter().fold(bus.builder("vm"), add).create().unwrap();
    let mut gauge = writer.gauge("test");
    for (name, value) in series {
        gauge = gauge.label(name, value);
    }
    let mut gauge = gauge.owned().unwrap();
    let (samples, _) = bus.one(writer, 10, move |_, second| gauge.set_at(now(second), 1.0));
    samples.into_keys().collect()
}

fn job(destination: &mut Destination) {
    destination.external_labels = labels(&[("job", "vmm")]);
}

#[test]
fn job_label() {
    let found = arrives(job, &[], &[]);
    assert_eq!(
        found,
        [labels(&[
            ("__name__", "test"),
            ("instance", "vm"),
            ("job", "vmm")
        ])]
    );
}

#[test]
fn instance_label() {
    assert_eq!(arrives(|_| {}, &[], &[]), [named("test")]);
}

/// The receiver checks the order of the bytes; these are given in another.
#[test]
fn sorted_labels() {
    let found = arrives(job, &[("z", "1"), ("B", "2")], &[("c", "3"), ("a", "4")]);
    let expected = [
        ("__name__", "test"),
        ("B", "2"),
        ("a", "4"),
        ("c", "3"),
        ("instance", "vm"),
        ("job", "vmm"),
        ("z", "1"),
    ];
    assert_eq!(found, [labels(&expected)]);
}

#[test]
fn repeated_labels() {
    let found = arrives(|_| {}, &[("a", "machine")], &[("a", "series")]);
    assert_eq!(
        found,
        [labels(&[
            ("__name__", "test"),
            ("a", "series"),
            ("instance", "vm")
        ])]
    );
}

/// The writer refuses them, so one can only come from a destination's settings.
#[test]
fn empty_labels() {
    let empty = |destination: &mut Destination| {
        destination.relabel = vec![rule(
            RelabelAction::Replace,
            &["tenant"],
            "(.*)",
            Some("tenant"),
            "",
        )];
    };
    assert_eq!(arrives(empty, &[("tenant", "blue")], &[]), [named("test")]);
}

/// Of external labels, those that a machine has itself stay as it has them.
#[test]
fn honor_labels() {
    let settings = |destination: &mut Destination| {
        destination.external_labels = labels(&[
            ("dc", "of the destination"),
            ("instance", "nobody"),
            ("tenant", "nobody"),
        ]);
    };
    let found = arrives(settings, &[("tenant", "original")], &[]);
    let expected = [
        ("__name__", "test"),
        ("dc", "of the destination"),
        ("instance", "vm"),
        ("tenant", "original"),
    ];
    assert_eq!(found, [labels(&expected)]);
}

#[test]
fn name_label() {
    let rules = vec![rule(
        RelabelAction::Replace,
        &["__name__"],
        "b",
        Some("__name__"),
        "",
    )];
    assert_eq!(names_after(rules), [named("a"), named("c")]);
}

/// Not by the instant at which it arrives, and in milliseconds: the end of the window in which it was said.
#[test]
fn timestamp() {
    let unix_ms = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let begin = unix_ms();
    let bus = Bus::new(|destination| destination.tier = 0);
    let schema = SchemaConfig::default().tiers(&[TierConfig::new(Duration::from_millis(20), 600)]);
    let mut writer = Writer::builder("vm")
        .bus(bus.export.host.bus.path())
        .schema(schema)
        .create()
        .unwrap();
    let mut gauge = writer.gauge("test").owned().unwrap();
    for _ in 0..10 {
        gauge.set(42.0);
        std::thread::sleep(writer.until_next_tick());
        writer.tick();
        pass(
            &mut bus.export.collector.write().unwrap(),
            std::time::Instant::now(),
        );
        bus.export.sender.as_ref().unwrap().wake();
    }
    assert!(bus.receiver.wait(PATIENCE, |journal| journal.sample_count >= 5));
    bus.receiver.assert_clean();
    let end = unix_ms();
    let samples = &bus.receiver.samples()[&named("test")];
    for (stamp, bits) in samples {
        // A window's end may be one interval ahead.
        assert!(
            (begin..=end + 20).contains(stamp),
            "{stamp} is not in {begin}..{end}"
        );
        assert_eq!(f64::from_bits(*bits), 42.0);
    }
    // A machine that is busy misses a tick now and then.
    let gaps = samples.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(
        gaps.into_iter().all(|gap| gap >= 19 && (gap + 1) % 20 <= 2),
        "{samples:?}"
    );
}

#[test]
fn headers() {
    let bus = Bus::new(|destination| destination.headers = vec![("X-Scope-OrgID".into(), "blue".into())]);
    let mut writer = bus.builder("vm").create().unwrap();
    let mut gauge = writer.gauge("test").owned().unwrap();
    bus.live(&mut writer, 0..15, move |_, second| {
        gauge.set_at(now(second), 1.0);
    });
    assert!(bus.receiver.wait(PATIENCE, |journal| journal.sample_count > 0));
    bus.receiver.assert_clean();
    for request in bus.receiver.requests() {
        assert_eq!(request.header("content-encoding"), Some("snappy"));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(request.header("x-prometheus-remote-write-version"), Some("0.1.0"));
        assert_eq!(request.header("x-scope-orgid"), Some("blue"));
        assert!(request.header("user-agent").unwrap().starts_with("rondo/"));
    }
}

/// More series than a slice has, small requests, and a server whose answers take their time.
#[test]
fn ordering() {
    let bus = Bus::new(|destination| destination.batch_samples = 300);
    let schema = SchemaConfig::default().capacity(1_000, 16);
    let mut writer = bus.builder("vm").schema(schema).create().unwrap();
    let gauges: Vec<_> = (0..900)
        .map(|number| {
            writer
                .gauge("test")
                .label("i", &number.to_string())
                .held()
                .unwrap()
        })
        .collect();
    bus.receiver
        .script((0..20).map(|number| Answer::Slow(Duration::from_millis(number * 7 % 23))));
    let (samples, _) = bus.one(writer, 60, move |writer, second| {
        let batch: Vec<_> = gauges.iter().map(|gauge| (*gauge, second as f64)).collect();
        writer.record_batch(&batch, now(second));
    });
    assert_eq!(samples.len(), 900);
    let expected: Vec<(i64, f64)> = (1..=6)
        .map(|window| (ms(window * 10), window as f64 * 10.0 - 5.5))
        .collect();
    for (labels, samples) in &samples {
        assert_eq!(values(samples), expected, "{labels:?}");
    }
}

#[test]
fn stale_markers_end_every_series_of_a_machine_that_is_gone() {
    let mut export = Export::start(destination("http://127.0.0.1:1/"));
    let receiver = Receiver::start();
    export.stop();
    export.push_to(destination(&receiver.url()));
    let mut machines: Vec<_> = ["vm-0", "vm-1"].iter().map(|name| export.machine(name)).collect();
    export.live(&mut machines, 0..40);
    let gone = machines.remove(1);
    drop(gone);
    export.live(&mut machines, 40..80);
    let expected: Samples = expected_of(&["vm-1"], 40);
    let one_is_gone = receiver.wait(PATIENCE, |journal| {
        let samples = journal.samples();
        expected
            .iter()
            .all(|(labels, column)| samples.get(labels) == Some(column))
    });
    export.stop();
    receiver.assert_clean();
    assert!(one_is_gone);
    // The other lives, and a collector that stops says nothing of it.
    for (labels, samples) in receiver
        .samples()
        .iter()
        .filter(|(labels, _)| !expected.contains_key(*labels))
    {
        assert!(samples.iter().all(|sample| sample.1 != STALE_BITS), "{labels:?}");
    }
}

/// `finish` stores what waits and lets machines be: there is no marker, and after the next start no gap.
#[test]
fn a_collector_that_stops_ends_nobodys_series() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines = vec![export.machine("vm")];
    export.live(&mut machines, 0..35);
    export.stop();
    export.restart(35);
    export.push();
    export.live(&mut machines, 36..95);
    drop(machines);
    export.pass(95);
    export.pass(96);
    // Second 35 had no tick, and its values are those of nobody: compare stamps and markers.
    let name = named("counter_total");
    assert!(receiver.wait(PATIENCE, |journal| {
        journal
            .samples()
            .get(&name)
            .and_then(|samples| samples.last().copied())
            .is_some_and(|last| last.1 == STALE_BITS)
    }));
    export.stop();
    receiver.assert_clean();
    let samples = &receiver.samples()[&name];
    let stamps: Vec<i64> = samples.iter().map(|sample| sample.0).collect();
    let mut expected: Vec<i64> = (0..=9).map(|window| ms(window * 10)).collect();
    expected.extend([ms(95), ms(95) + 1]);
    assert_eq!(stamps, expected);
    let before_last = &samples[..samples.len() - 1];
    assert!(before_last.iter().all(|sample| sample.1 != STALE_BITS));
    assert_eq!(receiver.repeat_count(), 0);
}
