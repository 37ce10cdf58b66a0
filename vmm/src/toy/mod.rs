//! The toy guest: some hundred bytes of machine code that need no kernel image.
//!
//! It runs on every /dev/kvm, also on one that emulates, and does what is known exactly: that is what it is
//! for. What it does stands at the top of `program.rs`.

mod assembler;
mod disk;
mod program;

pub use disk::{BLOCK_SIZE, block};
pub use program::TICK_NS;

use crate::cpu::Entry as CpuEntry;
use crate::error::Error;
use crate::layout;
use program::{CODE, Entry, IDT, Parameter, TIMER_VECTOR};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// What the toy guest needs at least.
pub const MEMORY_MIN_MIB: u64 = 2;

/// How the toy guest ends after its last round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Finish {
    /// Switches itself off.
    #[default]
    PowerOff,
    /// Asks for a restart.
    Reset,
    /// Breaks down.
    TripleFault,
    /// Halts for ever, without interrupts.
    Halt,
}

/// What the toy guest shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toy {
    /// Rounds before it ends; `None` for no end.
    pub rounds: Option<u64>,
    /// Pairs of port accesses (a write and a read) in a burst.
    pub burst_accesses: u64,
    /// Timer interrupts, of [`TICK_NS`], after which a burst ends anyway.
    pub burst_ticks: u64,
    /// Whether there is a disk to write to.
    pub has_disk: bool,
    /// Blocks of [`BLOCK_SIZE`] bytes that are written to the disk and read again in a disk phase; without a disk,
    /// pairs of accesses to where its registers would be (a read and a write).
    pub disk_accesses: u64,
    /// Timer interrupts after which a disk phase ends anyway.
    pub disk_ticks: u64,
    /// Timer interrupts in an idle phase.
    pub idle_ticks: u64,
    /// Turns of an empty loop after each pair of accesses in a burst; 0 counts as 1.
    pub arithmetic: u64,
    /// How it ends.
    pub finish: Finish,
}

impl Default for Toy {
    /// Three seconds of each phase, for ever.
    fn default() -> Self {
        Self {
            rounds: None,
            burst_accesses: u64::MAX,
            burst_ticks: 300,
            has_disk: false,
            disk_accesses: u64::MAX,
            disk_ticks: 300,
            idle_ticks: 300,
            arithmetic: 50,
            finish: Finish::PowerOff,
        }
    }
}

/// What the toy guest says it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// Writes to ports.
    pub io_out: u64,
    /// Reads from ports.
    pub io_in: u64,
    /// Reads from the block device's registers, or from where they would be.
    pub mmio_read: u64,
    /// Writes to them.
    pub mmio_write: u64,
    /// Requests to the disk.
    pub requests: u64,
    /// Interrupts by it.
    pub interrupts: u64,
    /// Requests that failed, and blocks that were not read as they were written.
    pub disk_failures: u64,
    /// Timer interrupts.
    pub ticks: u64,
    /// Rounds.
    pub rounds: u64,
}

impl Toy {
    /// Writes the guest into memory, and says where it starts.
    ///
    /// # Errors
    /// [`Error::GuestMemory`] if there is less than [`MEMORY_MIN_MIB`].
    pub fn load(&self, memory: &GuestMemoryMmap) -> Result<CpuEntry, Error> {
        let what = "the toy guest";
        let assembled = program::assemble(self.finish, self.has_disk);
        let (code, [timer, disk]) = assembled.ok_or(Error::Assembler)?;
        let write = |bytes: &[u8], address: u32| {
            memory
                .write_slice(bytes, GuestAddress(u64::from(address)))
                .map_err(Error::guest_memory(what))
        };
        write(&code, CODE)?;
        for (vector, handler) in [(TIMER_VECTOR, timer), (disk::VECTOR, disk)] {
            let gate = interrupt_gate(u64::from(handler));
            write(&gate.to_le_bytes(), IDT + u32::from(vector) * 16)?;
        }
        if self.has_disk {
            disk::prepare(memory).map_err(Error::guest_memory(what))?;
        }
        for (parameter, value) in [
            (Parameter::Rounds, self.rounds.unwrap_or(u64::MAX)),
            (Parameter::BurstAccesses, self.burst_accesses),
            (Parameter::BurstTicks, self.burst_ticks),
            (Parameter::DiskAccesses, self.disk_accesses),
            (Parameter::DiskTicks, self.disk_ticks),
            (Parameter::IdleTicks, self.idle_ticks),
            (Parameter::Arithmetic, self.arithmetic.max(1)),
        ] {
            // A sum of ticks must not overflow.
            let value = match parameter {
                Parameter::Rounds | Parameter::BurstAccesses | Parameter::DiskAccesses => value,
                _ => value.min(1 << 62),
            };
            write(&value.to_le_bytes(), parameter.address())?;
        }
        Ok(CpuEntry {
            rip: u64::from(CODE),
            rsp: layout::STACK_TOP,
            rsi: 0,
            idt: (u64::from(IDT), (u16::from(disk::VECTOR) + 1) * 16 - 1),
        })
    }

    /// Reads what the guest has counted so far.
    ///
    /// # Errors
    /// [`Error::GuestMemory`] if the guest was never loaded.
    pub fn ledger(memory: &GuestMemoryMmap) -> Result<Ledger, Error> {
        let read = |entry: Entry| {
            memory
                .read_obj(GuestAddress(u64::from(entry.address())))
                .map_err(Error::guest_memory("the toy guest's ledger"))
        };
        Ok(Ledger {
            io_out: read(Entry::IoOut)?,
            io_in: read(Entry::IoIn)?,
            mmio_read: read(Entry::MmioRead)?,
            mmio_write: read(Entry::MmioWrite)?,
            requests: read(Entry::Requests)?,
            interrupts: read(Entry::Interrupts)?,
            disk_failures: read(Entry::DiskFailures)?,
            ticks: read(Entry::Ticks)?,
            rounds: read(Entry::Rounds)?,
        })
    }
}

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            io_out,
            io_in,
            mmio_read,
            mmio_write,
            requests,
            interrupts,
            disk_failures,
            ticks,
            rounds,
        } = self;
        write!(
            f,
            "io_out={io_out} io_in={io_in} mmio_read={mmio_read} mmio_write={mmio_write} \
             requests={requests} interrupts={interrupts} disk_failures={disk_failures} \
             ticks={ticks} rounds={rounds}"
        )
    }
}

/// A 64-bit interrupt gate to a handler in the code segment 0x10.
fn interrupt_gate(handler: u64) -> u128 {
    const CODE_SEGMENT: u64 = 0x10;
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e;
    let low =
        handler & 0xffff | CODE_SEGMENT << 16 | PRESENT_INTERRUPT_GATE << 40 | (handler >> 16 & 0xffff) << 48;
    u128::from(low) | u128::from(handler >> 32) << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toy_guest_is_some_hundred_bytes_and_fits_into_its_memory() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
        let entry = Toy::default().load(&memory).unwrap();
        assert_eq!(entry.rip, u64::from(CODE));
        for has_disk in [false, true] {
            let (code, handlers) = program::assemble(Finish::PowerOff, has_disk).unwrap();
            assert!((200..1_300).contains(&code.len()), "{} bytes", code.len());
            for handler in handlers {
                assert!((CODE..CODE + code.len() as u32).contains(&handler));
            }
        }
    }

    #[test]
    fn a_gate_has_the_handlers_address_in_three_parts() {
        assert_eq!(
            interrupt_gate(0x1122_3344_5566_7788),
            0x0000_0000_1122_3344_5566_8e00_0010_7788
        );
    }
}
