//! Where things are in the guest's address space.
//!
//! RAM starts at 0 and leaves out the last 768 MiB below 4 GiB, where devices are; what does not fit
//! below goes on at 4 GiB. The low addresses are free for the VMM: a guest that is entered in long mode
//! meets no firmware.

/// Descriptors of the segments that a vCPU is started with.
pub const GDT: u64 = 0x500;
/// An interrupt descriptor table without entries, until the guest has its own.
pub const IDT: u64 = 0x520;
/// Linux's boot parameters, the "zero page".
pub const ZERO_PAGE: u64 = 0x7000;
/// Top of the stack that the first vCPU starts with.
pub const STACK_TOP: u64 = 0x8ff0;
/// Top level of the page tables that the first vCPU starts with; the lower ones follow.
pub const PAGE_TABLES: u64 = 0x9000;
/// Linux's command line.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// Where the Extended BIOS Data Area would be: end of usable low memory.
pub const LOW_MEMORY_END: u64 = 0x9_fc00;
/// ACPI's root pointer, in the area that kernels search; the tables follow.
pub const ACPI_TABLES: u64 = 0xe_0000;
/// What a vCPU executes after a jump to the reset vector in real mode.
pub const RESET_STUB: u64 = 0xf_fff0;
/// Start of high memory.
pub const HIGH_MEMORY: u64 = 0x10_0000;
/// Where a kernel is loaded.
pub const KERNEL: u64 = 0x100_0000;

/// First address of the gap below 4 GiB that belongs to devices.
pub const DEVICE_GAP: u64 = 0xd000_0000;
/// First address after it.
pub const DEVICE_GAP_END: u64 = 1 << 32;
/// Registers of the virtio block device.
pub const VIRTIO_BLOCK: u64 = 0xd000_0000;
/// Bytes of registers that a virtio device over MMIO has.
pub const VIRTIO_SIZE: u64 = 0x1000;
/// Interrupt line of the virtio block device.
pub const VIRTIO_BLOCK_GSI: u32 = 5;
/// The interrupt controller for devices.
pub const IO_APIC: u64 = 0xfec0_0000;
/// Each vCPU's own interrupt controller.
pub const LOCAL_APIC: u64 = 0xfee0_0000;
/// Three pages that KVM takes on Intel hosts.
pub const KVM_TSS: usize = 0xfffb_d000;

/// First port of the serial port.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Interrupt line of the serial port.
pub const SERIAL_GSI: u32 = 4;
/// Command port of the keyboard controller: 0xfe resets the machine.
pub const KEYBOARD_COMMAND_PORT: u16 = 0x64;
/// Resets the machine (ACPI's reset register).
pub const RESET_PORT: u16 = 0x600;
/// Written with [`POWER_OFF`], switches the machine off (ACPI's sleep control register).
pub const SLEEP_CONTROL_PORT: u16 = 0x601;
/// ACPI's sleep status register.
pub const SLEEP_STATUS_PORT: u16 = 0x602;
/// Sleep type 5 and the enable bit.
pub const POWER_OFF: u8 = 5 << 2 | 1 << 5;
