//! How a machine's life ends, and how any thread asks for it.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Why a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest switched itself off.
    PowerOff,
    /// The guest asked for a restart, which a VMM leaves to whoever started it.
    Reset,
    /// The guest's vCPU met an exception while handling an exception.
    TripleFault {
        /// Which vCPU.
        vcpu: u32,
    },
    /// A signal to the VMM.
    Signal(String),
    /// The person at the console typed Ctrl-A X.
    Quit,
    /// The time that `--seconds` gave is over.
    TimeUp,
    /// KVM could not go on.
    Failed(String),
}

impl Ending {
    /// 0 unless something went wrong.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::TripleFault { .. } | Self::Failed(_) => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("the guest asked for a restart"),
            Self::TripleFault { vcpu } => write!(f, "vCPU {vcpu} of the guest ended in a triple fault"),
            Self::Signal(name) => write!(f, "ended by {name}"),
            Self::Quit => f.write_str("ended from the console"),
            Self::TimeUp => f.write_str("the time is up"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Where an ending is asked for; the first request counts. Wakes the event loop.
#[derive(Debug)]
pub struct EndRequest {
    ending: OnceLock<Ending>,
    event: EventFd,
}

impl EndRequest {
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ending: OnceLock::new(),
            event: EventFd::new(EFD_NONBLOCK)?,
        })
    }

    /// Asks for the end. Neither blocks nor fails: an event whose counter is full is readable already.
    pub fn ask(&self, ending: Ending) {
        let _ = self.ending.set(ending);
        let _ = self.event.write(1);
    }

    /// What was asked for first.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }

    /// Becomes readable when the end is asked for.
    pub fn event(&self) -> &EventFd {
        &self.event
    }
}

/// Asks for the end when its thread panics: a machine does not go on without one of its vCPUs or devices.
pub(crate) struct AskOnPanic {
    end: Arc<EndRequest>,
    /// Whose thread it is.
    whose: String,
}

impl AskOnPanic {
    pub(crate) fn new(end: Arc<EndRequest>, whose: String) -> Self {
        Self { end, whose }
    }
}

impl Drop for AskOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ending = format!("the thread of {} panicked", self.whose);
            self.end.ask(Ending::Failed(ending));
        }
    }
}
