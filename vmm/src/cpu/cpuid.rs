//! What the guest's CPUID instruction says: all that KVM supports, with each vCPU's own number in it.

use crate::error::Error;
use crate::vm::Vm;
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::VcpuFd;

/// Leaf 1, ECX: there is a hypervisor.
const HYPERVISOR: u32 = 1 << 31;
/// Leaf 1, ECX: the timer that fires at a value of the time stamp counter. Without a PIT, Linux has
/// nothing to calibrate another timer with.
const TSC_DEADLINE: u32 = 1 << 24;

pub(super) fn set(vm: &Vm, vcpu: &VcpuFd, index: u32, count: u32) -> Result<(), Error> {
    let mut cpuid = vm
        .kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(Error::kvm("list its CPU features"))?;
    for entry in cpuid.as_mut_slice() {
        adapt(entry, index, count);
    }
    vcpu.set_cpuid2(&cpuid)
        .map_err(Error::kvm("take the CPU features"))
}

fn adapt(entry: &mut kvm_cpuid_entry2, index: u32, count: u32) {
    match entry.function {
        1 => {
            entry.ebx = entry.ebx & 0xffff | (count.min(255) << 16) | (index << 24);
            entry.ecx |= HYPERVISOR | TSC_DEADLINE;
        }
        // Topology: the x2APIC identifier. One thread to a core, all cores in one package.
        0xb | 0x1f => {
            entry.edx = index;
            match entry.index {
                0 => (entry.eax, entry.ebx, entry.ecx) = (0, 1, 1 << 8),
                1 => {
                    let bits = count.next_power_of_two().trailing_zeros();
                    (entry.eax, entry.ebx, entry.ecx) = (bits, count, 2 << 8 | 1);
                }
                level => (entry.eax, entry.ebx, entry.ecx) = (0, 0, level),
            }
        }
        // AMD's: extended APIC identifier, core, node.
        0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (index, index & 0xff, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(function: u32, level: u32) -> kvm_cpuid_entry2 {
        let mut entry = kvm_cpuid_entry2 {
            function,
            index: level,
            ebx: 0xaaaa_1234,
            ..Default::default()
        };
        adapt(&mut entry, 3, 5);
        entry
    }

    /// Linux matches these numbers with ACPI's to bring vCPUs up.
    #[test]
    fn every_vcpu_reads_its_own_number() {
        assert_eq!(adapted(1, 0).ebx, 0x0305_1234);
        assert_eq!(adapted(0xb, 0).edx, 3);
        assert_eq!(adapted(0x1f, 1).edx, 3);
        assert_eq!(adapted(0x8000_001e, 0).eax, 3);
    }

    #[test]
    fn five_cores_take_three_bits_of_the_identifier() {
        assert_eq!(adapted(0xb, 1).eax, 3);
        assert_eq!(adapted(0xb, 1).ebx, 5);
    }
}
