//! SIGKILL of the collector at any moment: every row is stored, once, whoever stores it.
//!
//! Machines of simulated time come and go while a collector that never rests is killed and started again. After the
//! last start has caught up, every tier of every machine has to be what the values alone give. `RONDO_SOAK=n` kills n times as
//! often; `RONDO_SEED` repeats a run's delays.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::store::Archives;
use rondo_tests::simulation::{GUIDE, Host, Machine, S, START, assert_tiers, schema, stored, world};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KILLS: u64 = 200;
const MACHINES: usize = 6;
const BUDGET: u64 = 64 << 20;

/// How many seconds a machine lives: most of them less than a minute, some long enough for the ring to come round.
fn life(number: u64) -> u64 {
    [45, 31, 450, 45, 7, 1_300, 90, 45][number as usize % 8]
}

struct Alive {
    number: u64,
    machine: Machine,
    second: u64,
}

fn start(host: &Host, number: u64) -> Alive {
    let machine = Machine::start(host, &format!("vm-{number}"), schema(&GUIDE));
    Alive {
        number,
        machine,
        second: 0,
    }
}

fn collect(host: &Host) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fast_collector"))
        .args([host.bus.path(), host.store.path()])
        .arg(BUDGET.to_string())
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

#[test]
fn no_row_is_lost_or_stored_twice_when_the_collector_is_killed() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let kills = KILLS * number("RONDO_SOAK").unwrap_or(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("RONDO_SEED").unwrap_or(now) | 1;
    println!("RONDO_SEED={seed}");
    let mut state = seed;

    let host = Host::new();
    let mut machines: Vec<Alive> = (0..MACHINES as u64).map(|number| start(&host, number)).collect();
    let mut ended = Vec::new();
    let mut next = MACHINES as u64;
    let mut collector = collect(&host);
    let mut kill_at = Instant::now();
    let mut killed = 0;
    while killed < kills {
        if Instant::now() >= kill_at {
            collector.kill().unwrap();
            collector.wait().unwrap();
            collector = collect(&host);
            killed += 1;
            kill_at = Instant::now() + Duration::from_micros(random(&mut state) % 120_000);
        }
        for alive in &mut machines {
            alive.machine.live(alive.second);
            alive.second += 1;
            if alive.second == life(alive.number) {
                ended.push((alive.number, alive.second));
                *alive = start(&host, next);
                next += 1;
            }
        }
        // The ring holds ten minutes: far more than a collector is away.
        std::thread::sleep(Duration::from_millis(1));
    }
    ended.extend(machines.drain(..).map(|alive| (alive.number, alive.second)));
    // The last collector stores what all machines left, and then removes their slabs.
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(host.bus.path()).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "slabs are left on the bus");
        assert!(collector.try_wait().unwrap().is_none(), "the collector ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    collector.kill().unwrap();
    collector.wait().unwrap();

    let archives = Archives::open_read_only(host.store.path()).unwrap();
    for (number, seconds) in &ended {
        let instance = format!("vm-{number}");
        assert_tiers(&archives, &instance, 0..*seconds, &GUIDE);
        // As many as the slab held when the machine ended. If it was idle when the ring's oldest slot was written, what a
        // counter was then is known from the next slot on only.
        let held = seconds.saturating_sub(600)..*seconds;
        let is_known = |second: &u64| held.start == 0 || (held.start..=*second).any(world::is_busy);
        let known = held.clone().filter(is_known);
        let expected: Vec<(u64, u64)> = known
            .map(|second| (START + second * S, world::counter(second)))
            .collect();
        let points = stored(&archives, &instance, 0, "counter_total");
        let points: Vec<(u64, u64)> = points
            .into_iter()
            .filter_map(|(t, point)| Some((t, point.total?)))
            .collect();
        assert_eq!(points, expected, "{instance} in tier 0");
    }
    let short = ended.iter().filter(|(_, seconds)| *seconds <= 45).count();
    println!(
        "{killed} kills, {} machines, {short} of them of at most 45 s",
        ended.len()
    );
    assert!(ended.len() > 20, "too few machines ended to show anything");
}
