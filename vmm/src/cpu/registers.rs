//! Registers and tables of a processor in 64-bit mode.

use crate::error::Error;
use crate::layout::{GDT, IDT, PAGE_TABLES};
use kvm_bindings::{kvm_fpu, kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Where the first vCPU starts, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its first instruction.
    pub rip: u64,
    /// Top of its stack.
    pub rsp: u64,
    /// The argument: Linux's boot parameters.
    pub rsi: u64,
    /// Interrupt descriptor table: address, and size less 1.
    pub idt: (u64, u16),
}

impl Entry {
    /// No interrupt can be taken before the guest has loaded a table of its own.
    pub const NO_INTERRUPTS: (u64, u16) = (IDT, 0);
}

const CR0_PROTECTED: u64 = 1;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LONG_MODE: u64 = 1 << 8 | 1 << 10;
const RFLAGS_RESERVED: u64 = 1 << 1;

const PRESENT_WRITABLE: u64 = 0b11;
const PAGE_OF_2_MIB: u64 = 1 << 7;
const PAGE: u64 = 0x1000;

/// Selectors as Linux expects them: 0x10 code, 0x18 data, 0x20 task state.
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;

/// A segment that covers everything, and its descriptor in the table.
fn segment(selector: u16, kind: u8) -> kvm_segment {
    let is_code_or_data = selector != TASK;
    kvm_segment {
        base: 0,
        limit: 0xf_ffff,
        selector,
        type_: kind,
        present: 1,
        dpl: 0,
        db: u8::from(selector == DATA),
        s: u8::from(is_code_or_data),
        l: u8::from(selector == CODE),
        g: 1,
        avl: 0,
        unusable: 0,
        padding: 0,
    }
}

fn descriptor(segment: &kvm_segment) -> u64 {
    let limit = u64::from(segment.limit);
    let access = u64::from(segment.type_)
        | u64::from(segment.s) << 4
        | u64::from(segment.dpl) << 5
        | u64::from(segment.present) << 7;
    let flags = u64::from(segment.l) << 1 | u64::from(segment.db) << 2 | u64::from(segment.g) << 3;
    limit & 0xffff | access << 40 | (limit >> 16 & 0xf) << 48 | flags << 52
}

fn segments() -> [kvm_segment; 3] {
    // Execute and read; read and write; busy task state. All of them accessed.
    [segment(CODE, 0xb), segment(DATA, 0x3), segment(TASK, 0xb)]
}

/// Writes segment descriptors and page tables.
pub(super) fn write_tables(memory: &GuestMemoryMmap) -> Result<(), Error> {
    let write = |value: u64, address: u64| {
        memory
            .write_obj(value, GuestAddress(address))
            .map_err(Error::guest_memory("the first vCPU's tables"))
    };
    for (segment, slot) in segments().iter().zip(2..) {
        write(descriptor(segment), GDT + slot * 8)?;
    }
    write(0, IDT)?;
    // One table of the fourth level, one of the third, and four of the second: 512 pages of 2 MiB each.
    let (third, second) = (PAGE_TABLES + PAGE, PAGE_TABLES + 2 * PAGE);
    write(third | PRESENT_WRITABLE, PAGE_TABLES)?;
    for gib in 0..4 {
        write((second + gib * PAGE) | PRESENT_WRITABLE, third + gib * 8)?;
    }
    for page in 0..4 * 512 {
        write(page << 21 | PRESENT_WRITABLE | PAGE_OF_2_MIB, second + page * 8)?;
    }
    Ok(())
}

pub(super) fn set(vcpu: &VcpuFd, entry: Entry) -> Result<(), Error> {
    let mut special = vcpu.get_sregs().map_err(Error::kvm("read a vCPU's state"))?;
    let [code, data, task] = segments();
    (special.cs, special.tr) = (code, task);
    (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data);
    special.gdt.base = GDT;
    special.gdt.limit = 5 * 8 - 1;
    (special.idt.base, special.idt.limit) = entry.idt;
    special.cr0 |= CR0_PROTECTED | CR0_PAGING;
    special.cr3 = PAGE_TABLES;
    special.cr4 |= CR4_PAE;
    special.efer |= EFER_LONG_MODE;
    vcpu.set_sregs(&special)
        .map_err(Error::kvm("put a vCPU into 64-bit mode"))?;
    let general = kvm_regs {
        rip: entry.rip,
        rsp: entry.rsp,
        rbp: entry.rsp,
        rsi: entry.rsi,
        rflags: RFLAGS_RESERVED,
        ..Default::default()
    };
    vcpu.set_regs(&general)
        .map_err(Error::kvm("set a vCPU's registers"))
}

pub(super) fn set_fpu(vcpu: &VcpuFd) -> Result<(), Error> {
    let fpu = kvm_fpu {
        fcw: 0x37f,
        mxcsr: 0x1f80,
        ..Default::default()
    };
    vcpu.set_fpu(&fpu)
        .map_err(Error::kvm("set a vCPU's floating point state"))
}

/// Offsets in the local APIC's page, and delivery modes.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const EXTERNAL: u32 = 7 << 8;
const NON_MASKABLE: u32 = 4 << 8;

/// The two interrupt pins: what the old controller says, and what cannot be masked.
pub(super) fn set_local_interrupts(vcpu: &VcpuFd) -> Result<(), Error> {
    let mut lapic = vcpu
        .get_lapic()
        .map_err(Error::kvm("read a local interrupt controller"))?;
    for (offset, mode) in [(LVT_LINT0, EXTERNAL), (LVT_LINT1, NON_MASKABLE)] {
        for (byte, value) in lapic.regs[offset..offset + 4].iter_mut().zip(mode.to_le_bytes()) {
            *byte = value.cast_signed();
        }
    }
    vcpu.set_lapic(&lapic)
        .map_err(Error::kvm("set a local interrupt controller"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in every book: 64-bit code, and flat data.
    #[test]
    fn descriptors_are_flat() {
        let [code, data, _] = segments();
        assert_eq!(descriptor(&code), 0x00af_9b00_0000_ffff);
        assert_eq!(descriptor(&data), 0x00cf_9300_0000_ffff);
    }

    #[test]
    fn page_tables_map_each_address_to_itself() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        write_tables(&memory).unwrap();
        let read = |address: u64| memory.read_obj::<u64>(GuestAddress(address)).unwrap();
        for address in [0, 0x1234_5678, 0xfee0_0080, 0xffff_ffff_u64] {
            let third = read(PAGE_TABLES + (address >> 39) * 8) & !0xfff;
            let second = read(third + (address >> 30 & 511) * 8) & !0xfff;
            let page = read(second + (address >> 21 & 511) * 8);
            assert_ne!(page & PAGE_OF_2_MIB, 0);
            assert_eq!(page >> 21 << 21 | address & 0x1f_ffff, address);
        }
    }
}
