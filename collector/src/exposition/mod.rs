//! The two text formats that Prometheus scrapes, and what of rondo goes into them.
//!
//! A [`Page`] is a set of typed metric [`Family`]s and writes itself as text 0.0.4 or OpenMetrics 1.0
//! ([`Format`]). It keeps the rules of both: a family is there once, in one piece, with one kind and one
//! unit; no two of its samples have the same labels; names end as their kinds want. What breaks a rule is
//! left out and counted as a conflict, so one odd machine never costs the page of all others.
//!
//! Three sources fill pages: [`machine_page`] the newest values of live slabs, [`own`] the table of what
//! the collector says of itself, and [`HostTotals`] the sums over all machines. Names leave in base units
//! ([`exported`]): `vcpu_exit_duration_ns` becomes `vcpu_exit_duration_seconds`.
//!
//! Nothing here needs the network, and only [`process_families`] looks at the system.

mod buckets;
mod family;
mod gathered;
mod host;
mod labels;
mod machines;
#[cfg(test)]
mod machines_tests;
mod name;
pub mod own;
mod page;
#[cfg(feature = "cli")]
mod process;
#[cfg(feature = "cli")]
mod pushed;
#[cfg(test)]
mod read_back;
mod reading;
mod tally;
mod write;

pub use buckets::{BOUNDARIES_MAX, RawBuckets, unify};
pub use family::{Definition, Family, FamilyKind, Sample, Value};
pub use host::{HostPlace, HostTotals, NAMES_MAX};
pub use labels::LabelSet;
#[cfg(feature = "cli")]
pub(crate) use labels::escape_into;
pub use machines::{MachineLimits, MachinesError, machine_page};
pub use name::{Exported, Scale, exported};
pub use page::Page;
#[cfg(feature = "cli")]
pub use process::process_families;
#[cfg(feature = "cli")]
pub use pushed::push_families;
pub use tally::Tally;
pub(crate) use write::boundary;
#[cfg(feature = "cli")]
pub(crate) use write::write_head;
pub use write::{Format, number};
