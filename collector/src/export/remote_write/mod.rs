//! Prometheus remote write: rows of a tier, pushed to one or more servers.
//!
//! A [`Destination`] says where to and how.

mod aggregate;
mod destination;
mod journal;
mod relabel;

pub use aggregate::AggregateRule;
pub use destination::{Auth, Destination, Protocol, Tls};
pub use relabel::RelabelRule;
