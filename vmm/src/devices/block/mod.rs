//! Block devices: files of the host as disks of the guest, by virtio-blk.
//!
//! ```text
//! guest -> doorbell -> thread: next chain -> Request::parse -> Disk::execute -> record -> used ring -> interrupt
//! ```
//!
//! Reads and writes are positional, and copied by way of a buffer of the thread's: no Rust reference to guest
//! memory exists, and no position of the file is shared. A flush is `fdatasync`.

mod disk;
mod execute;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub use disk::{Disk, DiskConfig, DiskError, SECTOR_SIZE};
pub use execute::Outcome;
pub use request::{Op, Request};
pub use server::BlockServer;

use super::virtio::{COMMON_FEATURES, Link, QUEUE_SIZE_MAX, Transport};
use std::sync::Arc;
use virtio_bindings::bindings::virtio_blk::{VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX};
use vm_memory::GuestMemoryMmap;

/// virtio's number for block devices.
const DEVICE_ID: u32 = 2;

/// Segments of data in a request: a queue's worth without header and status.
const SEGMENTS_MAX: u32 = QUEUE_SIZE_MAX as u32 - 2;

/// The registers of a disk.
pub fn transport(disk: &Disk, memory: GuestMemoryMmap, link: Arc<Link>) -> Transport {
    let mut features = COMMON_FEATURES | 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_FLUSH;
    if disk.is_read_only() {
        features |= 1 << VIRTIO_BLK_F_RO;
    }
    Transport::new(DEVICE_ID, features, config(disk), memory, link)
}

/// `struct virtio_blk_config` as far as the features give it a meaning: capacity, `size_max`, `seg_max`.
fn config(disk: &Disk) -> Vec<u8> {
    let mut config = disk.sectors().to_le_bytes().to_vec();
    config.extend(0_u32.to_le_bytes());
    config.extend(SEGMENTS_MAX.to_le_bytes());
    config
}
