//! Reads rondo slabs, which may be hostile.
//!
//! A slab is a file in shared memory that one process fills with measurements (`spec/slab.md`).
//! This crate maps it read-only, checks everything that it is going to use, once and on copies, and
//! hands out owned values. It never stores a byte, takes no lock and never waits for the writer:
//!
//! - [`Slab`] is one slab; [`Slab::view`] fixes what holds for all values read together (which
//!   intervals there are and which of them are complete), then [`Slab::latest`], [`Slab::range`],
//!   [`Slab::scan`], [`Slab::each_slot`] and [`Slab::buckets`] read values.
//! - [`Bus`] is a directory of them, with limits on what a user may put there.
//! - [`audit()`] checks a slab against every rule of the format.
//!
//! What can go wrong is an [`Error`]. A value that the writer was changing at every attempt to read
//! it, or died in, is [`PointValue::Torn`]. A file that is cut short under the mapping raises
//! SIGBUS; a handler, installed when the first slab is opened, puts zero pages there, and from then
//! on all reads of that slab end in [`Error::Lost`].
//!
//! ```no_run
//! use rondo_reader::{Limits, Slab};
//!
//! let slab = Slab::open("/dev/shm/rondo/vm-1.vmm.0a1b2c3d.slab", &Limits::default())?;
//! let view = slab.view()?;
//! for series in slab.series() {
//!     if let Some(point) = slab.latest(series, &view)? {
//!         println!("{} {:?}", series.name, point.value);
//!     }
//! }
//! # Ok::<(), rondo_reader::Error>(())
//! ```
#![deny(unsafe_code)]

mod audit;
mod bus;
mod catalogue;
mod column;
mod error;
mod histogram;
mod interner;
mod latest;
mod limits;
mod liveness;
mod mapping;
mod point;
mod range;
mod remove;
mod scan;
mod series;
mod sigbus;
mod slab;
mod view;

pub use audit::{Audit, audit};
pub use bus::{Bus, Changes, Refused};
pub use column::SlotValue;
pub use error::Error;
pub use histogram::{Bucket, Buckets};
pub use limits::Limits;
pub use liveness::Liveness;
pub use point::{Point, PointValue};
pub use series::Series;
pub use slab::{Counters, Slab};
pub use view::View;

// What this crate hands out of the layout, so that its users need not name that crate.
pub use rondo_shm_layout::{
    Access, Action, Geometry, IdentityInfo, Kind, Labels, Rule, SeriesInfo, Unit, Violation,
};
