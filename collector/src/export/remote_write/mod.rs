//! Prometheus remote write: rows of a tier, pushed to one or more servers.
//!
//! - A [`Destination`] says where to and how;
//! - [`relabel()`] keeps, drops and renames series by [`RelabelRule`]s;
//! - [`AggregateRule`]s and an [`Aggregator`] make one series of many machines'.

mod aggregate;
mod destination;
mod labels;
mod relabel;

pub use aggregate::{
    AggregateConfig, AggregateOp, AggregateRule, Aggregated, Aggregator, AggregatorCounts, Grouping,
    JournalError, Reading, STALE,
};
pub use destination::{Auth, Destination, Protocol, Tls};
pub(crate) use labels::is_label_name;
pub use relabel::{RelabelAction, RelabelConfig, RelabelRule, RuleError, relabel};
