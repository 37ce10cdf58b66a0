//! The virtual machine before it has a guest: memory, interrupt controllers, vCPUs.

use crate::error::Error;
use crate::layout;
use crate::raw;
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use std::io;
use vm_memory::{GuestAddress, GuestMemoryMmap};

const KVM_API_VERSION: i32 = 12;

/// A virtual machine and its memory.
pub struct Vm {
    /// `/dev/kvm`.
    pub kvm: Kvm,
    /// The machine.
    pub fd: VmFd,
    /// Its RAM. Clones are references to the same.
    pub memory: GuestMemoryMmap,
}

impl Vm {
    /// A machine with that much memory, the interrupt controllers of a PC, and no vCPU. Memory is only
    /// reserved: the host gives pages when they are touched.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(memory_mib: u64) -> Result<Self, Error> {
        let kvm = open_kvm()?;
        let memory = guest_memory(memory_mib)?;
        let fd = kvm.create_vm().map_err(Error::kvm("create a machine"))?;
        raw::register_memory(&fd, &memory).map_err(Error::kvm("take the guest's memory"))?;
        fd.set_tss_address(layout::KVM_TSS)
            .map_err(Error::kvm("take its task state segment"))?;
        fd.create_irq_chip()
            .map_err(Error::kvm("create the interrupt controllers"))?;
        Ok(Self { kvm, fd, memory })
    }

    /// The next vCPU. The first one runs at once, the others when the first sends them a start-up interrupt.
    ///
    /// # Errors
    /// [`Error::Kvm`].
    pub fn create_vcpu(&self, index: u32) -> Result<VcpuFd, Error> {
        self.fd
            .create_vcpu(u64::from(index))
            .map_err(Error::kvm("create a vCPU"))
    }

    /// How many vCPUs KVM takes.
    pub fn vcpus_max(&self) -> u32 {
        // Identifiers of 8 bits: what a local APIC without extensions has.
        u32::try_from(self.kvm.get_max_vcpus()).map_or(254, |max| max.min(254))
    }
}

fn open_kvm() -> Result<Kvm, Error> {
    let kvm = Kvm::new().map_err(|error| match io::Error::from(error) {
        error if error.kind() == io::ErrorKind::NotFound => Error::NoKvm,
        error if error.kind() == io::ErrorKind::PermissionDenied => Error::KvmForbidden,
        // The device node of a module that is not loaded.
        error if error.raw_os_error() == Some(nix::libc::ENXIO) => Error::NoKvm,
        error if error.raw_os_error() == Some(nix::libc::ENODEV) => Error::NoKvm,
        source => Error::Kvm {
            action: "be opened",
            source,
        },
    })?;
    match kvm.get_api_version() {
        KVM_API_VERSION => {}
        other => return Err(Error::KvmVersion(other)),
    }
    for (capability, what) in [
        (Cap::UserMemory, "guest memory of the user's"),
        (Cap::Irqchip, "interrupt controllers"),
        (Cap::Irqfd, "interrupts by file descriptor"),
        (Cap::ExtCpuid, "CPUID"),
    ] {
        if !kvm.check_extension(capability) {
            return Err(Error::KvmLacks(what));
        }
    }
    Ok(kvm)
}

fn guest_memory(memory_mib: u64) -> Result<GuestMemoryMmap, Error> {
    let too_large = || Error::MemoryTooLarge(memory_mib);
    let size = memory_mib.checked_mul(1 << 20).ok_or_else(too_large)?;
    let low = size.min(layout::DEVICE_GAP);
    let mut ranges = vec![(GuestAddress(0), to_usize(low).ok_or_else(too_large)?)];
    if size > low {
        let high = to_usize(size - low).ok_or_else(too_large)?;
        ranges.push((GuestAddress(layout::DEVICE_GAP_END), high));
    }
    GuestMemoryMmap::from_ranges(&ranges).map_err(|_| too_large())
}

fn to_usize(bytes: u64) -> Option<usize> {
    usize::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Address, GuestMemoryBackend};

    /// Devices below 4 GiB would otherwise be hidden by RAM.
    #[test]
    fn memory_leaves_the_device_gap_free() {
        let memory = guest_memory(4096).unwrap();
        assert!(!memory.address_in_range(GuestAddress(layout::VIRTIO_BLOCK)));
        assert!(!memory.address_in_range(GuestAddress(layout::LOCAL_APIC)));
        assert!(memory.address_in_range(GuestAddress(layout::DEVICE_GAP_END)));
        let size: u64 = 4096 << 20;
        let gap = layout::DEVICE_GAP_END - layout::DEVICE_GAP;
        assert_eq!(memory.last_addr().raw_value(), size + gap - 1);
    }
}
