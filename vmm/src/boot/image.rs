//! Brings the files of a Linux guest into its memory.

use crate::error::Error;
use crate::layout::{DEVICE_GAP, HIGH_MEMORY, KERNEL};
use linux_loader::loader::KernelLoader;
use linux_loader::loader::bootparam::setup_header;
use linux_loader::loader::bzimage::BzImage;
use std::fs::File;
use std::io;
use std::path::Path;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// `xloadflags`: there is an entry point for 64-bit mode.
const KERNEL_64: u16 = 1;
const PAGE: u64 = 0x1000;
const MIB: u64 = 1 << 20;

/// A kernel in guest memory.
pub(super) struct Kernel {
    /// Where it is.
    pub(super) address: u64,
    /// What its image says of it.
    pub(super) header: setup_header,
}

impl Kernel {
    /// First address that the kernel does not use before it knows the memory map.
    fn end(&self) -> u64 {
        let unpacked_size = self.header.init_size;
        self.address + u64::from(unpacked_size)
    }
}

/// An initramfs in guest memory.
#[derive(Clone, Copy)]
pub(super) struct Initramfs {
    pub(super) address: u32,
    pub(super) size: u32,
}

/// End of the RAM that starts at 0.
pub(super) fn low_memory_end(memory: &GuestMemoryMmap) -> u64 {
    let low = memory.iter().next().map_or(0, GuestMemoryRegion::len);
    low.min(DEVICE_GAP)
}

pub(super) fn load_kernel(path: &Path, memory: &GuestMemoryMmap) -> Result<Kernel, Error> {
    let (mut file, size) = open(path)?;
    check_memory(memory, KERNEL + size)?;
    let loaded = BzImage::load(
        memory,
        Some(GuestAddress(KERNEL)),
        &mut file,
        Some(GuestAddress(HIGH_MEMORY)),
    );
    let not_a_kernel = || Error::NotAKernel(path.to_owned());
    let loaded = loaded.map_err(|_| not_a_kernel())?;
    let header = loaded.setup_header.ok_or_else(not_a_kernel)?;
    if header.xloadflags & KERNEL_64 == 0 {
        return Err(Error::Kernel32(path.to_owned()));
    }
    let kernel = Kernel {
        address: loaded.kernel_load.raw_value(),
        header,
    };
    check_memory(memory, kernel.end())?;
    Ok(kernel)
}

/// At the end of low memory, where the kernel does not unpack itself to.
pub(super) fn load_initramfs(
    path: &Path,
    memory: &GuestMemoryMmap,
    kernel: &Kernel,
) -> Result<Initramfs, Error> {
    let (mut file, size) = open(path)?;
    let pages = size.next_multiple_of(PAGE);
    check_memory(memory, kernel.end() + pages)?;
    let highest = u64::from(kernel.header.initrd_addr_max).saturating_add(1);
    let end = low_memory_end(memory).min(highest) / PAGE * PAGE;
    let address = end.saturating_sub(pages);
    let too_large = || Error::File {
        path: path.to_owned(),
        source: io::Error::other("it is too large for an initramfs"),
    };
    if address < kernel.end() {
        return Err(too_large());
    }
    let count = usize::try_from(size).map_err(|_| too_large())?;
    memory
        .read_exact_volatile_from(GuestAddress(address), &mut file, count)
        .map_err(Error::guest_memory("the initramfs"))?;
    Ok(Initramfs {
        address: u32::try_from(address).map_err(|_| too_large())?,
        size: u32::try_from(size).map_err(|_| too_large())?,
    })
}

fn open(path: &Path) -> Result<(File, u64), Error> {
    let unreadable = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    Ok((file, metadata.len()))
}

fn check_memory(memory: &GuestMemoryMmap, needed: u64) -> Result<(), Error> {
    let given = low_memory_end(memory);
    if given >= needed {
        return Ok(());
    }
    Err(Error::MemoryTooSmall {
        given_mib: given / MIB,
        // A kernel needs some for itself, too.
        needed_mib: needed.div_ceil(MIB) + 16,
        guest: "this kernel and its initramfs",
    })
}
