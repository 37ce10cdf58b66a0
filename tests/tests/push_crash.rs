//! SIGKILL of a collector that pushes, at any moment: the server ends with every sample, once, and never had to refuse one.
//!
//! As `collector_crash.rs`, but for what arrives. `RONDO_SOAK=n` kills n times as often; `RONDO_SEED` repeats a run's
//! delays.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::export::{Samples, assert_samples, expected, expected_to_the_end};
use rondo_tests::receiver::Receiver;
use rondo_tests::servers::{Server, has};
use rondo_tests::simulation::{Host, Machine, START};
use rondo_tests::skip::skip;
use rondo_writer::SchemaConfig;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KILLS: u64 = 100;
const MACHINES: usize = 6;
const BUDGET: u64 = 64 << 20;

/// How many seconds a machine lives.
fn life(number: u64) -> u64 {
    [45, 31, 450, 45, 7, 1_300, 90, 45][number as usize % 8]
}

struct Alive {
    number: u64,
    machine: Machine,
    second: u64,
}

fn start(host: &Host, number: u64) -> Alive {
    Alive {
        number,
        machine: Machine::start(host, &format!("vm-{number}"), SchemaConfig::default()),
        second: 0,
    }
}

fn collect(host: &Host, url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fast_pusher"))
        .args([host.bus.path(), host.store.path()])
        .args([&BUDGET.to_string(), url])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// xorshift: any numbers will do, as long as they can be had again.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Lets machines live while their collector is killed again and again; `restarted` is called after each start. Returns the
/// machines, with the seconds that each lived, and the last collector.
fn live(host: &Host, url: &str, mut restarted: impl FnMut()) -> (Vec<(u64, u64)>, Child) {
    let number = |name: &str| {
        let value = std::env::var(name).ok();
        value.and_then(|value| value.parse::<u64>().ok())
    };
    let kills = KILLS * number("RONDO_SOAK").unwrap_or(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("RONDO_SEED").unwrap_or(now) | 1;
    println!("RONDO_SEED={seed}");
    let mut state = seed;
    let mut machines: Vec<Alive> = (0..MACHINES as u64).map(|number| start(host, number)).collect();
    let mut ended = Vec::new();
    let mut next = MACHINES as u64;
    let mut collector = collect(host, url);
    let mut kill_at = Instant::now();
    let mut killed = 0;
    while killed < kills {
        if Instant::now() >= kill_at {
            collector.kill().unwrap();
            collector.wait().unwrap();
            restarted();
            collector = collect(host, url);
            killed += 1;
            kill_at = Instant::now() + Duration::from_micros(10_000 + random(&mut state) % 190_000);
        }
        for alive in &mut machines {
            alive.machine.live(alive.second);
            alive.second += 1;
            if alive.second == life(alive.number) {
                ended.push((alive.number, alive.second));
                *alive = start(host, next);
                next += 1;
            }
        }
        // The ring holds ten minutes: far more than a collector is away.
        std::thread::sleep(Duration::from_millis(4));
    }
    for mut alive in machines {
        alive.machine.live(alive.second);
        ended.push((alive.number, alive.second + 1));
    }
    assert!(ended.len() > 20, "too few machines ended to show anything");
    // The last collector stores what all machines left, and then removes their slabs.
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(host.bus.path()).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "slabs are left on the bus");
        assert!(collector.try_wait().unwrap().is_none(), "the collector ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    (ended, collector)
}

#[test]
fn a_receiver_has_every_sample_once_when_the_collector_is_killed() {
    let receiver = Receiver::start();
    let host = Host::new();
    let (ended, mut collector) = live(&host, &receiver.url(), || receiver.sender_restarted());
    let all: Samples = ended
        .iter()
        .flat_map(|(number, seconds)| expected_to_the_end(&format!("vm-{number}"), *seconds))
        .collect();
    let count: usize = all.values().map(Vec::len).sum();
    let arrived = receiver.wait(Duration::from_secs(60), |journal| journal.sample_count >= count);
    collector.kill().unwrap();
    collector.wait().unwrap();
    println!(
        "{} machines, {count} samples in {} requests, {} of them repeated",
        ended.len(),
        receiver.request_count(),
        receiver.repeat_count()
    );
    receiver.assert_clean();
    assert_samples(&receiver.samples(), &all);
    assert!(arrived);
}

#[test]
fn prometheus_has_every_sample_once_and_refuses_none_when_the_collector_is_killed() {
    const NAME: &str = "prometheus_has_every_sample_once_and_refuses_none_when_the_collector_is_killed";
    if !has("prometheus") {
        return skip(NAME, "there is no prometheus");
    }
    let server = Server::prometheus("");
    let host = Host::new();
    let (ended, mut collector) = live(&host, &server.write_url(), || {});
    let end_ms = (START / 1_000_000).cast_signed() + 3_600_000;
    let mut unequal = Vec::new();
    for (number, seconds) in &ended {
        let instance = format!("vm-{number}");
        // Markers do not come back as samples.
        let all = expected(&instance, *seconds);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found = server.samples(&format!("{{instance=\"{instance}\"}}[2h]"), end_ms);
            if found == all {
                break;
            }
            if Instant::now() > deadline {
                unequal.push((instance, found, all));
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    collector.kill().unwrap();
    collector.wait().unwrap();
    if let Some((_, found, all)) = unequal.first() {
        assert_samples(found, all);
    }
    assert!(unequal.is_empty());
    for refusal in [
        "prometheus_tsdb_out_of_order_samples_total",
        "prometheus_tsdb_out_of_bound_samples_total",
        "prometheus_tsdb_too_old_samples_total",
    ] {
        assert_eq!(server.own_metric(refusal), 0.0, "{refusal}\n{}", server.log());
    }
    println!("{} machines", ended.len());
}
