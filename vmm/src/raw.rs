//! The VMM's only unsafe code: what KVM does with addresses and descriptors that it is told as numbers.
#![allow(unsafe_code, reason = "the room for it; see each SAFETY comment")]

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress};

/// Makes `memory` the RAM of a virtual machine.
///
/// Keeps it mapped for the rest of the process: a VMM's guest lives as long as the VMM.
///
/// # Errors
/// KVM's answer.
pub(crate) fn register_memory(vm: &VmFd, memory: &GuestMemoryMmap) -> std::io::Result<()> {
    // A clone is a reference to the same mappings.
    std::mem::forget(memory.clone());
    for (slot, region) in (0..).zip(memory.iter()) {
        let host = region
            .get_host_address(MemoryRegionAddress(0))
            .map_err(std::io::Error::other)?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: host as u64,
        };
        // SAFETY: From now on the guest may read and write `memory_size` bytes at `userspace_addr`, for as
        // long as any descriptor of the machine or of its vCPUs is open.
        // 1. They are memory of ours that nothing else uses: address and size are those of one region of
        //    `memory`, which is a mapping of its own.
        // 2. They stay so: the reference that was forgotten above is never dropped, so the mapping is never
        //    unmapped, whatever outlives whatever.
        // 3. No Rust reference to them exists, so no promise of the compiler's is broken by a guest that
        //    writes at any time: `vm-memory` hands out volatile accesses only, and this crate takes nothing
        //    else from it.
        unsafe { vm.set_user_memory_region(region) }?;
    }
    Ok(())
}

nix::ioctl_none!(kvm_get_stats_fd, kvm_bindings::KVMIO, 0xce);

/// The kernel's statistics of a virtual machine or a vCPU, as a file (Linux 5.14).
///
/// # Errors
/// The kernel's answer; `ENOTTY` from an older one.
pub(crate) fn stats_file(of: &(impl AsRawFd + ?Sized)) -> std::io::Result<File> {
    let fd: RawFd = of.as_raw_fd();
    // SAFETY: The call takes no argument, so the kernel reads and writes no memory of ours. `fd` is open
    // while `of` is borrowed. On a descriptor of another kind the kernel answers with an error.
    let stats = unsafe { kvm_get_stats_fd(fd) }?;
    // SAFETY: The kernel has just made this descriptor for us and nobody else knows of it.
    Ok(unsafe { File::from_raw_fd(stats) })
}

/// The processor's time stamp counter.
#[inline(always)]
pub(crate) fn time_stamp_counter() -> u64 {
    // SAFETY: Reads a register of the processor, and touches no memory. Every processor with 64 bits has it; a kernel
    // that takes it for its own clock, which callers make sure of, does not keep it from programs.
    unsafe { std::arch::x86_64::_rdtsc() }
}
