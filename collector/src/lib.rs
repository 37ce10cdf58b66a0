//! The `rondo` command: lists, shows, queries and verifies slabs.
//!
//! [`cli`] says what can be typed, [`run`] does it. Each command has a file of its own and is a
//! function from its arguments to what is printed:
//!
//! - `ls`: the slabs of a bus;
//! - `info`: all about one slab;
//! - [`query`]: the points of the series that a [`Selector`] takes, as a table, as CSV, or as the JSON
//!   of `spec/json.md` (of a slab) or `spec/query.md` (of all else); and why there are none;
//! - `verify`: the rules of the format that slabs break;
//! - [`collect`]: the daemon, of which `gc` clears up the bus and `doctor` finds what ails it.
//!
//! Nothing here writes to a slab.
#![forbid(unsafe_code)]

mod age;
pub mod bench;
pub mod cli;
pub mod collect;
pub mod collector;
pub mod consolidate;
pub mod demo;
mod doctor;
mod embedded;
pub mod exposition;
mod gc;
#[cfg(feature = "http")]
pub mod http;
mod info;
mod json;
mod ls;
mod ofd;
mod output;
pub mod query;

mod run;
mod selector;
mod show;
mod size;
mod span;
pub mod store;
mod target;
pub mod track;
mod verify;

pub use embedded::{ConsolidateError, OpenError, Store, StoreBuilder};
pub use info::{MachineBound, TierBound};
pub use json::slab_json;
pub use run::{Outcome, run};
pub use selector::{Selector, SelectorError};
pub use size::Size;
pub use span::Span;
