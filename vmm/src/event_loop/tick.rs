//! The tick of the metrics: an absolute timer at the instants that the writer asks for. Who wants to know of it is told.

use super::watch;
use crate::ending::{EndRequest, Ending};
use crate::error::Error;
use crate::event_log::EventLog;
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
    events: Option<EventLog>,
    timer: TimerFd,
    due: Duration,
    end: Arc<EndRequest>,
}

impl Tick {
    /// The first tick is due at once.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn new(metrics: VmMetrics, events: Option<EventLog>, end: Arc<EndRequest>) -> Result<Self, Error> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        );
        let mut this = Self {
            timer: timer.map_err(Error::system("create the tick's timer"))?,
            due: Duration::ZERO,
            metrics,
            events,
            end,
        };
        this.arm().map_err(Error::system("set the tick's timer"))?;
        Ok(this)
    }

    /// The guest is about to run.
    pub fn start(&mut self) {
        if let Some(events) = &mut self.events {
            events.started(self.metrics.writer());
        }
    }

    /// When the loop is over: ticks a last time, and closes the slab.
    pub fn finish(mut self, ending: &Ending) {
        self.metrics.tick_last();
        self.tell();
        if let Some(events) = &mut self.events {
            events.ended(ending, self.metrics.missed_ticks());
        }
        self.metrics.close();
    }

    fn tell(&mut self) {
        if let Some(events) = &mut self.events {
            events.tick(self.metrics.writer().ticked_ns(), self.metrics.missed_ticks());
        }
    }

    fn arm(&mut self) -> nix::Result<()> {
        // The present interval has no tick yet if this is past, as it is when the machine starts. The timer then
        // fires at once, and is late from now on only.
        self.due = self.metrics.next_tick().max(monotonic());
        let due = Expiration::OneShot(TimeSpec::from_duration(self.due));
        self.timer.set(due, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
    }
}

impl MutEventSubscriber for Tick {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        // Not yet due, if the wait says so: then the timer is still set.
        if self.timer.wait().is_ok() {
            self.metrics.tick(monotonic().saturating_sub(self.due));
            self.tell();
            if let Err(error) = self.arm() {
                self.end
                    .ask(Ending::Failed(format!("cannot set the tick's timer: {error}")));
            }
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
