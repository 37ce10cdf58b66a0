//! The vCPUs' threads: started together, stopped together.

use crate::ending::AskOnPanic;
use crate::error::Error;
use crate::seccomp;
use crate::vcpu::Vcpu;
use nix::libc::{c_int, c_void, siginfo_t};
use seccompiler::BpfProgram;
use std::fs::File;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// How long to wait for a thread before it is sent a signal again.
const KICK_INTERVAL: Duration = Duration::from_millis(1);

/// Threads that wait for [`Self::start`], or run a guest.
pub struct VcpuThreads {
    threads: Vec<Thread>,
}

struct Thread {
    handle: JoinHandle<()>,
    /// Dropped without a message, lets the thread end without having run anything.
    start: mpsc::Sender<()>,
}

/// What a thread says of itself when it is ready: the file with its CPU time, where /proc has one.
type Ready = Result<Option<File>, Error>;

impl VcpuThreads {
    /// A thread for each vCPU, behind the filter, and for each its `schedstat`.
    ///
    /// # Errors
    /// A thread cannot be started or filtered.
    pub fn spawn(vcpus: Vec<Vcpu>, filter: Option<BpfProgram>) -> Result<(Self, Vec<Option<File>>), Error> {
        register_signal_handler(SIGRTMIN(), interrupt).map_err(Error::system("handle a signal"))?;
        let filter = filter.map(Arc::new);
        let (mut threads, mut schedstats) = (Vec::new(), Vec::new());
        for vcpu in vcpus {
            let (start, started) = mpsc::channel();
            let (ready, is_ready) = mpsc::channel();
            let filter = filter.clone();
            let handle = std::thread::Builder::new()
                .name(format!("vcpu{}", vcpu.index))
                .spawn(move || run(vcpu, filter.as_deref(), &ready, &started))
                .map_err(Error::system("start a thread"))?;
            threads.push(Thread { handle, start });
            let died = |_| Error::System {
                action: "start a thread",
                source: std::io::Error::other("it ended at once"),
            };
            schedstats.push(is_ready.recv().map_err(died)??);
        }
        Ok((Self { threads }, schedstats))
    }

    /// Lets the guest run.
    pub fn start(&self) {
        for thread in &self.threads {
            // A thread that is gone has said why.
            let _ = thread.start.send(());
        }
    }

    /// Ends the threads, whose [`EndRequest`] has been asked already.
    ///
    /// A signal brings a thread out of KVM_RUN, and one that comes just before it is lost; so it is sent until
    /// the thread has ended. That takes no pointer into KVM's memory, as setting `immediate_exit` from a
    /// handler would.
    pub fn stop(self) {
        for Thread { handle, start } in self.threads {
            drop(start);
            while !handle.is_finished() {
                let _ = handle.kill(SIGRTMIN());
                std::thread::sleep(KICK_INTERVAL);
            }
            // A panic has been reported where it happened.
            let _ = handle.join();
        }
    }
}

fn run(vcpu: Vcpu, filter: Option<&BpfProgram>, ready: &mpsc::Sender<Ready>, started: &mpsc::Receiver<()>) {
    let _on_panic = AskOnPanic::new(vcpu.end.clone(), format!("vCPU {}", vcpu.index));
    let schedstat = File::open("/proc/thread-self/schedstat").ok();
    let filtered = filter.map_or(Ok(()), |filter| seccomp::apply("vCPU", filter));
    if ready.send(filtered.map(|()| schedstat)).is_ok() && started.recv().is_ok() {
        vcpu.run();
    }
}

/// Being called is all that is wanted of it: the system call that it interrupts returns.
extern "C" fn interrupt(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}
