//! Puts disks into a machine: each at an address and an interrupt line of its own.

use crate::boot::VirtioMmio;
use crate::device_thread::DeviceThread;
use crate::devices::block::{self, BlockServer, Disk, DiskConfig};
use crate::devices::virtio::Link;
use crate::error::Error;
use crate::layout::{VIRTIO_BLOCK, VIRTIO_BLOCK_GSI, VIRTIO_SIZE};
use crate::machine::Machine;
use std::sync::Arc;
use virtio_bindings::bindings::virtio_mmio::VIRTIO_MMIO_QUEUE_NOTIFY;

/// Most disks of a machine. Each has an interrupt line from [`VIRTIO_BLOCK_GSI`] on, and a name from a letter.
pub const DISKS_MAX: u32 = 8;

/// Opens the disks and attaches them, in order. Gives what the machine's description has to say of them.
///
/// # Errors
/// More than [`DISKS_MAX`]; a file that cannot be a disk; see also [`Error`].
pub fn attach(machine: &mut Machine, disks: &[DiskConfig]) -> Result<Vec<VirtioMmio>, Error> {
    if disks.len() > DISKS_MAX as usize {
        return Err(Error::Disks {
            given: disks.len(),
            max: DISKS_MAX,
        });
    }
    (0..)
        .zip(disks)
        .map(|(number, disk)| attach_one(machine, number, disk))
        .collect()
}

/// The name of the disk of a number, as Linux calls it too: `vda`, `vdb`.
fn name(number: u32) -> String {
    let letter = char::from_digit(number + 10, 36).unwrap_or('?');
    format!("vd{letter}")
}

fn attach_one(machine: &mut Machine, number: u32, config: &DiskConfig) -> Result<VirtioMmio, Error> {
    let (name, gsi) = (name(number), VIRTIO_BLOCK_GSI + number);
    let address = VIRTIO_BLOCK + u64::from(number) * VIRTIO_SIZE;
    let disk = Disk::open(config, &name)?;
    let link = Arc::new(Link::new().map_err(Error::system("create a disk's events"))?);
    let memory = machine.vm().memory.clone();

    let transport = block::transport(&disk, memory.clone(), link.clone());
    machine.attach(address..address + VIRTIO_SIZE, Box::new(transport))?;
    machine.connect_interrupt(link.interrupt(), gsi)?;
    machine.connect_doorbell(link.doorbell(), address + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY), 0)?;

    let metrics = machine.metrics().block(&name)?;
    let end = machine.end().clone();
    let server = BlockServer::new(disk, link.clone(), memory, end, metrics);
    machine.add_thread(DeviceThread {
        name,
        work: Box::new(move || server.run()),
        wake: Box::new(move || link.ring()),
    });
    Ok(VirtioMmio {
        address: address as u32,
        gsi,
    })
}
