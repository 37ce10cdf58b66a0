//! The tick of the metrics: an absolute timer at the instants that the writer asks for.

use super::watch;
use crate::ending::EndRequest;
use crate::error::Error;
use crate::metrics::VmMetrics;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

/// Ticks the metrics.
pub struct Tick {
    metrics: VmMetrics,
    timer: TimerFd,
    due: Duration,
    end: Arc<EndRequest>,
}

impl Tick {
    /// The first tick is due at once.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn new(metrics: VmMetrics, end: Arc<EndRequest>) -> Result<Self, Error> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        );
        let mut this = Self {
            timer: timer.map_err(Error::system("create the tick's timer"))?,
            due: Duration::ZERO,
            metrics,
            end,
        };
        this.arm().map_err(Error::system("set the tick's timer"))?;
        Ok(this)
    }

    /// The metrics, when the loop is over.
    pub fn into_metrics(self) -> VmMetrics {
        self.metrics
    }

    fn arm(&mut self) -> nix::Result<()> {
        self.due = self.metrics.next_tick();
        // A time that is past fires at once, but zero would switch the timer off.
        let due = TimeSpec::from_duration(self.due.max(Duration::from_nanos(1)));
        self.timer
            .set(Expiration::OneShot(due), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
    }
}

impl MutEventSubscriber for Tick {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        // Not yet due, if the wait says so: then the timer is still set.
        if self.timer.wait().is_ok() {
            self.metrics.tick(monotonic().saturating_sub(self.due));
            // The first tick of an interval may be due before the loop started; that one is not late.
            let _ = self.arm();
        }
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::new_raw(self.timer.as_fd().as_raw_fd(), EventSet::IN);
        watch(ops, events, &self.end);
    }
}

fn monotonic() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
