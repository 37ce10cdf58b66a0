//! The toy guest's driver for its disk.
//!
//! The loader lays out one chain of descriptors for each kind of request; the guest's code sets the device up, puts
//! chains into the queue, rings, and halts until the device's interrupt. There is one request at a time, and the
//! next begins when the interrupt of the last was taken: so there are exactly as many interrupts as requests.

use super::assembler::{Assembler, Label};
use super::program::Entry;
use crate::layout::{IO_APIC, VIRTIO_BLOCK, VIRTIO_BLOCK_GSI};
use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT,
};
use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_F_VERSION_1,
};
use virtio_bindings::bindings::virtio_mmio as register;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// The disk's interrupt.
pub(super) const VECTOR: u8 = 0x21;
/// Bytes of a write and of a read.
pub const BLOCK_SIZE: u32 = 4096;
/// Sectors of it.
const BLOCK_SECTORS: u32 = BLOCK_SIZE / 512;

const QUEUE_SIZE: u32 = 16;
const DESCRIPTORS: u32 = 0x11_0000;
const AVAILABLE: u32 = 0x11_1000;
const USED: u32 = 0x11_2000;
const HEADERS: u32 = 0x11_3000;
const STATUS: u32 = 0x11_4000;
const ID: u32 = 0x11_4100;
const CAPACITY: u32 = 0x11_4200;
/// What is written, and what is read.
const OUTPUT: u32 = 0x11_5000;
const INPUT: u32 = 0x11_6000;

const AVAILABLE_INDEX: u32 = AVAILABLE + 2;
const AVAILABLE_RING: u32 = AVAILABLE + 4;
const USED_INDEX: u32 = USED + 2;

const NEXT: u16 = 1;
const DEVICE_WRITES: u16 = 2;

/// Kinds of requests; the number of each is that of the first of its three descriptors, divided by 3.
#[derive(Debug, Clone, Copy)]
enum Chain {
    Write,
    Read,
    Flush,
    GetId,
}

impl Chain {
    fn head(self) -> u32 {
        self as u32 * 3
    }

    fn header(self) -> u32 {
        HEADERS + self as u32 * 16
    }

    fn sector(self) -> u32 {
        self.header() + 8
    }
}

