//! An end that is fixed from the start.

use super::watch;
use crate::ending::{EndRequest, Ending};
use crate::error::Error;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

/// Asks for the end when the time is up.
pub struct Deadline {
    timer: TimerFd,
    end: Arc<EndRequest>,
}

impl Deadline {
    /// In `after`, counted from now.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn new(after: Duration, end: Arc<EndRequest>) -> Result<Self, Error> {
        let create = || -> nix::Result<TimerFd> {
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
            let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
            timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?;
            Ok(timer)
        };
        let timer = create().map_err(Error::system("set a timer"))?;
        Ok(Self { timer, end })
    }
}

impl MutEventSubscriber for Deadline {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        self.end.ask(Ending::TimeUp);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::new_raw(self.timer.as_fd().as_raw_fd(), EventSet::IN);
        watch(ops, events, &self.end);
    }
}
