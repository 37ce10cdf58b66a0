//! What leaves: rows of a tier, each once, under the names that Prometheus wants.
//!
//! - [`Drain`] hands over the rows of a tier that an [`ExportCursor`] has not passed yet, those of the archives first, then those
//!   that still wait in memory;
//! - [`Outgoing`] says what becomes of the series of a slice: labels, and where the value of each stands in a row.

mod cursor;
mod drain;
mod outgoing;
mod progress;
pub(crate) mod regular;
#[cfg(feature = "cli")]
pub mod remote_write;

pub use cursor::{CursorError, ExportCursor};
pub use drain::{Drain, Drained};
pub use outgoing::{
    Family, Histograms, Naming, NativeHistogram, NativeSpan, Nature, Outgoing, outgoing, stamp_ms, stamp_ns,
};
