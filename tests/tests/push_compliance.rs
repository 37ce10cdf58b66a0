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

use rondo_collector::export::remote_write::{
    Destination, Protocol, RelabelAction, RelabelConfig, RelabelRule, STALE_BITS, Tally,
};
use rondo_collector::export::{Histograms, Naming};
use rondo_shm_layout::Unit;
use rondo_tests::export::{Export, Labels, Samples, assert_samples, count, destination, expected_of};
use rondo_tests::receiver::{Answer, Receiver, Speaks};
use rondo_tests::simulation::{S, START, pass, world};
use rondo_writer::{Builder, SchemaConfig, TierConfig, Writer};
use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(20);

/// The end of a second, in milliseconds.
fn ms(second: u64) -> i64 {
    ((START + second * S) / 1_000_000).cast_signed()
}

fn now(second: u64) -> u64 {
    START + second * S
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let mut all: Labels = pairs
        .iter()
        .map(|(name, value)| (String::from(*name), String::from(*value)))
        .collect();
    all.sort();
    all
}

/// Of `vm`, without further labels.
fn named(name: &str) -> Labels {
    labels(&[("__name__", name), ("instance", "vm")])
}

fn values(samples: &[(i64, u64)]) -> Vec<(i64, f64)> {
    samples
        .iter()
        .map(|(stamp, bits)| (*stamp, f64::from_bits(*bits)))
        .collect()
}

/// A bus whose collector pushes to a receiver.
struct Bus {
    receiver: Receiver,
    export: Export,
}

impl Bus {
    fn new(settings: impl FnOnce(&mut Destination)) -> Self {
        let receiver = Receiver::start();
        let mut destination = destination(&receiver.url());
        settings(&mut destination);
        Self {
            export: Export::start(destination),
            receiver,
        }
    }

    fn builder(&self, instance: &str) -> Builder {
        Writer::builder(instance)
            .bus(self.export.host.bus.path())
            .simulated_time(START)
    }

    fn live(&self, writer: &mut Writer, seconds: Range<u64>, mut record: impl FnMut(&mut Writer, u64)) {
        for second in seconds {
            record(writer, second);
            writer.tick_at(now(second));
            self.export.pass(second);
        }
    }

    /// One machine `vm` that says for so long what `record` does, up to its markers.
    fn one(
        mut self,
        mut writer: Writer,
        seconds: u64,
        record: impl FnMut(&mut Writer, u64),
    ) -> (Samples, Tally) {
        self.live(&mut writer, 0..seconds, record);
        self.end(vec![writer], seconds)
    }

    /// They are gone: all that arrived, each series with its marker, and no rule broken.
    #[track_caller]
    fn end(&mut self, writers: Vec<Writer>, second: u64) -> (Samples, Tally) {
        let machines = writers.len();
        drop(writers);
        self.export.pass(second);
        self.export.pass(second + 1);
        let have_ended = self.receiver.wait(PATIENCE, |journal| {
            let samples = journal.samples();
            let has_ended =
                |samples: &Vec<(i64, u64)>| samples.last().is_some_and(|last| last.1 == STALE_BITS);
            let who = |labels: &Labels| -> Labels {
                let is_who = |name: &str| name == "instance" || name == "incarnation";
                labels.iter().filter(|(name, _)| is_who(name)).cloned().collect()
            };
            let known: HashSet<Labels> = samples.keys().map(who).collect();
            known.len() >= machines && samples.values().all(has_ended)
        });
        let tally = self.export.stop();
        self.receiver.assert_clean();
        let mut samples = self.receiver.samples();
        assert!(have_ended, "{:?}", samples.keys());
        for (labels, samples) in &mut samples {
            let marker = samples.pop();
            assert_eq!(marker.map(|marker| marker.1), Some(STALE_BITS), "{labels:?}");
            assert!(samples.iter().all(|sample| sample.1 != STALE_BITS), "{labels:?}");
        }
        (samples, tally)
    }
}

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
        level.set_at(now(second), second as f64)
    });
    let expected = [(10, 4.5), (20, 14.5), (25, 22.0)].map(|(second, value)| (ms(second), value));
    assert_eq!(values(&samples[&named("level")]), expected);
    assert_eq!(samples.len(), 1);
}

