//! What the settings of a destination make of what arrives, and machines whose names are not theirs alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::Protocol;
use rondo_collector::export::remote_write::{Destination, RelabelAction, STALE_BITS, Tally};
use rondo_collector::export::{Histograms, Naming};
use rondo_shm_layout::Unit;
use rondo_tests::bus::{Bus, buckets, labels, ms, named, names_after, now, rule, values};
use rondo_tests::export::{Export, Labels, assert_samples, count, destination, expected_of};
use rondo_tests::receiver::{Answer, Receiver, Speaks};
use rondo_tests::simulation::world;
use rondo_writer::Writer;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(20);

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
            counter.add_at(now(second), 1);
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

/// A server without them says 500 for ever (Prometheus does), and the request goes again for ever; until nobody wants them there.
#[test]
fn native_histograms_that_a_server_never_takes_leave_it_once_classic_ones_are_set() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let native = |destination: &mut Destination| {
            destination.protocol = protocol;
            destination.naming.histograms = Histograms::Native;
        };
        let mut bus = Bus::new(native);
        let answer = Answer::Status(500, "native histograms are not enabled".into());
        bus.receiver.always(answer);
        let mut writer = bus.builder("vm").create().unwrap();
        let sizes = writer.histogram("size_kib").unit(Unit::Kibibytes);
        let mut sizes = sizes.owned().unwrap();
        let mut level = writer.gauge("level").owned().unwrap();
        let mut record = move |_: &mut Writer, second| {
            sizes.record_at(now(second), 3.0);
            level.set_at(now(second), 1.0);
        };
        bus.live(&mut writer, 0..20, &mut record);
        let is_stuck = |tally: &Tally| tally.retries >= 2 && tally.samples_sent == 0;
        assert!(bus.export.wait(PATIENCE, is_stuck));
        bus.export.stop();
        bus.receiver.sender_restarted();
        bus.receiver.always(Answer::Ok);
        bus.export.push_to(Destination {
            protocol,
            ..destination(&bus.receiver.url())
        });
        bus.live(&mut writer, 20..40, record);
        let (samples, tally) = bus.end(vec![writer], 40);
        assert!(bus.receiver.histograms().is_empty());
        let refused = tally.samples_refused["other"];
        assert!((1..=3).contains(&refused), "{tally:?}");
        let levels = values(&samples[&named("level")]);
        assert_eq!(levels, [10, 20, 30, 40].map(|second| (ms(second), 1.0)));
        assert!(!buckets(&samples, "size_bytes_bucket").is_empty());
    }
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
    // Nor do the zeros leave that stand before such rows.
    assert_eq!((tally.rows_too_old, bus.receiver.sample_count()), (4, 0));
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
