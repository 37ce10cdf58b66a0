//! Brings the files of a Linux guest into its memory.

use crate::error::Error;
use crate::layout::{DEVICE_GAP, HIGH_MEMORY, KERNEL};
use linux_loader::loader::bootparam::setup_header;
use linux_loader::loader::bzimage::BzImage;
use linux_loader::loader::elf::Elf;
use linux_loader::loader::{KernelLoader, KernelLoaderResult};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// `xloadflags`: there is an entry point for 64-bit mode.
const KERNEL_64: u16 = 1;
/// Where that is in a loaded bzImage.
const ENTRY_64: u64 = 0x200;
/// A vmlinux: how its file begins, and the processor that it is for, which stands at byte 18.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";
const X86_64: [u8; 2] = [62, 0];
const PAGE: u64 = 0x1000;
const MIB: u64 = 1 << 20;

/// A kernel in guest memory.
pub(super) struct Kernel {
    /// Its first instruction in 64-bit mode.
    pub(super) entry: u64,
    /// First address that it does not use before it knows the memory map.
    end: u64,
    /// What its image says of it.
    pub(super) header: setup_header,
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

/// A bzImage, or the ELF file that is packed in one, by the same protocol: both have their 64-bit entry point.
pub(super) fn load_kernel(path: &Path, memory: &GuestMemoryMmap) -> Result<Kernel, Error> {
    let (mut file, size) = open(path)?;
    let mut start = [0; 20];
    let is_elf = file.read_exact_at(&mut start, 0).is_ok() && start.starts_with(&ELF_MAGIC);
    if is_elf && !start.ends_with(&X86_64) {
        return Err(Error::Kernel32(path.to_owned()));
    }
    let (high_memory, mut image) = (Some(GuestAddress(HIGH_MEMORY)), &mut file);
    let loaded = if is_elf {
        Elf::load(memory, None, &mut image, high_memory)
    } else {
        check_memory(memory, KERNEL + size)?;
        BzImage::load(memory, Some(GuestAddress(KERNEL)), &mut image, high_memory)
    };
    let not_a_kernel = || Error::NotAKernel(path.to_owned());
    let kernel = match loaded {
        Ok(loaded) if is_elf => of_vmlinux(&loaded),
        Ok(loaded) => of_bzimage(&loaded).ok_or_else(not_a_kernel)?,
        // The loader does not tell a file that ends too soon from memory that does.
        Err(_) => {
            return Err(check_memory(memory, KERNEL + size)
                .err()
                .unwrap_or_else(not_a_kernel));
        }
    };
    if kernel.header.xloadflags & KERNEL_64 == 0 {
        return Err(Error::Kernel32(path.to_owned()));
    }
    check_memory(memory, kernel.end)?;
    Ok(kernel)
}

fn of_bzimage(loaded: &KernelLoaderResult) -> Option<Kernel> {
    let header = loaded.setup_header?;
    let (address, unpacked_size) = (loaded.kernel_load.raw_value(), header.init_size);
    Some(Kernel {
        entry: address + ENTRY_64,
        end: address + u64::from(unpacked_size),
        header,
    })
}

/// A vmlinux has lost the header, so this is what Linux puts into each (`arch/x86/boot/header.S`).
fn of_vmlinux(loaded: &KernelLoaderResult) -> Kernel {
    Kernel {
        entry: loaded.kernel_load.raw_value(),
        end: loaded.kernel_end,
        header: setup_header {
            boot_flag: 0xaa55,
            header: u32::from_le_bytes(*b"HdrS"),
            xloadflags: KERNEL_64,
            initrd_addr_max: 0x7fff_ffff,
            cmdline_size: 2047,
            kernel_alignment: 0x20_0000,
            ..Default::default()
        },
    }
}

/// At the end of low memory, where the kernel does not unpack itself to.
pub(super) fn load_initramfs(
    path: &Path,
    memory: &GuestMemoryMmap,
    kernel: &Kernel,
) -> Result<Initramfs, Error> {
    let (mut file, size) = open(path)?;
    let pages = size.next_multiple_of(PAGE);
    check_memory(memory, kernel.end + pages)?;
    let highest = u64::from(kernel.header.initrd_addr_max).saturating_add(1);
    let end = low_memory_end(memory).min(highest) / PAGE * PAGE;
    let address = end.saturating_sub(pages);
    let too_large = || Error::File {
        path: path.to_owned(),
        source: io::Error::other("it is too large for an initramfs"),
    };
    if address < kernel.end {
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
    // A pipe would wait here for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
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
