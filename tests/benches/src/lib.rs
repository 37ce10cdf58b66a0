//! The loops that the benchmarks run: rondo's, its peers', and the floor that no metric can beat.
//!
//! A [`Row`] is one way to record one value, with everything bound beforehand that its library can
//! bind. All rows do the same round: 30 series, one after the other, over and over.

#[cfg(feature = "peers")]
pub mod cold;
#[cfg(feature = "peers")]
pub mod contention;
#[cfg(feature = "peers")]
pub mod creation;
#[cfg(feature = "peers")]
pub mod measure;
#[cfg(feature = "peers")]
pub mod peers;
#[cfg(feature = "peers")]
pub mod report;
pub mod rondo;
mod row;
mod samples;
#[cfg(feature = "peers")]
pub mod scanner;
#[cfg(feature = "peers")]
pub mod versions;

pub use row::{Row, Run, SERIES, floor, round_robin};
pub use samples::Samples;
