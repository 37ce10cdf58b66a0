//! A vCPU's thread: into the guest, out of it, handle why, and in again.
//!
//! What concerns rondo stands between `rondo: begin` and `rondo: end`; `tests/lines.rs` counts it.

use crate::devices::Devices;
use crate::ending::{EndRequest, Ending};
use crate::exit::{ExitReason, is_interruption};
use crate::metrics::VcpuMetrics;
use kvm_ioctls::{VcpuExit, VcpuFd};
use std::sync::Arc;

/// A vCPU that is ready to run.
pub struct Vcpu {
    /// Its number, from 0.
    pub index: u32,
    /// KVM's side of it.
    pub fd: VcpuFd,
    /// What its exits go to.
    pub devices: Arc<Devices>,
    /// How it learns that it is over.
    pub end: Arc<EndRequest>,
    /// What it records.
    pub metrics: VcpuMetrics,
}

impl Vcpu {
    /// Runs the guest until somebody asks for the end. A thread in KVM_RUN notices that with the next exit,
    /// which a signal brings about.
    pub fn run(mut self) {
        // rondo: begin
        self.metrics.start();
        // rondo: end
        while self.end.ending().is_none() {
            let exit = self.fd.run();
            // rondo: begin
            self.metrics.record_run(ExitReason::of(&exit));
            // rondo: end
            if let Some(ending) = handle(&self.devices, exit, self.index) {
                self.end.ask(ending);
            }
            // rondo: begin
            self.metrics.record_exit();
            // rondo: end
        }
    }
}

/// Does what the guest waits for, and says whether it was the last.
#[inline]
pub fn handle(devices: &Devices, exit: Result<VcpuExit<'_>, kvm_ioctls::Error>, vcpu: u32) -> Option<Ending> {
    match exit {
        Ok(VcpuExit::IoOut(port, data)) => devices.write_port(port, data),
        Ok(VcpuExit::IoIn(port, data)) => devices.read_port(port, data),
        Ok(VcpuExit::MmioWrite(address, data)) => devices.write_memory(address, data),
        Ok(VcpuExit::MmioRead(address, data)) => devices.read_memory(address, data),
        Ok(VcpuExit::Shutdown) => return Some(Ending::TripleFault { vcpu }),
        Ok(VcpuExit::Intr) => {}
        Ok(VcpuExit::FailEntry(reason, _)) => {
            return Some(Ending::Failed(format!(
                "the processor refuses to enter vCPU {vcpu}: reason {reason:#x}"
            )));
        }
        Ok(VcpuExit::InternalError) => {
            return Some(Ending::Failed(format!("KVM cannot emulate what vCPU {vcpu} did")));
        }
        Ok(other) => {
            return Some(Ending::Failed(format!(
                "vCPU {vcpu} left the guest for a reason that this VMM does not know: {other:?}"
            )));
        }
        Err(error) if is_interruption(error) => {}
        Err(error) => return Some(Ending::Failed(format!("cannot run vCPU {vcpu}: {error}"))),
    }
    None
}
