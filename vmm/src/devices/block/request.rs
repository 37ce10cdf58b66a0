//! What a chain of descriptors asks for.
//!
//! A request is a header that the guest wrote, data in one direction, and one last byte for the status. How these
//! are cut into descriptors is the driver's choice. The chain is the guest's, who may go on writing to it: each
//! descriptor is read once by each of the three walks below, and every walk checks on its own what it uses.

use crate::devices::virtio::{Broken, QUEUE_SIZE_MAX};
use std::io::Read;
use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use virtio_queue::{DescriptorChain, Reader, Writer};
use vm_memory::GuestMemoryMmap;

const HEADER_SIZE: usize = 16;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Data from the disk.
    Read,
    /// Data to the disk.
    Write,
    /// What was written shall be safe.
    Flush,
    /// Who are you?
    GetId,
    /// Something that this device does not know, or half a header.
    Other,
}

impl Op {
    /// How many there are.
    pub const COUNT: usize = 5;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [Self::Read, Self::Write, Self::Flush, Self::GetId, Self::Other];

    /// The value of the label `op`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::GetId => "get_id",
            Self::Other => "other",
        }
    }

    fn of(kind: u32) -> Self {
        match kind {
            VIRTIO_BLK_T_IN => Self::Read,
            VIRTIO_BLK_T_OUT => Self::Write,
            VIRTIO_BLK_T_FLUSH => Self::Flush,
            VIRTIO_BLK_T_GET_ID => Self::GetId,
            _ => Self::Other,
        }
    }
}

/// A request whose status can be given.
pub struct Request<'m> {
    /// What it asks for.
    pub op: Op,
    /// Whether the header was all there.
    pub is_whole: bool,
    /// Where on the disk.
    pub sector: u64,
    /// What the guest wrote after the header.
    pub input: Reader<'m>,
    /// Where the guest wants data.
    pub output: Writer<'m>,
    /// One byte.
    pub status: Writer<'m>,
}

impl<'m> Request<'m> {
    /// Takes a chain apart.
    ///
    /// # Errors
    /// The chain is a loop, too long, refers to what is no memory, or has no place for a status.
    pub fn parse(
        memory: &'m GuestMemoryMmap,
        chain: DescriptorChain<&'m GuestMemoryMmap>,
    ) -> Result<Self, Broken> {
        check(chain.clone())?;
        let mut input: Reader<'m> = chain.clone().reader(memory)?;
        let mut output: Writer<'m> = chain.writer(memory)?;
        let Some(data_size) = output.available_bytes().checked_sub(1) else {
            return Err(Broken("a request without a place for its status".into()));
        };
        let status = output.split_at(data_size)?;
        let mut header = [0; HEADER_SIZE];
        let is_whole = input.read_exact(&mut header).is_ok();
        let [a, b, c, d, _, _, _, _, sector @ ..] = header;
        Ok(Self {
            op: if is_whole {
                Op::of(u32::from_le_bytes([a, b, c, d]))
            } else {
                Op::Other
            },
            is_whole,
            sector: u64::from_le_bytes(sector),
            input,
            output,
            status,
        })
    }
}

/// A walk to the end. `virtio-queue` ends a chain silently where it cannot go on, so the last descriptor tells.
fn check(chain: DescriptorChain<&GuestMemoryMmap>) -> Result<(), Broken> {
    let broken = |what: &str| Err(Broken(what.into()));
    let (mut count, mut has_output, mut goes_on) = (0_u16, false, true);
    for descriptor in chain {
        count += 1;
        if count > QUEUE_SIZE_MAX {
            return broken("a chain that is too long");
        }
        if has_output && !descriptor.is_write_only() {
            return broken("data for the device after data from it");
        }
        has_output = descriptor.is_write_only();
        goes_on = descriptor.has_next();
    }
    if goes_on {
        broken("a chain without an end")
    } else {
        Ok(())
    }
}
