//! A destination that was down for 50 minutes is up again.

use super::super::collector::{ms, quantile, settings};
use super::super::usage::anonymous_bytes;
use super::pusher::Pusher;
use super::receiver::Receiver;
use crate::collector::Collector;
use crate::store::ArchiveSettings;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Instant;

/// What it took to catch up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Backlog {
    /// 1 or 2.
    pub(super) protocol: u8,
    pub(super) samples: u64,
    pub(super) requests: u64,
    /// By the wall clock, with the receiver's part in it.
    pub(super) took_ms: f64,
    /// CPU time of the thread that pushes, in user mode and in the kernel.
    pub(super) cpu_ms: f64,
    pub(super) wire_bytes: u64,
    pub(super) locked_p50_ms: f64,
    pub(super) locked_p99_ms: f64,
    pub(super) locked_max_ms: f64,
    /// Of the whole process, before the first request and at most.
    pub(super) anonymous_bytes_before: u64,
    pub(super) anonymous_bytes: u64,
}

impl Backlog {
    /// That of the median CPU time.
    pub(super) fn median(mut rounds: Vec<Self>) -> Option<Self> {
        let cpu_ms: Vec<f64> = rounds.iter().map(|round| round.cpu_ms).collect();
        let median_ms = quantile(&cpu_ms, 0.5);
        rounds.retain(|round| round.cpu_ms == median_ms);
        rounds.into_iter().next()
    }
}

/// Catches up with what is in the store.
pub(super) fn measure(bus: &Path, store: &Path, is_v2: bool, stop: &AtomicBool) -> anyhow::Result<Backlog> {
    let receiver = Receiver::start()?;
    let now = Instant::now();
    let mut collector = Collector::open(settings(bus, store, ArchiveSettings::default()), now)?;
    // It has to know that none of the machines lives.
    super::super::collector::fails(collector.pass(now, true))?;
    let collector = Arc::new(RwLock::new(collector));
    // Beside the store, so that the next measurement begins anew.
    let journals = tempfile::tempdir_in(store)?;
    let mut pusher = Pusher::new(&receiver.url, is_v2, journals.path(), collector)?;
    let anonymous_bytes_before = anonymous_bytes();
    let began = Instant::now();
    pusher.push()?;
    let took_ms = ms(began.elapsed());
    anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped");
    let pushed = pusher.pushed;
    let arrived = receiver.end()?;
    anyhow::ensure!(
        arrived == pushed.samples,
        "of {} samples {arrived} arrived",
        pushed.samples
    );
    Ok(Backlog {
        protocol: 1 + u8::from(is_v2),
        samples: pushed.samples,
        requests: pushed.requests as u64,
        took_ms,
        cpu_ms: ms(pushed.cpu),
        wire_bytes: pushed.bytes,
        locked_p50_ms: pushed.locked_ms(0.5),
        locked_p99_ms: pushed.locked_ms(0.99),
        locked_max_ms: pushed.locked_ms(1.0),
        anonymous_bytes_before,
        anonymous_bytes: pushed.anonymous_bytes,
    })
}
