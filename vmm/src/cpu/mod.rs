//! What a vCPU is before its first instruction.
//!
//! The first vCPU is entered in 64-bit mode with paging on and the low 4 GiB mapped to themselves, as
//! Linux's 64-bit boot protocol asks for. The others wait for a start-up interrupt, as processors do.

mod cpuid;
mod msrs;
mod registers;

pub use registers::Entry;

use crate::error::Error;
use crate::vm::Vm;
use kvm_ioctls::VcpuFd;

/// Gives a vCPU its features, its model-specific registers and its interrupt lines.
///
/// # Errors
/// [`Error::Kvm`].
pub fn prepare(vm: &Vm, vcpu: &VcpuFd, index: u32, count: u32) -> Result<(), Error> {
    cpuid::set(vm, vcpu, index, count)?;
    msrs::set(vcpu)?;
    registers::set_fpu(vcpu)?;
    registers::set_local_interrupts(vcpu)
}

/// Puts the first vCPU at its first instruction.
///
/// # Errors
/// [`Error::Kvm`], or [`Error::GuestMemory`] if there is less than 64 KiB of it.
pub fn enter(vm: &Vm, vcpu: &VcpuFd, entry: Entry) -> Result<(), Error> {
    registers::write_tables(&vm.memory)?;
    registers::set(vcpu, entry)
}
