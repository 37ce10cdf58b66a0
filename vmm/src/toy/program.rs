//! The toy guest's program.
//!
//! It works in rounds of three phases, and announces each on the serial port: a burst of port accesses with
//! some arithmetic in between, writes to the disk and reads of what was written (without a disk, accesses to where its
//! registers would be), and idleness. Each phase ends
//! after so many accesses or so many timer interrupts, whichever comes first. Every access that leaves the
//! guest is counted in guest memory, next to the instruction that makes it: the ledger, which is what the
//! VMM's own counters are compared with.

use super::Finish;
use super::assembler::{Assembler, Label};
use super::disk;
use crate::layout::{
    HIGH_MEMORY, KEYBOARD_COMMAND_PORT, LOCAL_APIC, POWER_OFF, SERIAL_PORT, SLEEP_CONTROL_PORT, VIRTIO_BLOCK,
};

/// Where the program is loaded, and its first instruction.
pub const CODE: u32 = HIGH_MEMORY as u32;
/// Interrupt descriptor table.
pub const IDT: u32 = 0x2000;
/// What the VMM tells the program: see [`Parameter`].
pub const PARAMETERS: u32 = 0x3000;
/// What the program has done: see [`Entry`].
pub const LEDGER: u32 = 0x4000;
/// Between two timer interrupts: 10 ms.
pub const TICK_NS: u32 = 10_000_000;
/// The timer's interrupt.
pub const TIMER_VECTOR: u8 = 0x20;

/// A port that nobody is at, in every PC.
const DELAY_PORT: u16 = 0x80;
const SERIAL_LINE_STATUS: u16 = SERIAL_PORT + 5;
/// Magic number and doorbell of a virtio device.
const VIRTIO_MAGIC: u32 = 0;
const VIRTIO_QUEUE_NOTIFY: u32 = 0x50;

/// Registers of the local APIC: end of interrupt, spurious vector, timer vector, initial count, divisor.
const APIC_END: u32 = 0xb0;
const APIC_SPURIOUS: u32 = 0xf0;
const APIC_TIMER: u32 = 0x320;
const APIC_COUNT: u32 = 0x380;
const APIC_DIVISOR: u32 = 0x3e0;
const APIC_ENABLED: u32 = 1 << 8;
const APIC_PERIODIC: u32 = 1 << 17;
const APIC_DIVIDE_BY_1: u32 = 0b1011;

/// 64-bit words at [`PARAMETERS`].
#[derive(Debug, Clone, Copy)]
pub enum Parameter {
    /// Rounds before the end.
    Rounds,
    /// Pairs of port accesses in a burst.
    BurstAccesses,
    /// Timer interrupts after which a burst ends anyway.
    BurstTicks,
    /// Pairs of register accesses in a disk phase.
    DiskAccesses,
    /// Timer interrupts after which a disk phase ends anyway.
    DiskTicks,
    /// Timer interrupts in an idle phase.
    IdleTicks,
    /// Turns of an empty loop, at least 1, after each pair of accesses of a burst.
    Arithmetic,
}

impl Parameter {
    /// Its address.
    pub fn address(self) -> u32 {
        PARAMETERS + self as u32 * 8
    }
}

/// 64-bit words at [`LEDGER`].
#[derive(Debug, Clone, Copy)]
pub enum Entry {
    /// Writes to ports.
    IoOut,
    /// Reads from ports.
    IoIn,
    /// Reads from the block device's registers.
    MmioRead,
    /// Writes to them.
    MmioWrite,
    /// Requests to the disk.
    Requests,
    /// Interrupts by it.
    Interrupts,
    /// Requests that failed, and blocks that were not read as they were written.
    DiskFailures,
    /// Timer interrupts.
    Ticks,
    /// Rounds that are over.
    Rounds,
}

impl Entry {
    /// Its address.
    pub fn address(self) -> u32 {
        LEDGER + self as u32 * 8
    }
}