/// Writes headers, descriptors and the block to be written.
pub(super) fn prepare(memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
    for (chain, kind, data) in [
        (Chain::Write, VIRTIO_BLK_T_OUT, Some((OUTPUT, BLOCK_SIZE, 0))),
        (
            Chain::Read,
            VIRTIO_BLK_T_IN,
            Some((INPUT, BLOCK_SIZE, DEVICE_WRITES)),
        ),
        (Chain::Flush, VIRTIO_BLK_T_FLUSH, None),
        (
            Chain::GetId,
            VIRTIO_BLK_T_GET_ID,
            Some((ID, VIRTIO_BLK_ID_BYTES, DEVICE_WRITES)),
        ),
    ] {
        memory.write_obj(kind.to_le(), GuestAddress(chain.header().into()))?;
        let parts = [
            Some((chain.header(), 16, 0)),
            data,
            Some((STATUS, 1, DEVICE_WRITES)),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        for (place, (address, length, flags)) in (0..).zip(&parts) {
            let index = chain.head() + place;
            let is_last = place as usize + 1 == parts.len();
            let next = if is_last { 0 } else { NEXT };
            let mut descriptor = u64::from(*address).to_le_bytes().to_vec();
            descriptor.extend(length.to_le_bytes());
            descriptor.extend((flags | next).to_le_bytes());
            descriptor.extend((index as u16 + 1).to_le_bytes());
            memory.write_slice(&descriptor, GuestAddress((DESCRIPTORS + index * 16).into()))?;
        }
    }
    memory.write_slice(&block(0), GuestAddress(OUTPUT.into()))
}

/// What the guest writes at a sector: the sector's number, then bytes that repeat after 251.
pub fn block(sector: u64) -> Vec<u8> {
    let mut block: Vec<u8> = (0..BLOCK_SIZE).map(|at| (at % 251) as u8).collect();
    block[..8].copy_from_slice(&sector.to_le_bytes());
    block
}

/// Sets the interrupt up and the device, as far as the first request.
pub(super) fn start(code: &mut Assembler, request: Label) {
    const SELECT: u32 = 0;
    const WINDOW: u32 = 0x10;
    let line = 0x10 + VIRTIO_BLOCK_GSI * 2;
    // Interrupt lines also lead to the older controllers, whose vectors nobody has set. KVM's, so no exit.
    for mask in [0x21, 0xa1] {
        code.mov_eax(0xff);
        code.mov_edx(mask);
        code.out_dx_al();
    }
    code.mov_ebx(IO_APIC as u32);
    // To the first vCPU, at the edge.
    for (register, value) in [(line + 1, 0), (line, u32::from(VECTOR))] {
        store(code, SELECT, register);
        store(code, WINDOW, value);
    }

    code.mov_ebx(VIRTIO_BLOCK as u32);
    let found = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    let driven = found | VIRTIO_CONFIG_S_DRIVER;
    let agreed = driven | VIRTIO_CONFIG_S_FEATURES_OK;
    for (register, value) in [
        (register::VIRTIO_MMIO_STATUS, 0),
        (register::VIRTIO_MMIO_STATUS, found),
        (register::VIRTIO_MMIO_STATUS, driven),
        (register::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1),
        (
            register::VIRTIO_MMIO_DRIVER_FEATURES,
            1 << (VIRTIO_F_VERSION_1 - 32),
        ),
        (register::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0),
        (register::VIRTIO_MMIO_DRIVER_FEATURES, 1 << VIRTIO_BLK_F_FLUSH),
        (register::VIRTIO_MMIO_STATUS, agreed),
        (register::VIRTIO_MMIO_QUEUE_SEL, 0),
        (register::VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE),
        (register::VIRTIO_MMIO_QUEUE_DESC_LOW, DESCRIPTORS),
        (register::VIRTIO_MMIO_QUEUE_DESC_HIGH, 0),
        (register::VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAILABLE),
        (register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0),
        (register::VIRTIO_MMIO_QUEUE_USED_LOW, USED),
        (register::VIRTIO_MMIO_QUEUE_USED_HIGH, 0),
        (register::VIRTIO_MMIO_QUEUE_READY, 1),
        (register::VIRTIO_MMIO_STATUS, agreed | VIRTIO_CONFIG_S_DRIVER_OK),
    ] {
        store(code, register, value);
        code.inc_m(Entry::MmioWrite.address());
    }
    code.mov_eax_rbx(register::VIRTIO_MMIO_CONFIG);
    code.inc_m(Entry::MmioRead.address());
    code.mov_m_rax(CAPACITY);
    code.sti();
    ask(code, Chain::GetId, request);
}

fn store(code: &mut Assembler, offset: u32, value: u32) {
    code.mov_eax(value);
    code.mov_rbx_eax(offset);
}

fn ask(code: &mut Assembler, chain: Chain, request: Label) {
    code.mov_ecx(chain.head());
    code.call(request);
}

/// Writes a block, reads it back into another place, compares, and moves on to the next block of the disk.
pub(super) fn access(code: &mut Assembler, request: Label) {
    let [same, next] = [(); 2].map(|()| code.label());
    code.mov_rax_m(Chain::Write.sector());
    code.mov_m_rax(OUTPUT);
    ask(code, Chain::Write, request);
    code.mov_eax(u32::MAX);
    code.mov_m_rax(INPUT);
    ask(code, Chain::Read, request);
    code.mov_rax_m(INPUT);
    code.cmp_rax_m(OUTPUT);
    code.jz(same);
    code.inc_m(Entry::DiskFailures.address());
    code.bind(same);

    // The next block, or the first if that one does not fit.
    code.mov_rax_m(Chain::Write.sector());
    code.add_rax(2 * BLOCK_SECTORS);
    code.cmp_rax_m(CAPACITY);
    code.jbe(next);
    code.mov_eax(BLOCK_SECTORS);
    code.bind(next);
    code.add_rax(BLOCK_SECTORS.wrapping_neg());
    code.mov_m_rax(Chain::Write.sector());
    code.mov_m_rax(Chain::Read.sector());
}

/// Makes what was written safe.
pub(super) fn flush(code: &mut Assembler, request: Label) {
    ask(code, Chain::Flush, request);
}

/// The routine that puts the chain with head CX into the queue, rings, waits, and looks at the status.
pub(super) fn request_routine(code: &mut Assembler, request: Label) {
    let [taken, failed, done] = [(); 3].map(|()| code.label());
    code.bind(request);
    code.mov_eax(u32::MAX);
    code.mov_m_rax(STATUS);
    code.movzx_eax_m16(AVAILABLE_INDEX);
    code.and_eax(QUEUE_SIZE - 1);
    code.mov_m16_rax_cx(AVAILABLE_RING);
    code.inc_m16(AVAILABLE_INDEX);
    code.inc_m(Entry::Requests.address());
    code.mov_ebx(VIRTIO_BLOCK as u32);
    store(code, register::VIRTIO_MMIO_QUEUE_NOTIFY, 0);

    // As in idleness: interrupts stay off between looking and halting.
    let again = code.bound();
    code.cli();
    code.mov_rax_m(Entry::Requests.address());
    code.cmp_rax_m(Entry::Interrupts.address());
    code.jz(taken);
    code.sti();
    code.hlt();
    code.jmp(again);

    code.bind(taken);
    code.sti();
    code.movzx_eax_m16(AVAILABLE_INDEX);
    code.cmp_ax_m(USED_INDEX);
    code.jnz(failed);
    code.movzx_eax_m8(STATUS);
    code.test_al_al();
    code.jz(done);
    code.bind(failed);
    code.inc_m(Entry::DiskFailures.address());
    code.bind(done);
    code.ret();
}

/// What the interrupt handler does between saving registers and the end of the interrupt.
pub(super) fn acknowledge(code: &mut Assembler) {
    code.inc_m(Entry::Interrupts.address());
    code.mov_ebx(VIRTIO_BLOCK as u32);
    code.mov_eax_rbx(register::VIRTIO_MMIO_INTERRUPT_STATUS);
    code.inc_m(Entry::MmioRead.address());
    code.mov_rbx_eax(register::VIRTIO_MMIO_INTERRUPT_ACK);
    code.inc_m(Entry::MmioWrite.address());
}
