//! Runs on disk: a directory with one file of fixed size for each tier.
//!
//! Each file is an *archive*, a ring of *extents* of which the oldest is overwritten; the last one takes the
//! third tier and all after it. An extent is filled with *frames*, each written at once and never touched
//! again: blocks of runs and layouts, and a directory of them. The format is `spec/store.md`. The rules:
//!
//! 1. Files never grow or shrink, unless the budget is changed.
//! 2. What [`Archives::flush`] wrote survives the end of the process; what [`Archives::sync`] wrote, that of the machine.
//! 3. Bytes that a checksum does not vouch for are answered for by an error, never by a row.

mod append;
mod archives;
mod bits;
mod bound;
mod bucket_rows;
mod coding;
mod counts;
mod decimal;
mod dictionary;
mod error;
mod extent;
mod files;
mod frame;
mod frames;
mod header;
mod input;
mod layout_block;
mod layouts;
mod medium;
mod pending;
mod progress;
mod read;
mod recover;
mod ring;
mod run_block;
#[cfg(test)]
mod tests;
mod usage;
mod words;

pub use archives::Archives;
pub use bound::{layout_bytes, run_bytes_max};
pub use error::StoreError;
pub use files::ArchiveSettings;
pub use frames::FrameRuns;
pub use progress::ProgressKey;
pub use read::RunRef;
pub use usage::ArchiveUsage;
