//! Doing what a request asks for.

use super::disk::{Disk, ID_SIZE, SECTOR_SIZE};
use super::request::{Op, Request};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use virtio_bindings::bindings::virtio_blk::{VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP};
use virtio_queue::{Reader, Writer};

/// Bytes that are copied at a time.
pub(super) const BUFFER_SIZE: usize = 64 << 10;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What it asked for.
    pub op: Op,
    /// Bytes of the disk that were read or written; the others move none.
    pub bytes: u64,
    /// Bytes of guest memory that were written, the status included.
    pub(super) used: u32,
    /// virtio's status.
    pub(super) status: u8,
}

impl Outcome {
    /// Whether the guest was told that it was not done.
    pub fn is_error(&self) -> bool {
        u32::from(self.status) != VIRTIO_BLK_S_OK
    }
}

/// Why not.
enum Refusal {
    /// Not by this device.
    Unsupported,
    /// Not there, not so, or not possible.
    Failed,
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

impl Disk {
    /// Does it, and says so to the guest. Between two pieces of a long one it asks `is_over` whether nobody waits
    /// for it any more.
    pub fn execute(
        &self,
        request: Request<'_>,
        buffer: &mut [u8; BUFFER_SIZE],
        is_over: impl Fn() -> bool,
    ) -> Outcome {
        let Request {
            op,
            is_whole,
            sector,
            mut input,
            mut output,
            mut status,
        } = request;
        let done = match op {
            Op::Read => self.read(sector, &mut output, buffer, is_over),
            Op::Write => self.write(sector, &mut input, buffer, is_over),
            Op::Flush => self.file.sync_data().map(|()| 0).map_err(Refusal::from),
            Op::GetId => self.identify(&mut output),
            Op::Other if is_whole => Err(Refusal::Unsupported),
            Op::Other => Err(Refusal::Failed),
        };
        let (bytes, code) = match done {
            Ok(bytes) => (bytes, VIRTIO_BLK_S_OK),
            Err(Refusal::Unsupported) => (0, VIRTIO_BLK_S_UNSUPP),
            Err(Refusal::Failed) => (0, VIRTIO_BLK_S_IOERR),
        };
        let code = code as u8;
        // It is one byte of memory that was found when the request was parsed.
        let has_status = status.write_all(&[code]).is_ok();
        Outcome {
            op,
            bytes,
            // Less than 2^32: `virtio-queue` takes no chain of more.
            used: output.bytes_written() as u32 + u32::from(has_status),
            status: code,
        }
    }

    fn read(
        &self,
        sector: u64,
        output: &mut Writer<'_>,
        buffer: &mut [u8],
        is_over: impl Fn() -> bool,
    ) -> Result<u64, Refusal> {
        let size = output.available_bytes();
        self.pieces(sector, size, is_over, |offset, length| {
            let piece = &mut buffer[..length];
            self.file.read_exact_at(piece, offset)?;
            output.write_all(piece)
        })
    }

    fn write(
        &self,
        sector: u64,
        input: &mut Reader<'_>,
        buffer: &mut [u8],
        is_over: impl Fn() -> bool,
    ) -> Result<u64, Refusal> {
        if self.is_read_only() {
            return Err(Refusal::Failed);
        }
        let size = input.available_bytes();
        self.pieces(sector, size, is_over, |offset, length| {
            let piece = &mut buffer[..length];
            input.read_exact(piece)?;
            self.file.write_all_at(piece, offset)
        })
    }

    /// Calls `copy` with the offset in the file and the length of each piece of a range of whole sectors.
    fn pieces(
        &self,
        sector: u64,
        size: usize,
        is_over: impl Fn() -> bool,
        mut copy: impl FnMut(u64, usize) -> io::Result<()>,
    ) -> Result<u64, Refusal> {
        let size = size as u64;
        let end = sector.checked_add(size / SECTOR_SIZE).ok_or(Refusal::Failed)?;
        if size == 0 || !size.is_multiple_of(SECTOR_SIZE) || end > self.sectors() {
            return Err(Refusal::Failed);
        }
        let mut done = 0;
        while done < size {
            if is_over() {
                return Err(Refusal::Failed);
            }
            let length = (size - done).min(BUFFER_SIZE as u64);
            // No overflow: the end of the range is within the file.
            copy(sector * SECTOR_SIZE + done, length as usize)?;
            done += length;
        }
        Ok(size)
    }

    fn identify(&self, output: &mut Writer<'_>) -> Result<u64, Refusal> {
        if output.available_bytes() < ID_SIZE {
            return Err(Refusal::Failed);
        }
        output.write_all(&self.id)?;
        Ok(0)
    }
}
