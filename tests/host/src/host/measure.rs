//! One window: everything that an arrangement uses in so many seconds.

use super::arrangement::{Arrangement, Read, Rest};
use crate::load::{self, Busy};
use crate::network::loopback_bytes;
use crate::output::check;
use crate::usage::{Counters, Memory, Used};
use crate::workload::SERIES;
use anyhow::Result;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How often memory is looked at in a window. A garbage collector makes it go up and down.
const MEMORY_LOOKS: u32 = 4;

/// How to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From the first answer of all processes to the window.
    pub warm_up: Duration,
    /// Length of a window.
    pub seconds: u64,
    /// The program `rondo`.
    pub rondo: PathBuf,
}

/// What processes of one kind used in a window, and their memory, the mean of some looks.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Part {
    /// Of the counters of the kernel.
    #[serde(flatten)]
    pub used: Used,
    /// Memory.
    #[serde(flatten)]
    pub memory: Memory,
}

/// What one window found.
#[derive(Debug, Clone, Serialize)]
pub struct Window {
    /// Who has all values. What it put off is in it.
    pub server: Part,
    /// All machines.
    pub clients: Part,
    /// Who counts what rondo pushes; not part of either.
    pub receiver: Part,
    /// Shared memory that slabs take, whoever has them mapped. So what parts share is not counted besides.
    pub slab_bytes: u64,
    /// What the loopback carried.
    pub loopback_bytes: u64,
    /// What was read of machines.
    pub read: Read,
    /// What was put off until after the window.
    pub rest: Rest,
    /// CPU seconds of everybody else.
    pub others_cpu_s: f64,
    /// The average load at the end.
    pub load: f64,
}

/// Starts an arrangement, and measures it once.
///
/// # Errors
/// It cannot be started, one of its processes ends, or a signal has set `stop`.
pub fn measure(
    arrangement: Arrangement,
    machines: u32,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<Window> {
    let running = arrangement.start(machines, &settings.rondo, stop)?;
    pause(settings.warm_up, stop)?;
    let groups = [
        running.server_pids(),
        running.client_pids(),
        running.receiver_pids(),
    ];
    let read = running.read_before(SERIES);

    let busy = Busy::read()?;
    let (begin, loopback) = (Instant::now(), loopback_bytes()?);
    let before = each(&groups, Counters::read)?;
    let mut memory = [Memory::default(); 3];
    for look in 1..=MEMORY_LOOKS {
        for (sum, pids) in memory.iter_mut().zip(&groups) {
            *sum += Memory::read(pids)?;
        }
        let next = begin + Duration::from_secs(settings.seconds) * look / MEMORY_LOOKS;
        pause(next.saturating_duration_since(Instant::now()), stop)?;
    }
    let loopback_bytes = loopback_bytes()? - loopback;
    let after = each(&groups, Counters::read)?;
    let others = Busy::read()?;

    let mut parts = Vec::new();
    for ((after, before), memory) in after.iter().zip(&before).zip(memory) {
        parts.push(Part {
            used: after.since(before),
            memory: memory / MEMORY_LOOKS.into(),
        });
    }
    let [mut server, clients, receiver] = parts[..] else {
        anyhow::bail!("there are three parts");
    };
    let measured_s = server.used.cpu_s + clients.used.cpu_s + receiver.used.cpu_s;
    let (slab_bytes, read) = (
        running.slab_bytes()?,
        running.read_since(read, settings.seconds, SERIES),
    );
    let load = load::average()?;
    let rest = running.end(&after[0], stop)?;
    server.used.cpu_s += rest.cpu_s;
    server.used.written_bytes += rest.written_bytes;
    Ok(Window {
        server,
        clients,
        receiver,
        slab_bytes,
        loopback_bytes,
        read,
        rest,
        others_cpu_s: others.others_s(&busy, measured_s),
        load,
    })
}

fn each<T>(groups: &[Vec<i32>], read: impl Fn(&[i32]) -> Result<T>) -> Result<Vec<T>> {
    groups.iter().map(|pids| read(pids)).collect()
}

/// Waits, unless a signal comes.
fn pause(time: Duration, stop: &AtomicBool) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        check(stop)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
