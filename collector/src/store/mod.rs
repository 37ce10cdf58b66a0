//! What is kept on disk, and the form in which consolidation, archives and queries hand it to one another.
//!
//! A [`Run`] is consecutive rows of one slab in one tier; its [`Layout`] says which series they are of and
//! which words each has.

pub mod archive;
mod layout;
mod run;

pub use archive::{ArchiveSettings, ArchiveUsage, Archives, FrameRuns, ProgressKey, RunRef, StoreError};
pub use layout::{BucketShape, Column, Columns, Layout, SLICE_SERIES_MAX, StoredSeries};
pub use run::{BucketCounts, RowValue, Run, Source, read_varint, state, write_varint};
