//! Loads a Linux kernel and says to it what a boot loader and a firmware would.
//!
//! A stock bzImage or the vmlinux in it, entered by the 64-bit boot protocol (Linux `Documentation/x86/boot.rst`): no
//! firmware runs.
//! What firmware would have left behind is the memory map and the command line in the boot parameters, and the
//! machine's description in the ACPI tables.

mod acpi;
mod image;
mod params;

pub use acpi::VirtioMmio;

use crate::cpu::Entry;
use crate::error::Error;
use crate::layout::{self, RESET_STUB};
use std::path::PathBuf;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// What a guest gets on its command line unless told otherwise: the console, and no waiting for devices that
/// are not there.
pub const DEFAULT_COMMAND_LINE: &str = "console=ttyS0 reboot=k panic=-1 pci=off quiet";

/// A Linux guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linux {
    /// A bzImage or a vmlinux.
    pub kernel: PathBuf,
    /// A cpio archive, compressed or not.
    pub initramfs: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
}

impl Linux {
    /// Loads the kernel, the initramfs and all tables into memory, and says where the kernel starts.
    ///
    /// # Errors
    /// A file that cannot be read or is no such image; memory that is too small for them.
    pub fn load(&self, memory: &GuestMemoryMmap, cpus: u32, virtio: &[VirtioMmio]) -> Result<Entry, Error> {
        let kernel = image::load_kernel(&self.kernel, memory)?;
        let initramfs = match &self.initramfs {
            Some(path) => Some(image::load_initramfs(path, memory, &kernel)?),
            None => None,
        };
        let rsdp = acpi::write(memory, cpus, virtio)?;
        params::write_command_line(memory, &self.command_line, &kernel)?;
        params::write(memory, &kernel, initramfs, rsdp)?;
        write_reset_stub(memory)?;
        Ok(Entry {
            rip: kernel.entry,
            rsp: layout::STACK_TOP,
            rsi: layout::ZERO_PAGE,
            idt: Entry::NO_INTERRUPTS,
        })
    }
}

/// A kernel that finds neither EFI nor a keyboard controller restarts by a jump to the reset vector in real
/// mode: there it finds code that asks for the restart.
fn write_reset_stub(memory: &GuestMemoryMmap) -> Result<(), Error> {
    const STUB: [u8; 5] = [
        0xb0, 0xfe, // mov al, 0xfe
        0xe6, 0x64, // out 0x64, al
        0xf4, // hlt
    ];
    memory
        .write_slice(&STUB, GuestAddress(RESET_STUB))
        .map_err(Error::guest_memory("the code at the reset vector"))
}