/// The program, and the addresses of its handlers of timer and disk interrupts. `None` only if a label is missing.
pub fn assemble(finish: Finish, has_disk: bool) -> Option<(Vec<u8>, [u32; 2])> {
    let mut code = Assembler::new(CODE);
    let [print, timer, disk_handler, request, round, end] = [(); 6].map(|()| code.label());
    let banner = code.label();
    let names = [(); 3].map(|()| code.label());

    start_timer(&mut code);
    say(&mut code, banner, print);
    code.sti();
    if has_disk {
        disk::start(&mut code, request);
    }

    code.bind(round);
    code.mov_rax_m(Entry::Rounds.address());
    code.cmp_rax_m(Parameter::Rounds.address());
    code.jz(end);

    say(&mut code, names[0], print);
    phase(
        &mut code,
        Parameter::BurstAccesses,
        Parameter::BurstTicks,
        |code| {
            out(code, DELAY_PORT, 0);
            code.mov_edx(u32::from(SERIAL_LINE_STATUS));
            code.in_al_dx();
            code.inc_m(Entry::IoIn.address());
            code.mov_rcx_m(Parameter::Arithmetic.address());
            let again = code.bound();
            code.dec_rcx();
            code.jnz(again);
        },
    );

    say(&mut code, names[1], print);
    phase(&mut code, Parameter::DiskAccesses, Parameter::DiskTicks, |code| {
        if has_disk {
            return disk::access(code, request);
        }
        code.mov_ebx(VIRTIO_BLOCK as u32);
        code.mov_eax_rbx(VIRTIO_MAGIC);
        code.inc_m(Entry::MmioRead.address());
        code.mov_rbx_eax(VIRTIO_QUEUE_NOTIFY);
        code.inc_m(Entry::MmioWrite.address());
    });
    if has_disk {
        disk::flush(&mut code, request);
    }

    say(&mut code, names[2], print);
    idle(&mut code);

    code.inc_m(Entry::Rounds.address());
    code.jmp(round);

    code.bind(end);
    finish_with(&mut code, finish);
    print_routine(&mut code, print);
    disk::request_routine(&mut code, request);
    interrupt_handler(&mut code, timer, |code| code.inc_m(Entry::Ticks.address()));
    interrupt_handler(&mut code, disk_handler, disk::acknowledge);

    for (label, text) in [
        (banner, "rondo toy guest\n"),
        (names[0], "burst\n"),
        (names[1], "disk\n"),
        (names[2], "idle\n"),
    ] {
        code.bind(label);
        code.data(text.as_bytes());
        code.data(&[0]);
    }
    code.finish([timer, disk_handler])
}

/// Makes the local APIC interrupt every [`TICK_NS`]; KVM's counts nanoseconds.
fn start_timer(code: &mut Assembler) {
    code.mov_ebx(LOCAL_APIC as u32);
    for (register, value) in [
        (APIC_SPURIOUS, APIC_ENABLED | 0xff),
        (APIC_DIVISOR, APIC_DIVIDE_BY_1),
        (APIC_TIMER, APIC_PERIODIC | u32::from(TIMER_VECTOR)),
        (APIC_COUNT, TICK_NS),
    ] {
        code.mov_eax(value);
        code.mov_rbx_eax(register);
    }
}

/// Repeats `access` until there were `accesses` of it, or `ticks` timer interrupts.
fn phase(code: &mut Assembler, accesses: Parameter, ticks: Parameter, access: impl FnOnce(&mut Assembler)) {
    let done = code.label();
    code.mov_r12_m(accesses.address());
    code.mov_r13_m(Entry::Ticks.address());
    code.add_r13_m(ticks.address());
    let again = code.bound();
    code.test_r12_r12();
    code.jz(done);
    code.cmp_r13_m(Entry::Ticks.address());
    code.jbe(done);
    access(code);
    code.dec_r12();
    code.jmp(again);
    code.bind(done);
}

/// Halts until enough timer interrupts came. Interrupts stay off between looking and halting, or the last
/// one might come in between: STI takes effect after the instruction that follows it.
fn idle(code: &mut Assembler) {
    let done = code.label();
    code.mov_r13_m(Entry::Ticks.address());
    code.add_r13_m(Parameter::IdleTicks.address());
    let again = code.bound();
    code.cli();
    code.cmp_r13_m(Entry::Ticks.address());
    code.jbe(done);
    code.sti();
    code.hlt();
    code.jmp(again);
    code.bind(done);
    code.sti();
}

fn out(code: &mut Assembler, port: u16, value: u8) {
    code.mov_eax(u32::from(value));
    code.mov_edx(u32::from(port));
    // Before the access: it may be the last that the guest does.
    code.inc_m(Entry::IoOut.address());
    code.out_dx_al();
}

fn finish_with(code: &mut Assembler, finish: Finish) {
    match finish {
        Finish::PowerOff => out(code, SLEEP_CONTROL_PORT, POWER_OFF),
        Finish::Reset => out(code, KEYBOARD_COMMAND_PORT, 0xfe),
        Finish::TripleFault => {
            // The first word of the ledger's page that is never written: a table of no entries.
            code.lidt_m(LEDGER + 0x800);
            code.ud2();
        }
        Finish::Halt => {}
    }
    code.cli();
    let again = code.bound();
    code.hlt();
    code.jmp(again);
}

fn say(code: &mut Assembler, text: Label, print: Label) {
    code.mov_esi(text);
    code.call(print);
}

/// Writes the text at RSI, which ends with a zero, to the serial port.
fn print_routine(code: &mut Assembler, print: Label) {
    let done = code.label();
    code.bind(print);
    code.mov_edx(u32::from(SERIAL_PORT));
    let again = code.bound();
    code.lodsb();
    code.test_al_al();
    code.jz(done);
    code.inc_m(Entry::IoOut.address());
    code.out_dx_al();
    code.jmp(again);
    code.bind(done);
    code.ret();
}

fn interrupt_handler(code: &mut Assembler, handler: Label, handle: impl FnOnce(&mut Assembler)) {
    code.bind(handler);
    code.push_rax();
    code.push_rbx();
    handle(code);
    code.mov_ebx(LOCAL_APIC as u32);
    code.mov_eax(0);
    code.mov_rbx_eax(APIC_END);
    code.pop_rbx();
    code.pop_rax();
    code.iretq();
}
