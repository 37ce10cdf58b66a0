//! One series of many machines': rules, and the engine that adds up.
//!
//! - An [`AggregateRule`] says which series leave together and under which labels;
//! - an [`Aggregator`] puts their samples into windows of the wall clock, and says what is known of each window when
//!   its time has come: sums of growth are [`mod@amount`]s, which lose nothing; what belongs together is a [`group`];
//! - what changes in it can be written down and replayed ([`journal`]), so that a collector that is killed goes on
//!   exactly where it was.
//!
//! Nothing here has a clock, or touches a file.

mod amount;
mod coding;
mod engine;
mod group;
mod journal;
#[cfg(test)]
mod naive;
mod rule;

pub use engine::{Aggregated, Aggregator, AggregatorCounts, Reading};
pub use rule::{AggregateConfig, AggregateOp, AggregateRule, Grouping};
