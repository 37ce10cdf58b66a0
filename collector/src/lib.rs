//! Collects what machines record on a bus, keeps it in a space fixed in advance, and answers questions about it.
//!
//! The way of a sample, once it is in a slab:
//!
//! - [`collector`] looks at all slabs of a bus once a second; each is [`track`]ed from its first row to the moment when its
//!   file may go;
//! - windows that are over are merged by [`consolidate`], which is pure;
//! - rows become runs, and runs are kept by the archives of [`mod@store`] (`spec/store.md`);
//! - [`query`] joins slabs, rows in memory and stored rows; [`exposition`] says it in Prometheus' words,
//!   and [`export`] takes it away;
//! - [`Store`] is all of that for one process that measures itself, without a daemon.
//!
//! With the feature `cli` (the default) there is also the `rondo` command: [`commands`], the daemon around the collector
//! ([`collect`]), and its pages over [`http`]. Without it there is no network code.
//!
//! Nothing here writes to a slab, but for the one that a [`Store`] has for its own process.
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod collect;
pub mod collector;
#[cfg(feature = "cli")]
pub mod commands;
pub mod consolidate;
mod embedded;
pub mod export;
pub mod exposition;
#[cfg(feature = "cli")]
pub mod http;
#[cfg(feature = "cli")]
mod ofd;
pub mod query;
mod selector;
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "commands print more than the library says")
)]
mod show;
#[cfg(feature = "cli")]
mod size;
mod span;
pub mod store;
pub mod track;

#[cfg(feature = "cli")]
pub use commands::{MachineBound, Outcome, TierBound, cli, run, slab_json};
pub use embedded::{ConsolidateError, DrainError, OpenError, Store, StoreBuilder};
pub use selector::{Selector, SelectorError};
#[cfg(feature = "cli")]
pub use size::Size;
pub use span::Span;
