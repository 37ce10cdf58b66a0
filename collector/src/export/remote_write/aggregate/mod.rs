//! One series of many machines': rules, and the engine that adds up.
//!
//! An [`AggregateRule`] says which series leave together and under which labels.

mod rule;

pub use rule::{AggregateConfig, AggregateOp, AggregateRule, Grouping};
