//! Who writes a slab, and what its file is called.

use crate::text::TextRef;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bit of [`Identity::flags`]: stamps come from a simulation, not from the clock.
pub const FLAG_SIMULATED_TIME: u32 = 1;

/// The identity record: constant.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Identity {
    /// Random; the same in all slabs of one run of one machine.
    pub incarnation: [u8; 16],
    /// Of the kernel; zeros if unknown.
    pub boot_id: [u8; 16],
    /// The creator.
    pub pid: U32,
    /// The creator's effective uid.
    pub uid: U32,
    /// 0, or the number of a further slab of the same schema.
    pub part: U32,
    /// [`FLAG_SIMULATED_TIME`].
    pub flags: U32,
    /// CLOCK_MONOTONIC at creation.
    pub created_monotonic_ns: U64,
    /// CLOCK_REALTIME at the same moment.
    pub created_realtime_ns: U64,
    /// The machine's name.
    pub instance: TextRef,
    /// The schema's name.
    pub schema: TextRef,
    /// Labels of the whole instance.
    pub labels: TextRef,
    /// Zero.
    pub reserved: [u8; 16],
}

/// The name of a slab's file: `<instance>.<schema>.<8 hex>[-<part>].slab`.
pub fn file_name(instance: &str, schema: &str, incarnation: &[u8; 16], part: u32) -> String {
    let [a, b, c, d, ..] = incarnation;
    let part = if part == 0 {
        String::new()
    } else {
        format!("-{part}")
    };
    format!("{instance}.{schema}.{a:02x}{b:02x}{c:02x}{d:02x}{part}.slab")
}

const _: () = assert!(size_of::<Identity>() == 128);
