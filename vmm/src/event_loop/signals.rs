//! Signals that end the VMM, read like any other event: no handler, nothing to race with.

use super::watch;
use crate::ending::{EndRequest, Ending};
use crate::error::Error;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// What asks a process to end.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// What would stop a machine in the background that looks at the terminal, or kill one whose guest writes to a file
/// beyond `RLIMIT_FSIZE`. Blocked, the call fails instead.
const NEVER: [Signal; 3] = [Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGXFSZ];

/// Asks for the end when a signal comes.
pub struct Signals {
    fd: SignalFd,
    end: Arc<EndRequest>,
}

impl Signals {
    /// Takes the signals that end or stop a process away from this thread and the threads that it starts from now on.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn new(end: Arc<EndRequest>) -> Result<Self, Error> {
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        let is_heard = |signal: &Signal| ignored >> (*signal as u32 - 1) & 1 == 0;
        let mask: SigSet = ENDING.into_iter().filter(is_heard).collect();
        let create = || -> nix::Result<SignalFd> {
            mask.thread_block()?;
            NEVER.into_iter().collect::<SigSet>().thread_block()?;
            SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        };
        let fd = create().map_err(Error::system("take signals"))?;
        Ok(Self { fd, end })
    }
}

/// Signals that whoever started the VMM has it ignore, as `nohup` does: bit n - 1 is signal n. A signalfd would read them
/// all the same.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

impl MutEventSubscriber for Signals {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        if let Ok(Some(signal)) = self.fd.read_signal() {
            let number = signal.ssi_signo.cast_signed();
            let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
            self.end.ask(Ending::Signal(name.to_owned()));
        }
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        watch(ops, Events::new_raw(self.fd.as_raw_fd(), EventSet::IN), &self.end);
    }
}
