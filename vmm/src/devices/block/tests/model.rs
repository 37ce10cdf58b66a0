//! The obvious device: bytes in vectors, one at a time, without a thought for speed.

use super::{AVAILABLE, INDIRECT_FLAG, NEXT, PIECES, QUEUE_SIZE, SECTORS, TABLE, USED, WRITE};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// What became of a look at the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A request of this type, and this status.
    Done((u32, u8)),
    Idle,
    Stopped,
}

/// Guest memory; zeros in the hole, and after the end nothing.
pub type Memory = Vec<u8>;

pub fn copy(memory: &GuestMemoryMmap) -> Memory {
    let mut bytes = vec![0; 0x1_4000];
    for (start, size) in PIECES {
        let piece = &mut bytes[start as usize..][..size];
        memory.read_slice(piece, GuestAddress(start)).unwrap();
    }
    bytes
}

pub struct Model {
    pub memory: Memory,
    pub disk: Vec<u8>,
    is_read_only: bool,
    taken: u16,
}

/// Addresses of bytes that the device reads, and of those that it writes.
type Buffers = (Vec<u64>, Vec<u64>);

impl Model {
    pub fn new(memory: &GuestMemoryMmap, disk: Vec<u8>, is_read_only: bool) -> Self {
        Self {
            memory: copy(memory),
            disk,
            is_read_only,
            taken: 0,
        }
    }

    pub fn step(&mut self) -> Step {
        self.try_step().unwrap_or(Step::Stopped)
    }

    /// `None` where the device has to stop.
    fn try_step(&mut self) -> Option<Step> {
        let waiting = (self.number(AVAILABLE + 2, 2)? as u16).wrapping_sub(self.taken);
        if waiting == 0 {
            self.set_number(USED, 2, 0);
            return Some(Step::Idle);
        }
        self.set_number(USED, 2, 1);
        if waiting > QUEUE_SIZE {
            return None;
        }
        let place = u64::from(self.taken % QUEUE_SIZE);
        let head = self.number(AVAILABLE + 4 + 2 * place, 2)?;
        let (input, output) = self.buffers(head)?;
        let (status_at, output) = output.split_last()?;
        let (kind, status, used) = self.execute(&input, output);
        self.memory[*status_at as usize] = status;
        self.set_number(USED + 4 + 8 * place, 4, head);
        self.set_number(USED + 8 + 8 * place, 4, used + 1);
        self.taken = self.taken.wrapping_add(1);
        self.set_number(USED + 2, 2, u64::from(self.taken));
        Some(Step::Done((kind, status)))
    }

    /// Follows a chain of descriptors.
    fn buffers(&self, head: u64) -> Option<Buffers> {
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let (mut table, mut size, mut index, mut is_indirect) = (TABLE, u64::from(QUEUE_SIZE), head, false);
        let (mut steps, mut count, mut bytes, mut was_output) = (0, 0, 0_u64, false);
        loop {
            if index >= size || steps >= size {
                return None;
            }
            let at = table.checked_add(16 * index)?;
            let (address, length) = (self.number(at, 8)?, self.number(at.checked_add(8)?, 4)?);
            let (flags, next) = (
                self.number(at.checked_add(12)?, 2)? as u16,
                self.number(at.checked_add(14)?, 2)?,
            );
            if flags & INDIRECT_FLAG != 0 {
                if is_indirect || length % 16 != 0 || length / 16 > 0xffff {
                    return None;
                }
                (table, size, index, is_indirect, steps) = (address, length / 16, 0, true, 0);
                continue;
            }
            (count, bytes) = (count + 1, bytes + length);
            if count > 128 || bytes > u64::from(u32::MAX) {
                return None;
            }
            for byte in 0..length {
                let at = address.checked_add(byte)?;
                self.number(at, 1)?;
                if flags & WRITE == 0 {
                    input.push(at);
                } else {
                    output.push(at);
                }
            }
            if flags & WRITE == 0 && was_output {
                return None;
            }
            was_output = flags & WRITE != 0;
            if flags & NEXT == 0 {
                return Some((input, output));
            }
            (index, steps) = (next, steps + 1);
        }
    }

    /// Gives the type of the request, its status, and how many bytes of guest memory were written.
    fn execute(&mut self, input: &[u64], output: &[u64]) -> (u32, u8, u64) {
        const TOO_SHORT: u32 = u32::MAX;
        let (ok, failed, unsupported) = (0, 1, 2);
        let Some((header, data)) = input.split_at_checked(16) else {
            return (TOO_SHORT, failed, 0);
        };
        let bytes: Vec<u8> = header.iter().map(|at| self.byte(*at)).collect();
        let kind = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let sector = u64::from_le_bytes(bytes[8..].try_into().unwrap());
        let is_range = |length: usize| {
            let sectors = length as u64 / 512;
            length > 0 && length.is_multiple_of(512) && sector < SECTORS && sectors <= SECTORS - sector
        };
        let place = (sector as usize).wrapping_mul(512);
        match kind {
            0 if is_range(output.len()) => {
                for (offset, at) in output.iter().enumerate() {
                    self.memory[*at as usize] = self.disk[place + offset];
                }
                (kind, ok, output.len() as u64)
            }
            1 if is_range(data.len()) && !self.is_read_only => {
                for (offset, at) in data.iter().enumerate() {
                    self.disk[place + offset] = self.byte(*at);
                }
                (kind, ok, 0)
            }
            4 => (kind, ok, 0),
            8 if output.len() >= 20 => {
                for (at, byte) in output.iter().zip(*b"vda\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") {
                    self.memory[*at as usize] = byte;
                }
                (kind, ok, 20)
            }
            0 | 1 | 8 => (kind, failed, 0),
            _ => (kind, unsupported, 0),
        }
    }

    fn byte(&self, at: u64) -> u8 {
        self.memory[at as usize]
    }

    /// Little-endian, if all of it is memory.
    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let mut number = 0;
        for byte in (0..size).rev() {
            let at = at.checked_add(byte)?;
            let is_memory = |(start, size): (u64, usize)| (start..start + size as u64).contains(&at);
            if !PIECES.into_iter().any(is_memory) {
                return None;
            }
            number = number << 8 | u64::from(self.byte(at));
        }
        Some(number)
    }

    fn set_number(&mut self, at: u64, size: u64, number: u64) {
        for byte in 0..size {
            self.memory[(at + byte) as usize] = (number >> (8 * byte)) as u8;
        }
    }
}
