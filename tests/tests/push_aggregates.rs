//! Sums and extremes of machines that come and go, as a server has them: through stops and kills of the sender and of the
//! collector, compared with what the values of each second make them.
//!
//! The clock is simulated too, so the sender's parts are put together here without its thread: an outbox, which is told the time,
//! and a client.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::collector::Collector;
use rondo_collector::export::remote_write::{
    AggregateConfig, AggregateOp, AggregateRule, Client, Destination, Left, Outbox, Protocol, RelabelAction,
    RelabelConfig, RelabelRule, Reply, STALE_BITS,
};
use rondo_tests::export::{Labels, destination};
use rondo_tests::random::Random;
use rondo_tests::receiver::Receiver;
use rondo_tests::simulation::{Host, Machine, S, START, pass, world};
use rondo_writer::SchemaConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// When a machine lives.
#[derive(Debug, Clone, Copy)]
struct Life {
    start: u64,
    end: u64,
}

impl Life {
    /// Its counter at the end of a second of the host.
    fn counter(self, second: u64) -> u64 {
        match second.min(self.end).checked_sub(self.start) {
            None | Some(0) => 0,
            Some(seconds) => world::counter(seconds - 1),
        }
    }

    /// The average of its gauge in the window that ends with that second.
    fn gauge(self, window_end: u64) -> Option<f64> {
        let seconds = (window_end - 10).max(self.start)..window_end.min(self.end);
        let known: Vec<f64> = seconds
            .filter_map(|second| world::gauge(second - self.start))
            .collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }
}

fn rule(name: &str, op: AggregateOp, made: &str) -> AggregateRule {
    AggregateRule::new(AggregateConfig {
        matches: vec![name.into()],
        op,
        name: made.into(),
        ..AggregateConfig::default()
    })
    .unwrap()
}

/// The parts of a sender.
struct Sender {
    destination: Arc<Destination>,
    directory: PathBuf,
    client: Client,
    outbox: Outbox,
}

impl Sender {
    fn open(destination: Destination, directory: PathBuf, second: u64) -> Self {
        let destination = Arc::new(destination);
        Self {
            client: Client::new(&destination).unwrap(),
            outbox: Outbox::open(&directory, &destination, wall_ns(second)).unwrap(),
            destination,
            directory,
        }
    }

    /// As after a kill: what is on its way is known to the journal only.
    fn reopen(&mut self, second: u64) {
        self.outbox = Outbox::open(&self.directory, &self.destination, wall_ns(second)).unwrap();
    }

    /// Sends what there is, but stops after so many requests, the last of which is not noted as done, if it was sent at all.
    fn send(&mut self, collector: &Collector, second: u64, stop: Option<(u64, bool)>) {
        let mut requests = 0;
        loop {
            self.outbox.pull(collector);
            let Some(body) = self.outbox.next(Protocol::V1, wall_ns(second)).unwrap() else {
                return;
            };
            let stops = stop.filter(|(count, _)| *count == requests);
            if stops.is_none_or(|(_, is_sent)| is_sent) {
                let reply = self.client.send(&body.bytes, body.protocol);
                assert_eq!(reply, Reply::Accepted { written: None });
            }
            if stops.is_some() {
                return;
            }
            self.outbox.done().unwrap();
            requests += 1;
        }
    }
}

fn wall_ns(second: u64) -> i64 {
    (START + second * S).cast_signed()
}

fn ms(second: u64) -> i64 {
    wall_ns(second) / 1_000_000
}

const SECONDS: u64 = 700;

/// One of them lives throughout, so that there is always something to add up.
fn lives(random: &mut Random) -> Vec<Life> {
    let mut lives = vec![Life {
        start: 0,
        end: SECONDS,
    }];
    for _ in 0..25 {
        let start = random.below(SECONDS - 60);
        let end = (start + 3 + random.below(150)).min(SECONDS);
        lives.push(Life { start, end });
    }
    lives
}

/// What happens after a second.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Nothing,
    /// Of the sender, after so many requests; the last one was sent, or not.
    Kill(u64, bool),
    /// Of the collector and the sender.
    KillBoth(u64, bool),
    /// Nothing is sent for so many seconds.
    Down(u64),
}

