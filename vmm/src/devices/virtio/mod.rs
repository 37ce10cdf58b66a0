//! Virtio devices over MMIO (Virtual I/O Device 1.2, section 4.2), version 2 of the registers.
//!
//! A device has two sides. The [`Transport`] is what the guest's accesses meet, on vCPU threads: features, set-up
//! of the queue, status. The device's own thread does the work. They share a [`Link`]: the queue while it is in
//! use, the doorbell, the interrupt.
//!
//! The guest is not trusted. Whatever it does out of order, and whatever it puts into a queue, ends in an error that
//! it is told, or stops the device until the guest resets it (`DEVICE_NEEDS_RESET`). Addresses of the guest's reach
//! memory through `vm-memory` only, which checks each.

mod link;
mod transport;

pub use link::{Broken, Link};
pub use transport::Transport;

use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

/// Most entries of a queue.
pub const QUEUE_SIZE_MAX: u16 = 128;

/// What every device here offers beside its own features.
pub const COMMON_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;
