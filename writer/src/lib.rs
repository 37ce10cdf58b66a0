//! Records metrics into a rondo slab: no lock, system call or allocation after registration.
//!
//! A [`Writer`] creates one slab for each schema of a machine, in a directory in shared memory where
//! readers find it. Series are registered once; each gives a handle of its kind, and recording
//! through a handle is a few nanoseconds of stores into the slab. Nothing on that path can fail,
//! block, allocate or enter the kernel; what cannot be recorded is counted.
//!
//! | who writes | handle | from |
//! |---|---|---|
//! | one thread | [`Gauge`], [`Counter`], [`Distribution`], [`Histogram`] | `owned()` |
//! | the thread that has the writer | [`SeriesHandle`] with [`Writer::record`] | `held()` |
//! | any thread | [`SharedGauge`], [`SharedCounter`] | `shared()` |
//!
//! Once in each interval the writer's thread calls [`Writer::tick`]. There are no threads here.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let mut writer = rondo_writer::Writer::builder("vm-1").bus(dir.path()).create()?;
//! let mut exits = writer.counter("vcpu_exits_total").label("vcpu", "0").owned()?;
//! exits.add(1);
//! writer.tick();
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

mod admit;
mod builder;
mod clock;
mod counter;
mod create;
mod distribution;
mod error;
mod gauge;
mod held;
mod mapping;
mod noop;
mod origin;
mod register;
mod registry;
mod reopen;
mod schema;
mod shared;
mod slab;
mod system_clock;
mod writer;

pub use builder::{Builder, DEFAULT_BUS};
pub use clock::{Clock, TimeSource};
pub use counter::Counter;
pub use distribution::{Distribution, Histogram};
pub use error::{CreateError, RegisterError, ReopenError};
pub use gauge::Gauge;
pub use held::SeriesHandle;
pub use origin::Origin;
pub use register::Registration;
pub use rondo_shm_layout::Unit;
pub use schema::{ConsolidationFn, LabelMatcher, SchemaConfig, TierConfig};
pub use shared::{SharedCounter, SharedGauge};
pub use writer::{Warning, Writer};
