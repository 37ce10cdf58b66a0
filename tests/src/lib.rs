//! What the whole-system tests in `tests/` share.
//!
//! | module | what it has |
//! |---|---|
//! | [`vectors`] | the golden slabs of `spec/vectors`, made anew |
//! | [`raw`] | a slab as bytes that a test may change |
//! | [`bound`] | processes that do not outlive whoever started them |
//! | [`bus`] | machines of any series whose collector pushes |
//! | [`collect`] | `rondo collect` as a process |
//! | [`commands`] | the documentation's commands, and how each is run |
//! | [`export`] | a collector that pushes, and what a server has to have then |
//! | [`foreign`] | the readers in C, Python and Kaitai Struct |
//! | [`gate`] | a way to a server that may be shut |
//! | [`json`] | comparing and printing what they print |
//! | [`killing`] | machines that come and go while their collector is killed |
//! | [`marked`] | the part of a page that a benchmark writes |
//! | [`pages`] | the documentation: blocks, links, headings |
//! | [`promises`] | the table of promises |
//! | [`push`] | what tests of remote write push |
//! | [`random`] | numbers by chance that can be had again |
//! | [`receiver`] | a server that takes remote write, checks every rule, and misbehaves on demand |
//! | [`recorded`] | what a machine recorded, seen from outside |
//! | [`rows`] | the values that the writers in `src/bin` write, and readers check |
//! | [`servers`] | Prometheus and VictoriaMetrics |
//! | [`simulation`] | machines of simulated time, and what a collector has to make of them |
//! | [`scene`] | a machine that behaves beside one that does not |
//! | [`store`] | the golden store of `spec/vectors/store`, made anew |
//! | [`skip`] | saying that a test cannot run here |
//! | [`thirty`] | the machine that S3 is about, and what slabs take |
//! | [`toy`] | a VMM with the toy guest, and what that says it did |
//! | [`wait`] | waiting for what comes |
//!
//! `vmm/tests` takes some of these files in by their path: `rondo-vmm` cannot depend on a crate that depends on it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that cannot go on fails its test"
)]
#![allow(clippy::missing_errors_doc, reason = "errors are reasons to skip a test")]

pub mod bound;
pub mod bus;
pub mod collect;
pub mod commands;
pub mod export;
pub mod foreign;
pub mod gate;
pub mod json;
pub mod killing;
mod later;
pub mod marked;
pub mod pages;
pub mod promises;
pub mod push;
pub mod random;
pub mod raw;
pub mod receiver;
pub mod recorded;
pub mod rows;
pub mod scene;
pub mod servers;
pub mod simulation;
pub mod skip;
pub mod store;
pub mod thirty;
pub mod toy;
pub mod vectors;
pub mod wait;
