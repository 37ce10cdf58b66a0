//! The most that a run can take, whatever its values are: what promises of disk space stand on.

use super::frame::ENTRY_BYTES;
use super::{layout_block, run_block};
use crate::store::{Layout, Source};

/// Bytes that a run takes at most: its block, and its entry in a directory. None of its counts is above `known_max`:
/// points of tier 0 in an interval, or 3 in tier 0 itself.
///
/// Its layout comes on top (see [`layout_bytes`]). A run that an extent has no room for is split, and each part is a run.
pub fn run_bytes_max(source: &Source, layout: &Layout, rows: usize, known_max: u32) -> u64 {
    (ENTRY_BYTES + run_block::len_max(source, layout, rows, known_max)) as u64
}

/// Bytes of a layout, which all runs of it in an extent share.
///
/// # Errors
/// Says what a slab could not have had.
pub fn layout_bytes(layout: &Layout) -> Result<u64, String> {
    layout_block::encode(layout).map(|bytes| bytes.len() as u64)
}
