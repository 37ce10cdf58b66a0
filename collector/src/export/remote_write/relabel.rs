//! Rules that keep, drop and rename series on their way out.

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelRule {}
