//! When a guest first did something: how far its boot came, and how fast.

use rondo_writer::{RegisterError, SeriesHandle, Unit, Writer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Something that happens once, noticed by whichever thread sees it first.
#[derive(Debug)]
pub struct Milestone {
    start: Instant,
    /// 0 until then.
    after_ns: AtomicU64,
}

impl Milestone {
    fn new(start: Instant) -> Self {
        Self {
            start,
            after_ns: AtomicU64::new(0),
        }
    }

    /// It happens. One load, except for the first time.
    #[inline]
    pub fn reach(&self) {
        if self.after_ns.load(Ordering::Relaxed) == 0 {
            self.reach_first();
        }
    }

    #[cold]
    fn reach_first(&self) {
        let after_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: a number of its own. Of two threads that come at once the first counts.
        let _ = self
            .after_ns
            .compare_exchange(0, after_ns.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How long after the machine's creation it happened, if it did.
    pub fn reached_after(&self) -> Option<Duration> {
        match self.after_ns.load(Ordering::Relaxed) {
            0 => None,
            after_ns => Some(Duration::from_nanos(after_ns)),
        }
    }
}

/// The milestones of a boot, counted from the creation of this.
#[derive(Debug)]
pub struct Milestones {
    /// The first exit of any vCPU.
    pub first_exit: Milestone,
    /// The first byte on the serial port.
    pub first_serial_byte: Milestone,
    /// The first request to a block device.
    pub first_block_request: Milestone,
}

impl Milestones {
    pub(super) fn all(&self) -> [&Milestone; 3] {
        [
            &self.first_exit,
            &self.first_serial_byte,
            &self.first_block_request,
        ]
    }
}

impl Default for Milestones {
    fn default() -> Self {
        let start = Instant::now();
        Self {
            first_exit: Milestone::new(start),
            first_serial_byte: Milestone::new(start),
            first_block_request: Milestone::new(start),
        }
    }
}

/// In the order of [`Milestones::all`].
pub(super) fn register(writer: &mut Writer) -> Result<[SeriesHandle; 3], RegisterError> {
    let mut gauge = |what: &str, help: &str| {
        let name = format!("boot_first_{what}_ns");
        writer.gauge(&name).unit(Unit::Nanoseconds).help(help).held()
    };
    Ok([
        gauge("exit", "From the machine's creation to its first exit.")?,
        gauge(
            "serial_byte",
            "From the machine's creation to the first byte on the serial port.",
        )?,
        gauge(
            "block_request",
            "From the machine's creation to the first request to a block device.",
        )?,
    ])
}
