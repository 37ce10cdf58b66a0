//! A destination that was down: what it missed arrives once, in order, at full speed; what cannot arrive any more is counted;
//! and nobody else suffers.
//!
//! Time is simulated, and 50 minutes of it pass in seconds. Down means that nothing listens, or that every answer is 503.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::{Destination, STALE_BITS, Sender};
use rondo_tests::export::{
    Export, Samples, assert_samples, born, count, destination, expected, expected_to_the_end,
};
use rondo_tests::gate::Gate;
use rondo_tests::receiver::{Answer, Receiver, Refusal, Stores};
use rondo_tests::servers::Server;
use rondo_tests::simulation::{Host, Machine, S, START};
use rondo_tests::skip::{has, skip};
use rondo_writer::{SchemaConfig, Writer};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// After the last pause there is no other: a thousand requests take less than a second, and this is for a busy machine.
const CATCH_UP_MAX: Duration = Duration::from_secs(20);

/// A machine as it was: its name, when it was born, and how many seconds it lived.
type Life = (String, u64, u64);

/// Machines that are there all the time, and one after the other that lives for 45 seconds of each `every`.
fn live(export: &Export, others: &[&Sender], seconds: u64, every: u64) -> Vec<Life> {
    let all_the_time = ["vm-a", "vm-b"];
    let mut lives: Vec<Life> = all_the_time.map(|name| (name.to_owned(), 0, seconds)).to_vec();
    let mut machines: Vec<(Machine, u64, u64)> =
        all_the_time.map(|name| (export.machine(name), 0, seconds)).into();
    for second in 0..seconds + 2 {
        machines.retain(|(_, birth, life)| second < birth + life);
        if second.is_multiple_of(every) && second + 45 <= seconds {
            let name = format!("vm-{second}");
            let machine = Machine::born(&export.host, second, &name, SchemaConfig::default());
            machines.push((machine, second, 45));
            lives.push((name, second, 45));
        }
        for (machine, birth, _) in &mut machines {
            machine.live(second - *birth);
        }
        export.pass(second);
        others.iter().for_each(|sender| sender.wake());
    }
    lives
}

fn all_of(lives: &[Life], of: impl Fn(&str, u64) -> Samples) -> Samples {
    let samples = lives
        .iter()
        .map(|(name, birth, life)| born(*birth, of(name, *life)));
    samples.flatten().collect()
}

/// A second destination of the same collector.
fn second_sender(export: &Export, destination: Destination) -> Sender {
    let directory = export.host.store.path().join("export");
    Sender::start(Arc::new(destination), &directory, export.collector.clone(), None)
}

fn stop(sender: Sender) {
    sender.tell_to_stop();
    sender.wait(Instant::now() + Duration::from_secs(10));
}

/// The last second in which anything is expected, in milliseconds.
fn end_ms(seconds: u64) -> i64 {
    ((START + seconds * S) / 1_000_000).cast_signed()
}

#[test]
fn what_was_missed_in_50_minutes_arrives_once_in_order_and_at_full_speed_and_others_do_not_wait() {
    let (down, up) = (Receiver::start(), Receiver::start());
    down.always(Answer::Status(503, "down for maintenance".into()));
    let mut export = Export::start(destination(&down.url()));
    let other = second_sender(
        &export,
        Destination {
            name: "up".into(),
            ..destination(&up.url())
        },
    );
    let lives = live(&export, &[&other], 3_000, 60);
    let all = all_of(&lives, expected_to_the_end);

    // The other has everything, and never had to try twice, while this one is still down.
    assert!(up.wait(PATIENCE, |journal| journal.sample_count >= count(&all)));
    up.assert_clean();
    assert_samples(&up.samples(), &all);
    assert_eq!(other.tallies().get().retries, 0);
    assert_eq!(down.sample_count(), 0);
    assert!(export.tally().problem.is_some());

    down.always(Answer::Ok);
    assert!(down.wait(PATIENCE, |journal| journal.sample_count > 0));
    let began = Instant::now();
    let arrived = down.wait(PATIENCE, |journal| journal.sample_count >= count(&all));
    let took = began.elapsed();
    export.stop();
    stop(other);
    down.assert_clean();
    assert_samples(&down.samples(), &all);
    assert!(arrived && down.repeat_count() == 0);
    println!(
        "{} samples in {took:?}, {} requests",
        count(&all),
        down.request_count()
    );
    assert!(took < CATCH_UP_MAX, "it took {took:?}");
}