/// The samples of a second, in nanoseconds.
fn latencies(second: u64) -> [f64; 3] {
    [(second * 1_000 + 1) as f64, 3e6 * (second % 4) as f64, 1e12]
}

/// The boundaries of a histogram with its newest counts, in order of the boundaries.
fn buckets(samples: &Samples, name: &str) -> Vec<(f64, f64)> {
    let of = |labels: &Labels, wanted: &str| {
        labels
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let all = samples
        .iter()
        .filter(|(labels, _)| of(labels, "__name__").as_deref() == Some(name));
    let mut all: Vec<(f64, f64)> = all
        .map(|(labels, samples)| {
            let boundary = of(labels, "le").unwrap();
            let boundary = if boundary == "+Inf" {
                f64::INFINITY
            } else {
                boundary.parse().unwrap()
            };
            (boundary, f64::from_bits(samples.last().unwrap().1))
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
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

fn rule(action: RelabelAction, sources: &[&str], regex: &str, target: Option<&str>, to: &str) -> RelabelRule {
    RelabelRule::new(RelabelConfig {
        action,
        source_labels: sources.iter().map(|label| (*label).into()).collect(),
        regex: regex.into(),
        target_label: target.map(Into::into),
        replacement: to.into(),
        ..RelabelConfig::default()
    })
    .unwrap()
}

/// Names of the series that arrive of a machine that has `a`, `b` and `c`.
fn names_after(rules: Vec<RelabelRule>) -> Vec<Labels> {
    let bus = Bus::new(|destination| destination.relabel = rules);
    let mut writer = bus.builder("vm").create().unwrap();
    let mut gauges = ["a", "b", "c"].map(|name| writer.gauge(name).owned().unwrap());
    let (samples, _) = bus.one(writer, 10, move |_, second| {
        gauges.iter_mut().for_each(|gauge| gauge.set_at(now(second), 1.0));
    });
    samples.into_keys().collect()
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

#[test]
fn rules_keep_drop_and_rename_what_leaves() {
    let keep = rule(RelabelAction::Keep, &["__name__"], "a|b", None, "$1");
    let drop = rule(RelabelAction::Drop, &["__name__", "instance"], "b;v.", None, "$1");
    let rename = rule(
        RelabelAction::Replace,
        &["instance"],
        "v(.)",
        Some("which"),
        "${1}!",
    );
    let found = names_after(vec![keep, drop, rename]);
    assert_eq!(
        found,
        [labels(&[("__name__", "a"), ("instance", "vm"), ("which", "m!")])]
    );
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
    assert!(
        samples
            .windows(2)
            .all(|pair| (pair[1].0 - pair[0].0).abs_diff(20) <= 1),
        "{samples:?}"
    );
}

#[test]
fn headers() {
    let bus = Bus::new(|destination| destination.headers = vec![("X-Scope-OrgID".into(), "blue".into())]);
    let mut writer = bus.builder("vm").create().unwrap();
    let mut gauge = writer.gauge("test").owned().unwrap();
    bus.live(&mut writer, 0..15, move |_, second| {
        gauge.set_at(now(second), 1.0)
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

/// Two machines of one name at once: the second carries its incarnation, and neither loses a sample.
#[test]
fn two_machines_of_one_name_are_two_sets_of_series() {
    let mut bus = Bus::new(|_| {});
    let build = |incarnation: u8| bus.builder("vm").incarnation([incarnation; 16]).create().unwrap();
    let mut writers = vec![build(0x11), build(0x22)];
    let mut gauges = Vec::new();
    for writer in &mut writers {
        gauges.push(writer.gauge("test").held().unwrap());
    }
    for second in 0..30 {
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.record(gauges[number], number as f64, now(second));
            writer.tick_at(now(second));
        }
        bus.export.pass(second);
    }
    let (samples, _) = bus.end(writers, 30);
    let second = |name: &str| labels(&[("__name__", "test"), ("instance", "vm"), ("incarnation", name)]);
    let mut firsts = samples[&named("test")].clone();
    assert_eq!((samples.len(), firsts.len()), (2, 3));
    let others = samples
        .get(&second("22222222"))
        .or_else(|| samples.get(&second("11111111")))
        .unwrap();
    firsts.extend(others);
    firsts.sort();
    let expected: Vec<(i64, f64)> = [10, 20, 30]
        .iter()
        .flat_map(|s| [(ms(*s), 0.0), (ms(*s), 1.0)])
        .collect();
    assert_eq!(values(&firsts), expected);
}

/// It is one series from life to life: ended, begun with a 0 again, and no marker of the old one in the new one's time.
#[test]
fn a_machine_that_comes_again_goes_on_in_its_series() {
    let mut bus = Bus::new(|_| {});
    let life = |from: u64, to: u64| {
        let builder = Writer::builder("vm").bus(bus.export.host.bus.path());
        let mut writer = builder.simulated_time(now(from)).create().unwrap();
        let mut counter = writer.counter("exits_total").owned().unwrap();
        bus.live(&mut writer, from..to, move |_, second| {
            counter.add_at(now(second), 1)
        });
        writer
    };
    let first = life(0, 25);
    drop(first);
    // The next one is there before anybody has noticed.
    let second = life(25, 47);
    drop(second);
    bus.export.pass(47);
    bus.export.pass(48);
    let third = life(60, 75);
    let name = named("exits_total");
    let arrived = bus.receiver.wait(PATIENCE, |journal| {
        let samples = journal.samples();
        samples
            .get(&name)
            .is_some_and(|samples| samples.last().is_some_and(|last| last.0 >= ms(70)))
    });
    drop(third);
    bus.export.pass(75);
    bus.export.pass(76);
    let ended = bus.receiver.wait(PATIENCE, |journal| {
        journal.samples()[&name]
            .last()
            .is_some_and(|last| *last == (ms(75) + 1, STALE_BITS))
    });
    bus.export.stop();
    bus.receiver.assert_clean();
    let samples = bus.receiver.samples();
    assert!(arrived && ended, "{samples:?}");
    assert_eq!(samples.len(), 1, "{:?}", samples.keys());
    let plain: Vec<(i64, f64)> = values(&samples[&name])
        .into_iter()
        .filter(|sample| !sample.1.is_nan())
        .collect();
    let stamp =
        |at: &[(u64, f64)]| -> Vec<(i64, f64)> { at.iter().map(|(s, value)| (ms(*s), *value)).collect() };
    let mut expected = stamp(&[(0, 0.0), (10, 10.0), (20, 20.0), (25, 25.0)]);
    expected.extend(stamp(&[(30, 5.0), (40, 15.0), (47, 22.0)]));
    expected.extend(stamp(&[(60, 0.0), (70, 10.0), (75, 15.0)]));
    assert_eq!(plain, expected);
}

/// Remote write 2.0 says of each series what it is.
#[test]
fn version_2_has_type_unit_and_help() {
    let mut bus = Bus::new(|destination| destination.protocol = Protocol::V2);
    let mut writer = bus.builder("vm").create().unwrap();
    let busy = writer
        .counter("busy_ns_total")
        .unit(Unit::Nanoseconds)
        .help("Time on a processor.");
    let mut busy = busy.owned().unwrap();
    let mut level = writer.gauge("level").help("How full.").owned().unwrap();
    bus.live(&mut writer, 0..30, move |_, second| {
        busy.add_at(now(second), 1_000_000_000);
        level.set_at(now(second), 0.5);
    });
    let (samples, tally) = bus.end(vec![writer], 30);
    let busy = named("busy_seconds_total");
    let expected = [(0, 0.0), (10, 10.0), (20, 20.0), (30, 30.0)].map(|(s, value)| (ms(s), value));
    assert_eq!(values(&samples[&busy]), expected);
    let metadata = bus.receiver.metadata();
    // Numbers of the specification: 1 for a counter, 2 for a gauge.
    let of = |labels: &Labels| {
        let metadata = &metadata[labels];
        (metadata.kind, metadata.unit.as_str(), metadata.help.as_str())
    };
    assert_eq!(of(&busy), (1, "seconds", "Time on a processor."));
    assert_eq!(of(&named("level")), (2, "", "How full."));
    assert!(
        bus.receiver
            .requests()
            .iter()
            .all(|request| request.header("content-type").unwrap().contains("v2"))
    );
    assert!(tally.samples_refused.is_empty(), "{tally:?}");
}

/// A server that does not say what it wrote may have written nothing, and one that says 415 has not: the same samples go as 1.0.
#[test]
fn version_2_falls_back_without_losing_a_sample() {
    for speaks in [Speaks::OnlyV1, Speaks::TakesAllForV1] {
        let receiver = Receiver::start();
        receiver.speaks(speaks);
        let mut export = Export::start(Destination {
            protocol: Protocol::V2,
            ..destination(&receiver.url())
        });
        let mut machines = vec![export.machine("vm")];
        export.live(&mut machines, 0..45);
        export.end(machines, 45);
        let expected = expected_of(&["vm"], 45);
        let arrived = receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected));
        let tally = export.stop();
        receiver.assert_clean();
        assert_samples(&receiver.samples(), &expected);
        assert!(arrived);
        assert_eq!(tally.samples_sent as usize, count(&expected));
        assert!(
            tally.samples_refused.is_empty() && tally.problem.is_none(),
            "{tally:?}"
        );
        let is_v2 =
            |body: &rondo_tests::receiver::Request| body.header("content-type").unwrap().contains("v2");
        assert_eq!(
            receiver
                .requests()
                .iter()
                .filter(|request| is_v2(request))
                .count(),
            1
        );
    }
}

/// Native where a bucket of ours lies in one of theirs: KiB in bytes do, nanoseconds in seconds do not.
#[test]
fn native_histograms_leave_only_where_they_are_exact() {
    let mut bus = Bus::new(|destination| {
        destination.protocol = Protocol::V2;
        destination.naming.histograms = Histograms::Native;
    });
    let mut writer = bus.builder("vm").create().unwrap();
    let mut sizes = writer
        .histogram("size_kib")
        .unit(Unit::Kibibytes)
        .owned()
        .unwrap();
    let mut times = writer
        .histogram("time_ns")
        .unit(Unit::Nanoseconds)
        .owned()
        .unwrap();
    bus.live(&mut writer, 0..20, move |_, second| {
        sizes.record_at(now(second), 3.0);
        times.record_at(now(second), 3.0);
    });
    let native = named("size_bytes");
    let whole = bus.receiver.wait(PATIENCE, |journal| {
        journal.samples().contains_key(&named("time_seconds_count")) && journal.sample_count > 20
    });
    let (samples, _) = bus.end(vec![writer], 20);
    assert!(whole);
    let histograms = bus.receiver.histograms();
    assert_eq!(histograms.keys().collect::<Vec<_>>(), [&native]);
    let last = &histograms[&native].last().unwrap();
    assert_eq!((last.count, last.schema, last.timestamp_ms), (20, 0, ms(20)));
    assert_eq!(f64::from_bits(last.sum_bits), 20.0 * 3.0 * 1_024.0);
    // 3 KiB lies in the bucket up to 4 KiB, 2 to the 12.
    assert_eq!(
        (last.positive_spans.as_slice(), last.positive_deltas.as_slice()),
        (&[(12, 1)][..], &[20][..])
    );
    assert_eq!(buckets(&samples, "size_bytes_bucket"), []);
    assert_eq!(buckets(&samples, "time_seconds_bucket").len(), 20);
}

#[test]
fn without_base_units_names_and_values_stay() {
    let bus = Bus::new(|destination| {
        destination.naming = Naming {
            base_units: false,
            ..Naming::default()
        };
    });
    let mut writer = bus.builder("vm").create().unwrap();
    let mut busy = writer
        .counter("busy_ns_total")
        .unit(Unit::Nanoseconds)
        .owned()
        .unwrap();
    let (samples, _) = bus.one(writer, 10, move |_, second| busy.add_at(now(second), 5));
    assert_eq!(
        values(&samples[&named("busy_ns_total")]),
        [(ms(0), 0.0), (ms(10), 50.0)]
    );
}

/// Simulated machines live in 2023, so an age of a day is far too great for them; what is left out is counted.
#[test]
fn rows_that_are_older_than_wanted_stay_and_are_counted() {
    let mut bus = Bus::new(|destination| destination.max_age = Some(Duration::from_secs(86_400)));
    let mut machines = vec![bus.export.machine("vm")];
    bus.export.live(&mut machines, 0..45);
    assert!(bus.export.wait(PATIENCE, |tally| tally.rows_too_old >= 4));
    let tally = bus.export.stop();
    assert_eq!(
        (
            tally.rows_too_old,
            bus.receiver
                .samples()
                .values()
                .flatten()
                .filter(|sample| sample.1 != 0)
                .count()
        ),
        (4, 0)
    );
}

/// A new destination begins with what is as old as its backlog, and no older.
#[test]
fn a_backlog_begins_where_it_is_set() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination("http://127.0.0.1:1/"));
    export.stop();
    let mut machines = vec![export.machine("vm")];
    export.live(&mut machines, 0..100);
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH + Duration::from_nanos(now(60)))
        .unwrap();
    export.push_to(Destination {
        name: "new".into(),
        backlog: age,
        ..destination(&receiver.url())
    });
    let name = named("counter_total");
    let arrived = receiver.wait(PATIENCE, |journal| {
        journal
            .samples()
            .get(&name)
            .is_some_and(|samples| samples.last().is_some_and(|last| last.0 >= ms(90)))
    });
    export.stop();
    receiver.assert_clean();
    assert!(arrived);
    let stamps: Vec<i64> = receiver.samples()[&name].iter().map(|sample| sample.0).collect();
    // A moment passes before it is started, so the window that ends with second 60 is a moment too old.
    assert_eq!(stamps[0], ms(70), "{stamps:?}");
}

#[test]
fn a_sample_a_request_is_slow_and_right() {
    let receiver = Receiver::start();
    let mut export = Export::start(Destination {
        batch_samples: 1,
        ..destination(&receiver.url())
    });
    let mut machines: Vec<_> = ["vm-0", "vm-1", "vm-2"]
        .iter()
        .map(|name| export.machine(name))
        .collect();
    export.live(&mut machines, 0..45);
    export.end(machines, 45);
    let expected = expected_of(&["vm-0", "vm-1", "vm-2"], 45);
    let arrived = receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected));
    export.stop();
    receiver.assert_clean();
    assert_samples(&receiver.samples(), &expected);
    assert!(arrived);
    // A row is never cut, but no two of them share a request: zeros, five rows and markers of three machines.
    assert_eq!(receiver.request_count(), 3 * 7);
}

