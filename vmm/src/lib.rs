//! A small VMM: boots a guest on KVM and records what it does on a rondo bus.
//!
//! It is the example that VMM authors copy from, so it is built as theirs are, of rust-vmm's crates: one
//! thread for each vCPU, an event loop for the rest, a seccomp filter on every thread. What it knows of
//! rondo stands in [`metrics`], and in the marked lines of [`vcpu`].
//!
//! ```text
//! cli -> Machine::new -> load the guest -> Machine::run
//!          |                                 |- vCPU threads: KVM_RUN -> Exit -> Devices      (vcpu.rs)
//!          guest memory, irqchip, vCPUs      |- disk threads: doorbell -> requests -> interrupt  (devices/block/)
//!                                            |- event loop: tick, signals, console, ending    (event_loop/)
//! ```
//!
//! A device is a [`devices::MmioDevice`] that [`Machine::attach`] puts at an address; what it does off the
//! vCPU threads is a subscriber that [`Machine::subscribe`] puts into the event loop, or a thread of its own.
#![deny(unsafe_code)]

pub mod boot;
pub mod cli;
pub mod cpu;
mod device_thread;
pub mod devices;
pub mod disks;
pub mod ending;
mod error;
pub mod event_log;
pub mod event_loop;
pub mod exit;
pub mod kernel_stats;
pub mod layout;
pub mod machine;
pub mod metrics;
mod raw;
pub mod seccomp;
pub mod stopwatch;
mod terminal;
mod threads;
pub mod toy;
pub mod vcpu;
pub mod vm;

pub use device_thread::DeviceThread;
pub use ending::{EndRequest, Ending};
pub use error::Error;
pub use machine::{Machine, MachineConfig};
