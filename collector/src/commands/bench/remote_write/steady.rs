//! A collector over machines that live, first without and then with a destination.

use super::super::collector::{fails, settings};
use super::super::machines::Machines;
use super::super::usage::{anonymous_bytes, process_cpu};
use super::pusher::Pusher;
use super::receiver::Receiver;
use crate::collect::pace::Pace;
use crate::collector::Collector;
use crate::store::ArchiveSettings;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// The first passes are not counted, nor those in which the destination gets what was before it.
const WARM_UP_PASSES: u64 = 12;

/// Passes from one look at the directory to the next.
const RESCAN_PASSES: u64 = 10;

/// What it costs to push what machines record now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Steady {
    pub(super) machines: u32,
    pub(super) seconds: u64,
    /// CPU time of the whole process as a share of one core.
    pub(super) core_share_without: f64,
    pub(super) core_share_with: f64,
    /// That of the thread that pushes.
    pub(super) core_share_pushing: f64,
    pub(super) missed_passes: u64,
    pub(super) samples: u64,
    pub(super) cpu_ms: f64,
    pub(super) requests: u64,
    pub(super) wire_bytes: u64,
    pub(super) locked_p50_ms: f64,
    pub(super) locked_p99_ms: f64,
    pub(super) locked_max_ms: f64,
    pub(super) anonymous_bytes_without: u64,
    /// At most.
    pub(super) anonymous_bytes: u64,
}

struct Passes {
    collector: Arc<RwLock<Collector>>,
    pace: Pace,
    number: u64,
}

impl Passes {
    /// Makes so many; how long that took, and its CPU time.
    fn make(
        &mut self,
        count: u64,
        stop: &AtomicBool,
        passed: impl Fn(),
    ) -> anyhow::Result<(Duration, Duration)> {
        let (began, cpu) = (Instant::now(), process_cpu());
        for _ in 0..count {
            while !self.pace.is_due(Instant::now()) {
                anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped");
                std::thread::sleep(self.pace.next().saturating_duration_since(Instant::now()));
            }
            let mut collector = self.collector.write().unwrap_or_else(PoisonError::into_inner);
            fails(collector.pass(Instant::now(), self.number.is_multiple_of(RESCAN_PASSES)))?;
            drop(collector);
            passed();
            self.number += 1;
        }
        Ok((began.elapsed(), process_cpu() - cpu))
    }
}

/// Measures for so many seconds without a destination, and as many with one.
pub(super) fn measure(
    bus: &Path,
    store: &Path,
    machines: u32,
    seconds: u64,
    stop: &AtomicBool,
) -> anyhow::Result<Steady> {
    let receiver = Receiver::start()?;
    let collector = Collector::open(settings(bus, store, ArchiveSettings::default()), Instant::now())?;
    let collector = Arc::new(RwLock::new(collector));
    let living = Machines::start(bus, machines)?;
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut passes = Passes {
        collector: collector.clone(),
        pace: Pace::aligned(Instant::now(), wall),
        number: 0,
    };
    passes.make(WARM_UP_PASSES, stop, || ())?;
    let (took, cpu) = passes.make(seconds, stop, || ())?;
    let core_share_without = cpu.as_secs_f64() / took.as_secs_f64();
    let anonymous_bytes_without = anonymous_bytes();

    let mut pusher = Pusher::new(&receiver.url, false, &store.join("export"), collector)?;
    let (says, said) = mpsc::channel::<bool>();
    let pushing = std::thread::spawn(move || -> anyhow::Result<(Pusher, u64)> {
        let mut before = 0;
        while let Ok(begins) = said.recv() {
            pusher.push()?;
            if begins {
                before += pusher.pushed.samples;
                pusher.pushed = super::pusher::Pushed::default();
            }
        }
        Ok((pusher, before))
    });
    let say = |begins: bool| {
        // It fails if the thread has, which is said when it is joined.
        let _ = says.send(begins);
    };
    passes.make(WARM_UP_PASSES, stop, || say(false))?;
    say(true);
    let missed = passes.pace.missed_count();
    let (took, cpu) = passes.make(seconds, stop, || say(false))?;
    let missed_passes = passes.pace.missed_count() - missed;
    drop(says);
    let (pusher, before) = pushing.join().ok().context("the thread that pushes panicked")??;
    living.end()?;
    let pushed = pusher.pushed;
    let arrived = receiver.end()?;
    anyhow::ensure!(
        arrived == before + pushed.samples,
        "of {} samples {arrived} arrived",
        before + pushed.samples
    );
    Ok(Steady {
        machines,
        seconds,
        core_share_without,
        core_share_with: cpu.saturating_sub(pushed.looking_cpu).as_secs_f64() / took.as_secs_f64(),
        core_share_pushing: pushed.cpu.as_secs_f64() / took.as_secs_f64(),
        missed_passes,
        samples: pushed.samples,
        cpu_ms: pushed.cpu.as_secs_f64() * 1e3,
        requests: pushed.requests as u64,
        wire_bytes: pushed.bytes,
        locked_p50_ms: pushed.locked_ms(0.5),
        locked_p99_ms: pushed.locked_ms(0.99),
        locked_max_ms: pushed.locked_ms(1.0),
        anonymous_bytes_without,
        anonymous_bytes: pushed.anonymous_bytes.max(anonymous_bytes()),
    })
}