#[test]
fn tier_0_leaves_every_tick() {
    let mut bus = Bus::new(|destination| destination.tier = 0);
    let mut writer = bus.builder("vm").create().unwrap();
    let mut level = writer.gauge("level").owned().unwrap();
    let mut exits = writer.counter("exits_total").owned().unwrap();
    bus.live(&mut writer, 0..50, move |_, second| {
        level.set_at(now(second), second as f64);
        exits.add_at(now(second), 2);
    });
    let (samples, _) = bus.end(vec![writer], 50);
    let expected: Vec<(i64, f64)> = (0..50).map(|second| (ms(second + 1), second as f64)).collect();
    assert_eq!(values(&samples[&named("level")]), expected);
    let mut expected: Vec<(i64, f64)> = (0..50)
        .map(|second| (ms(second + 1), 2.0 * (second + 1) as f64))
        .collect();
    expected.insert(0, (ms(0), 0.0));
    assert_eq!(values(&samples[&named("exits_total")]), expected);
}

#[test]
fn tier_2_leaves_every_five_minutes() {
    let receiver = Receiver::start();
    let mut export = Export::start(Destination {
        tier: 2,
        ..destination(&receiver.url())
    });
    let mut machines = vec![export.machine("vm")];
    export.live(&mut machines, 0..700);
    export.end(machines, 700);
    let name = named("counter_total");
    let ended = receiver.wait(PATIENCE, |journal| {
        journal
            .samples()
            .get(&name)
            .is_some_and(|samples| samples.last().is_some_and(|last| last.1 == STALE_BITS))
    });
    export.stop();
    receiver.assert_clean();
    assert!(ended);
    let found = values(&receiver.samples()[&name]);
    let at = |second: u64| (ms(second), world::counter(second - 1) as f64);
    assert_eq!(found[..4], [(ms(0), 0.0), at(300), at(600), at(700)]);
    assert!(found[4].1.is_nan() && found.len() == 5);
    // The sum of a window's samples over their number.
    let average = |seconds: Range<u64>| {
        let known: Vec<f64> = seconds.filter_map(world::gauge).collect();
        known.iter().sum::<f64>() / known.len() as f64
    };
    let gauge = values(&receiver.samples()[&named("gauge")]);
    let expected = [
        (ms(300), average(0..300)),
        (ms(600), average(300..600)),
        (ms(700), average(600..700)),
    ];
    assert_eq!(gauge[..3], expected);
}
