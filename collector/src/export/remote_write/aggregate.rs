//! Rules that make one series of many machines'.

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateRule {}
