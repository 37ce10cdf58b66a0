//! What a sender does as long as nothing goes wrong, and what that takes.

use super::super::collector::{ms, quantile};
use super::super::usage::{anonymous_bytes, thread_cpu};
use crate::collector::Collector;
use crate::export::remote_write::{Client, Destination, Outbox, Protocol, Reply};
use crate::show;
use anyhow::Context;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// From one look at the memory to the next.
const MEMORY_EVERY: usize = 16;

/// Pushes to one destination.
pub(super) struct Pusher {
    collector: Arc<RwLock<Collector>>,
    outbox: Outbox,
    client: Client,
    protocol: Protocol,
    pub(super) pushed: Pushed,
}

/// What was pushed, and what it took.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    pub(super) samples: u64,
    pub(super) bytes: u64,
    pub(super) requests: usize,
    /// Of the thread that pushes, without looks at the memory.
    pub(super) cpu: Duration,
    /// Of looks at the memory, which are not the sender's: with 10,000 mappings one takes tens of milliseconds.
    pub(super) looking_cpu: Duration,
    /// How long the collector was locked for each look at it.
    pub(super) locked_ms: Vec<f64>,
    /// The most that was seen.
    pub(super) anonymous_bytes: u64,
}

impl Pushed {
    pub(super) fn locked_ms(&self, share: f64) -> f64 {
        quantile(&self.locked_ms, share)
    }
}

impl Pusher {
    pub(super) fn new(
        url: &str,
        is_v2: bool,
        directory: &Path,
        collector: Arc<RwLock<Collector>>,
    ) -> anyhow::Result<Self> {
        let destination = Destination {
            // Synthetic machines are years old.
            backlog: Duration::from_secs(50 * 365 * 86_400),
            protocol: if is_v2 { Protocol::V2 } else { Protocol::V1 },
            ..Destination::new("bench", url)
        };
        let destination = Arc::new(destination);
        Ok(Self {
            client: Client::new(&destination)?,
            outbox: Outbox::open(directory, &destination, wall_ns())?,
            protocol: destination.protocol,
            collector,
            pushed: Pushed::default(),
        })
    }

    /// Pushes all that there is at present.
    pub(super) fn push(&mut self) -> anyhow::Result<()> {
        let mut cpu = thread_cpu();
        loop {
            let collector = self.collector.read().unwrap_or_else(PoisonError::into_inner);
            let locked = Instant::now();
            self.outbox.pull(&collector);
            self.pushed.locked_ms.push(ms(locked.elapsed()));
            drop(collector);
            let body = self.outbox.next(self.protocol, wall_ns())?;
            let Some(body) = body else { break };
            let reply = self.client.send(&body.bytes, body.protocol);
            anyhow::ensure!(matches!(reply, Reply::Accepted { .. }), "{reply:?}");
            self.outbox.done().context("cannot write the journal")?;
            let pushed = &mut self.pushed;
            pushed.samples += body.sample_count as u64;
            pushed.bytes += body.bytes.len() as u64;
            pushed.requests += 1;
            if pushed.requests.is_multiple_of(MEMORY_EVERY) {
                let looking = thread_cpu();
                pushed.cpu += looking - cpu;
                pushed.anonymous_bytes = pushed.anonymous_bytes.max(anonymous_bytes());
                cpu = thread_cpu();
                pushed.looking_cpu += cpu - looking;
            }
        }
        self.pushed.cpu += thread_cpu() - cpu;
        Ok(())
    }
}

fn wall_ns() -> i64 {
    i64::try_from(show::wall_now_ns()).unwrap_or(i64::MAX)
}