/// Machines come and go, and what is to happen happens; what the server has then.
fn run(lives: &[Life], mut event: impl FnMut(u64) -> Event) -> (Receiver, Sender) {
    let host = Host::new();
    let receiver = Receiver::start();
    let no_sum = RelabelRule::new(RelabelConfig {
        action: RelabelAction::Drop,
        source_labels: vec!["__name__".into()],
        regex: "distribution_sum".into(),
        ..RelabelConfig::default()
    });
    let no_sum = no_sum.unwrap();
    let settings = Destination {
        aggregate: vec![
            rule("gauge", AggregateOp::Sum, "{name}"),
            rule("distribution_min", AggregateOp::Min, "least"),
            rule("distribution_max", AggregateOp::Max, "greatest"),
            rule("counter_total", AggregateOp::Sum, "{name}"),
            rule("distribution_count", AggregateOp::Sum, "{name}"),
        ],
        // Samples below 0 make it fall, and what falls has no growth that could be added up.
        relabel: vec![no_sum],
        ..destination(&receiver.url())
    };
    let mut collector = host.collector();
    let mut sender = Sender::open(settings, host.store.path().join("export"), 0);
    let mut machines: Vec<(Life, Machine)> = Vec::new();
    let mut down_until = 0;
    for second in 0..SECONDS + 40 {
        machines.retain(|(life, _)| second < life.end);
        for (number, life) in lives.iter().enumerate().filter(|(_, life)| life.start == second) {
            let machine = Machine::born(&host, second, &format!("vm-{number}"), SchemaConfig::default());
            machines.push((*life, machine));
        }
        for (life, machine) in &mut machines {
            machine.live(second - life.start);
        }
        pass(&mut collector, host.at(second));
        if second < down_until {
            continue;
        }
        match event(second) {
            Event::Nothing => sender.send(&collector, second, None),
            Event::Down(seconds) => down_until = second + seconds,
            Event::Kill(requests, is_sent) => {
                sender.send(&collector, second, Some((requests, is_sent)));
                sender.reopen(second);
            }
            Event::KillBoth(requests, is_sent) => {
                sender.send(&collector, second, Some((requests, is_sent)));
                drop(collector);
                collector = host.collector();
                pass(&mut collector, host.at(second));
                sender.reopen(second);
            }
        }
    }
    (receiver, sender)
}

fn named(name: &str) -> Labels {
    vec![("__name__".to_owned(), name.to_owned())]
}

/// Compares with the sums of all machines so far, and the extremes of those that had something to say.
#[track_caller]
fn assert_aggregates(receiver: &Receiver, lives: &[Life]) {
    receiver.assert_clean();
    let samples = receiver.samples();
    for labels in samples.keys() {
        assert!(labels.iter().all(|(name, _)| name != "instance"), "{labels:?}");
    }
    let of = |name: &str| -> Vec<(i64, f64)> {
        let all = samples.get(&named(name)).map_or(&[][..], Vec::as_slice);
        all.iter()
            .map(|(stamp, bits)| (*stamp, f64::from_bits(*bits)))
            .collect()
    };
    let windows = || (1..=SECONDS / 10).map(|window| window * 10);
    let mut expected = vec![(ms(0), 0.0)];
    expected.extend(windows().map(|end| {
        let sum: u64 = lives.iter().map(|life| life.counter(end)).sum();
        (ms(end), sum as f64)
    }));
    let counter = of("counter_total");
    assert!(
        counter.len() >= expected.len(),
        "{} of {}",
        counter.len(),
        expected.len()
    );
    assert_eq!(counter[..expected.len()], expected);
    let gauge = of("gauge");
    for end in windows() {
        let sum: f64 = lives.iter().filter_map(|life| life.gauge(end)).sum();
        let found = gauge.iter().find(|(stamp, _)| *stamp == ms(end)).unwrap().1;
        assert!((found - sum).abs() < 1e-6, "at {end}: {found}, not {sum}");
    }
    for (name, pick) in [("least", f64::min as fn(f64, f64) -> f64), ("greatest", f64::max)] {
        let found = of(name);
        for end in windows() {
            let all = lives.iter().flat_map(|life| {
                let seconds = (end - 10).max(life.start)..end.min(life.end);
                seconds.flat_map(|second| world::samples(second - life.start))
            });
            let found = found
                .iter()
                .find(|(stamp, value)| *stamp == ms(end) && value.to_bits() != STALE_BITS);
            assert_eq!(found.map(|found| found.1), all.reduce(pick), "{name} at {end}");
        }
    }
}

#[track_caller]
fn assert_nothing_missed(sender: &Sender) {
    assert_eq!(sender.outbox.counts(), Left::default());
}

#[test]
fn sums_of_machines_that_come_and_go_are_those_of_all_so_far() {
    let mut random = Random::of(7);
    let lives = lives(&mut random);
    let (receiver, sender) = run(&lives, |_| Event::Nothing);
    assert_aggregates(&receiver, &lives);
    assert_nothing_missed(&sender);
    assert_eq!(receiver.repeat_count(), 0);
}

#[test]
fn a_kill_of_the_sender_changes_no_sum() {
    let mut random = Random::of(11);
    let lives = lives(&mut random);
    let (receiver, _) = run(&lives, |second| match second % 9 {
        0 => Event::Kill(random.below(4), second % 2 == 0),
        _ => Event::Nothing,
    });
    assert_aggregates(&receiver, &lives);
}

/// Rows that had not been stored are read from the slabs again, and are not added up again.
#[test]
fn a_kill_of_the_collector_changes_no_sum() {
    let mut random = Random::of(13);
    let lives = lives(&mut random);
    let (receiver, _) = run(&lives, |second| match second % 13 {
        0 => Event::KillBoth(random.below(4), second % 2 == 0),
        _ => Event::Nothing,
    });
    assert_aggregates(&receiver, &lives);
}

/// Behind a server that was down rows come in another order: those of one machine before older ones of another.
#[test]
fn a_backlog_changes_no_sum() {
    let mut random = Random::of(17);
    let lives = lives(&mut random);
    let (receiver, sender) = run(&lives, |second| match second {
        40 => Event::Down(250),
        400 => Event::Down(100),
        550 => Event::Kill(2, true),
        _ => Event::Nothing,
    });
    assert_aggregates(&receiver, &lives);
    assert_nothing_missed(&sender);
}