#[test]
fn a_collector_that_starts_anew_while_nothing_listens_loses_nothing() {
    let (receiver, gate) = (Receiver::start(), Gate::new());
    let mut export = Export::start(destination(&format!("http://{}/write", gate.address())));
    let lives = live(&export, &[], 3_000, 300);
    export.stop();
    export.push();
    let deadline = Instant::now() + PATIENCE;
    while export
        .tally()
        .requests
        .get("failed")
        .is_none_or(|failed| *failed < 2)
    {
        assert!(Instant::now() < deadline, "{:?}", export.tally());
        std::thread::sleep(Duration::from_millis(10));
    }
    gate.open(receiver.address());
    let all = all_of(&lives, expected_to_the_end);
    let arrived = receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&all));
    export.stop();
    receiver.assert_clean();
    assert_samples(&receiver.samples(), &all);
    assert!(arrived && receiver.repeat_count() == 0);
    assert_eq!(export.tally().points_lost, 0);
}

/// Sent, refused and lost together are what machines recorded, to the point, whatever of it the ring still had.
#[test]
fn what_fell_out_of_the_store_is_counted_to_the_point_and_apart_from_what_was_refused() {
    const GAUGES: usize = 30;
    const MACHINES: usize = 8;
    const SECONDS: u64 = 3_000;
    const BUDGET: u64 = 1 << 20;
    let receiver = Receiver::start();
    receiver.always(Answer::Status(503, "down".into()));
    receiver.refuse(Refusal {
        label: "instance".into(),
        value: "vm-3".into(),
        status: 400,
        stores: Stores::Nothing,
    });
    let open = |host: &Host| host.collector_of(BUDGET);
    let small_batches = Destination {
        batch_samples: 50,
        ..destination(&receiver.url())
    };
    let mut export = Export::start_with(Host::new(), open, small_batches);
    let mut machines: Vec<_> = (0..MACHINES)
        .map(|number| {
            let schema = SchemaConfig::default().capacity(GAUGES as u32, 0);
            let mut writer: Writer = export.host.machine(&format!("vm-{number}"), schema);
            let gauges = (0..GAUGES).map(|gauge| writer.gauge(&format!("gauge_{gauge}")).held().unwrap());
            let gauges: Vec<_> = gauges.collect();
            (writer, gauges)
        })
        .collect();
    let mut random = 1u64;
    for second in 0..SECONDS {
        for (writer, gauges) in &mut machines {
            let now = START + second * S;
            for gauge in gauges {
                // Nothing that could be stored in fewer bits.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                writer.record(*gauge, (random >> 11) as f64 / 1e3, now);
            }
            writer.tick_at(now);
        }
        export.pass(second);
        // A look for each pass, as when a second is a second.
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(machines);
    export.pass(SECONDS);
    export.pass(SECONDS + 1);
    let deadline = Instant::now() + PATIENCE;
    receiver.always(Answer::Ok);
    let made = (MACHINES * GAUGES) as u64 * SECONDS / 10;
    let tally = loop {
        let tally = export.tally();
        let refused: u64 = tally.samples_refused.values().sum();
        let stored = receiver.samples().into_values().flatten();
        let arrived = stored.filter(|(_, bits)| *bits != STALE_BITS).count() as u64;
        if arrived + refused + tally.points_lost >= made && tally.points_ahead == 0 {
            // Nothing more may come.
            std::thread::sleep(Duration::from_millis(500));
            break export.tally();
        }
        assert!(
            Instant::now() < deadline,
            "{arrived} of {made} arrived: {tally:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    export.stop();
    receiver.assert_clean();
    let of = |instance: &str| -> Vec<(i64, u64)> {
        let mine = |labels: &[(String, String)]| labels.iter().any(|(_, value)| value == instance);
        let samples = receiver.samples().into_iter();
        samples
            .filter(|(labels, _)| mine(labels))
            .flat_map(|(_, column)| column)
            .collect()
    };
    let values =
        |samples: &[(i64, u64)]| samples.iter().filter(|(_, bits)| *bits != STALE_BITS).count() as u64;
    let arrived: u64 = (0..MACHINES)
        .map(|number| values(&of(&format!("vm-{number}"))))
        .sum();
    // Its markers were refused too.
    let refused = tally.samples_refused["other"] - GAUGES as u64;
    println!(
        "made {made}, arrived {arrived}, refused {refused}, lost {}",
        tally.points_lost
    );
    assert_eq!(values(&of("vm-3")), 0);
    assert!(refused > 0 && tally.points_lost > made / 10 && arrived > made / 10);
    assert_eq!(arrived + refused + tally.points_lost, made);
}

/// A Prometheus that has what is current all the time, by one destination, and what is in the backlog by another that was down.
struct Late {
    server: Server,
    gate: Gate,
    export: Export,
    direct: Sender,
    lives: Vec<Life>,
    seconds: u64,
}

impl Late {
    fn of(configuration: &str, seconds: u64, every: u64) -> Self {
        let (server, gate) = (Server::prometheus(configuration), Gate::new());
        let export = Export::start(destination(&format!("http://{}/api/v1/write", gate.address())));
        let direct = Destination {
            name: "direct".into(),
            external_labels: vec![("route".into(), "direct".into())],
            ..destination(&server.write_url())
        };
        let direct = second_sender(&export, direct);
        let lives = live(&export, &[&direct], seconds, every);
        let late = Self {
            server,
            gate,
            export,
            direct,
            lives,
            seconds,
        };
        // Now the newest that the server has is the newest there is.
        let all = all_of(&late.lives, |instance, seconds| {
            let routed = expected(instance, seconds)
                .into_iter()
                .map(|(mut labels, column)| {
                    labels.push(("route".to_owned(), "direct".to_owned()));
                    (labels, column)
                });
            routed.collect()
        });
        late.wait_for("route=\"direct\"", &all);
        late.gate.open(late.server.address());
        late
    }

    fn samples(&self, matcher: &str) -> Samples {
        let range = format!("{{{matcher}}}[{}s]", self.seconds + 60);
        self.server.samples(&range, end_ms(self.seconds) + 1_000)
    }

    #[track_caller]
    fn wait_for(&self, matcher: &str, all: &Samples) {
        let deadline = Instant::now() + 2 * PATIENCE;
        while count(&self.samples(matcher)) < count(all) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_samples(&self.samples(matcher), all);
    }

    /// Waits until nothing is left to push.
    fn wait_until_through(&self) {
        let deadline = Instant::now() + 2 * PATIENCE;
        let newest_ms = end_ms(self.seconds);
        while self.export.tally().newest_ms < newest_ms {
            assert!(Instant::now() < deadline, "{:?}", self.export.tally());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn stop(mut self) {
        self.export.stop();
        stop(self.direct);
    }
}

#[test]
fn a_prometheus_as_it_comes_takes_what_it_missed_in_50_minutes() {
    const NAME: &str = "a_prometheus_as_it_comes_takes_what_it_missed_in_50_minutes";
    if !has("prometheus") {
        return skip(NAME, "there is no prometheus");
    }
    let late = Late::of("", 3_000, 60);
    late.wait_for("route=\"\",instance!=\"\"", &all_of(&late.lives, expected));
    let tally = late.export.tally();
    assert!(tally.samples_refused.is_empty(), "{tally:?}");
    assert_eq!(tally.points_lost, 0);
    late.stop();
}

#[test]
fn a_prometheus_that_was_told_so_takes_what_it_missed_in_6_hours() {
    const NAME: &str = "a_prometheus_that_was_told_so_takes_what_it_missed_in_6_hours";
    if !has("prometheus") {
        return skip(NAME, "there is no prometheus");
    }
    let late = Late::of("storage: {tsdb: {out_of_order_time_window: 6h}}\n", 21_590, 600);
    late.wait_for("route=\"\",instance!=\"\"", &all_of(&late.lives, expected));
    let tally = late.export.tally();
    assert!(tally.samples_refused.is_empty(), "{tally:?}");
    assert_eq!(tally.points_lost, 0);
    late.stop();
}

/// It takes what is at most an hour older than the newest that it has; the rest is refused, for good and by name.
#[test]
fn what_a_prometheus_finds_too_old_is_counted_as_such_and_all_else_arrives() {
    const NAME: &str = "what_a_prometheus_finds_too_old_is_counted_as_such_and_all_else_arrives";
    if !has("prometheus") {
        return skip(NAME, "there is no prometheus");
    }
    let late = Late::of("", 21_590, 600);
    // The newest is a marker, a millisecond after the end.
    let oldest_ms = end_ms(late.seconds) + 1 - 3_600_000;
    let all = all_of(&late.lives, expected_to_the_end);
    let mut taken = all_of(&late.lives, expected);
    for column in taken.values_mut() {
        column.retain(|(stamp_ms, _)| *stamp_ms >= oldest_ms);
    }
    taken.retain(|_, column| !column.is_empty());
    let refused = all
        .values()
        .flatten()
        .filter(|(stamp_ms, _)| *stamp_ms < oldest_ms)
        .count() as u64;
    late.wait_until_through();
    late.wait_for("route=\"\",instance!=\"\"", &taken);
    let tally = late.export.tally();
    println!("{} samples, {refused} of them too old", count(&all));
    assert_eq!(tally.samples_refused.get("too_old"), Some(&refused), "{tally:?}");
    assert_eq!(tally.samples_refused.len(), 1, "{tally:?}");
    assert_eq!(tally.points_lost, 0);
    late.stop();
}
