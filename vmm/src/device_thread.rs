//! Threads of devices: each does one device's work behind a filter of its own.

use crate::ending::{AskOnPanic, EndRequest};
use crate::error::Error;
use crate::seccomp;
use seccompiler::BpfProgram;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Work that is not begun.
pub struct DeviceThread {
    /// Name of the thread.
    pub name: String,
    /// The work: returns when somebody has asked for the end and it is woken.
    pub work: Box<dyn FnOnce() + Send>,
    /// Wakes it.
    pub wake: Wake,
}

type Wake = Box<dyn Fn() + Send>;

/// Threads at work.
pub(crate) struct DeviceThreads(Vec<(JoinHandle<()>, Wake)>);

impl DeviceThreads {
    /// Starts each, behind the filter.
    pub(crate) fn spawn(
        threads: Vec<DeviceThread>,
        filter: Option<BpfProgram>,
        end: &Arc<EndRequest>,
    ) -> Result<Self, Error> {
        let filter = filter.map(Arc::new);
        let mut spawned = Vec::new();
        for DeviceThread { name, work, wake } in threads {
            let (ready, is_ready) = mpsc::channel();
            let (filter, on_panic) = (filter.clone(), AskOnPanic::new(end.clone(), name.clone()));
            let run = move || {
                let _on_panic = on_panic;
                let filtered = filter.map_or(Ok(()), |filter| seccomp::apply("device", &filter));
                let is_filtered = filtered.is_ok();
                if ready.send(filtered).is_ok() && is_filtered {
                    work();
                }
            };
            let builder = std::thread::Builder::new().name(name);
            let handle = builder.spawn(run).map_err(Error::system("start a thread"))?;
            let died = |_| Error::System {
                action: "start a thread",
                source: io::Error::other("it ended at once"),
            };
            is_ready.recv().map_err(died)??;
            spawned.push((handle, wake));
        }
        Ok(Self(spawned))
    }

    /// Waits for their end, which has been asked for.
    pub(crate) fn stop(self) {
        for (handle, wake) in self.0 {
            wake();
            // A panic has been reported where it happened.
            let _ = handle.join();
        }
    }
}
