//! Benchmark C: what is known of machines that live for seconds, on the bus and by scrapes.
//!
//! | module | what it has |
//! |---|---|
//! | [`plan`] | which machine starts when |
//! | [`kind`] | what a machine is: a VMM with a guest, where KVM runs one |
//! | [`machine`] | one life, and the truth about it |
//! | [`exporter`] | a page for each machine, for as long as it lives |
//! | [`targets`] | the files by which Prometheus finds them |
//! | [`scraped`] | a Prometheus, and what it knows afterwards |
//! | [`stored`] | a collector, and what its store knows afterwards |
//! | [`run`] | all of it, from the first machine to the last |
//! | [`summary`] | figures of many machines |
//! | [`report`] | tables, plot, verdict |
//!
//! The truth of a machine comes neither from the collector nor from Prometheus: its VMM says in which seconds it ticked, and its totals are
//! read from its slab when it is over, and checked with what the guest counted in its own memory.

pub mod exporter;
pub mod kind;
pub mod machine;
pub mod plan;
pub mod report;
pub mod run;
pub mod scraped;
pub mod stored;
pub mod summary;
pub mod targets;
