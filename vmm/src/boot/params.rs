//! Linux's boot parameters, the "zero page": memory map, command line, initramfs.

use super::image::{Initramfs, Kernel, low_memory_end};
use crate::error::Error;
use crate::layout::{COMMAND_LINE, DEVICE_GAP_END, HIGH_MEMORY, LOW_MEMORY_END, ZERO_PAGE};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

const RAM: u32 = 1;
const RESERVED: u32 = 2;
/// A boot loader without a number of its own.
const LOADER_UNKNOWN: u8 = 0xff;

pub(super) fn write(
    memory: &GuestMemoryMmap,
    kernel: &Kernel,
    initramfs: Option<Initramfs>,
    rsdp: u64,
) -> Result<(), Error> {
    let mut params = boot_params {
        hdr: kernel.header,
        acpi_rsdp_addr: rsdp,
        ..Default::default()
    };
    params.hdr.type_of_loader = LOADER_UNKNOWN;
    params.hdr.cmd_line_ptr = COMMAND_LINE as u32;
    if let Some(initramfs) = initramfs {
        params.hdr.ramdisk_image = initramfs.address;
        params.hdr.ramdisk_size = initramfs.size;
    }
    for (slot, (start, end, kind)) in memory_map(memory).into_iter().enumerate() {
        params.e820_table[slot] = boot_e820_entry {
            addr: start,
            size: end - start,
            r#type: kind,
        };
        params.e820_entries += 1;
    }
    memory
        .write_obj(params, GuestAddress(ZERO_PAGE))
        .map_err(Error::guest_memory("the boot parameters"))
}

/// Start, end and kind of each range.
fn memory_map(memory: &GuestMemoryMmap) -> Vec<(u64, u64, u32)> {
    let mut map = vec![
        (0, LOW_MEMORY_END, RAM),
        (LOW_MEMORY_END, HIGH_MEMORY, RESERVED),
        (HIGH_MEMORY, low_memory_end(memory), RAM),
    ];
    for region in memory
        .iter()
        .filter(|region| region.start_addr().raw_value() >= DEVICE_GAP_END)
    {
        let start = region.start_addr().raw_value();
        map.push((start, start + region.len(), RAM));
    }
    map
}

pub(super) fn write_command_line(memory: &GuestMemoryMmap, line: &str, kernel: &Kernel) -> Result<(), Error> {
    let max = kernel.header.cmdline_size;
    if line.len() as u64 > u64::from(max) || line.contains(['\0', '\n']) {
        return Err(Error::CommandLine(max));
    }
    let bytes = [line.as_bytes(), &[0]].concat();
    memory
        .write_slice(&bytes, GuestAddress(COMMAND_LINE))
        .map_err(Error::guest_memory("the command line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that takes a device's registers for RAM, or RAM for nothing, fails far from here.
    #[test]
    fn the_memory_map_covers_all_ram_and_no_device() {
        let high = (GuestAddress(DEVICE_GAP_END), 1 << 20);
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 64 << 20), high]).unwrap();
        let map = memory_map(&memory);
        assert!(map.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let ram: u64 = map
            .iter()
            .filter(|range| range.2 == RAM)
            .map(|range| range.1 - range.0)
            .sum();
        assert_eq!(ram, (65 << 20) - (HIGH_MEMORY - LOW_MEMORY_END));
        assert_eq!(map[3], (DEVICE_GAP_END, DEVICE_GAP_END + (1 << 20), RAM));
    }
}
