//! Model-specific registers that differ from what a processor has at reset.
//!
//! The time stamp counter is left alone: writing it makes KVM's clock resynchronise vCPUs.

use crate::error::Error;
use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;

/// Index and value.
const VALUES: [(u32, u64); 5] = [
    (0x174, 0),     // SYSENTER_CS
    (0x175, 0),     // SYSENTER_ESP
    (0x176, 0),     // SYSENTER_EIP
    (0x1a0, 1),     // MISC_ENABLE: fast string operations
    (0x2ff, 0x806), // MTRR_DEF_TYPE: on, all memory is write-back
];

pub(super) fn set(vcpu: &VcpuFd) -> Result<(), Error> {
    let entries = VALUES.map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    });
    let msrs = Msrs::from_entries(&entries).map_err(|_| Error::KvmLacks("room for these registers"))?;
    match vcpu.set_msrs(&msrs) {
        Ok(set) if set == VALUES.len() => Ok(()),
        Ok(set) => Err(Error::Kvm {
            action: "set a model-specific register",
            source: std::io::Error::other(format!("register {:#x} is refused", VALUES[set].0)),
        }),
        Err(error) => Err(Error::kvm("set model-specific registers")(error)),
    }
}
