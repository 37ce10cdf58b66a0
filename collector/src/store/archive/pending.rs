//! A frame in the making.

use super::frame::{ENTRY_BYTES, Entry, FrameHeader, HEADER_BYTES, block_end};
use zerocopy::IntoBytes;

/// The blocks and the directory of the frame that the next flush writes.
#[derive(Debug)]
pub(super) struct Pending {
    /// Room for the header, and blocks.
    bytes: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            entries: Vec::new(),
        }
    }
}

impl Pending {
    /// Bytes of the frame.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY_BYTES
    }

    /// Appends a block and says where in the frame it is.
    pub(super) fn push_block(&mut self, block: &[u8]) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(block);
        at
    }

    /// A block.
    pub(super) fn block(&self, at: usize, length: usize) -> Option<&[u8]> {
        self.bytes.get(at..)?.get(..length)
    }

    /// Gives the whole frame, filled up to the end of its last block, to `write`.
    pub(super) fn with_frame<T>(&mut self, header: &FrameHeader, write: impl FnOnce(&[u8]) -> T) -> T {
        let blocks_end = self.bytes.len();
        self.bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(self.entries.as_bytes());
        self.bytes.resize(block_end(self.bytes.len()), 0);
        let result = write(&self.bytes);
        self.bytes.truncate(blocks_end);
        result
    }

    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.entries.clear();
    }
}
