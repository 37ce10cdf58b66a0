//! Prometheus remote write: rows of a tier, pushed to one or more servers.
//!
//! A [`Destination`] says where to and how. On the way there:
//!
//! - an [`Exporter`] drains rows into lanes, one for each slice of a slab, and takes a batch from their heads;
//! - [`relabel()`] keeps, drops and renames series by [`RelabelRule`]s; [`AggregateRule`]s and an [`Aggregator`] make one series of many machines';
//! - [`Point`]s, borrowed from prepared series, become a [`Body`]: a message of version 1.0 or 2.0 ([`proto`]) in a snappy block;
//! - a [`Journal`] knows the body before it leaves, and whether it arrived;
//! - a [`Client`] posts it, and a [`Reply`] says what became of it;
//! - [`Version`] judges the reply: whether the server really understands 2.0;
//! - [`Backoff`] says how long to wait before the next attempt.
//!
//! A [`Sender`] does all that on a thread of its own; its [`Tallies`] say how it goes.
//!
//! The rules are those of the specifications "Prometheus Remote-Write 1.0" and "2.0 (rc.4)".

mod aggregate;
mod backoff;
mod body;
mod client;
mod destination;
mod encode;
mod exporter;
mod headers;
mod journal;
mod labels;
mod lane;
mod merging;
mod outbox;
mod owners;
mod point;
pub mod proto;
mod relabel;
mod reply;
mod secret;
mod sender;
mod sending;
mod step;
mod symbols;
mod tallies;
mod trust;
mod version;

pub use aggregate::{
    AggregateConfig, AggregateOp, AggregateRule, Aggregated, Aggregator, AggregatorCounts, Grouping, Reading,
};
pub use backoff::{Backoff, PAUSE_MAX, PAUSE_MIN, RETRY_AFTER_MAX, chance};
pub use body::{Body, BodyError, MESSAGE_BYTES_MAX};
pub use client::{Client, ClientError};
pub use destination::{Auth, Destination, Protocol, Tls};
pub use encode::{encode_v1, encode_v2};
pub use exporter::{Batch, Exporter, Left};
pub use headers::reserved_header;
pub use journal::{Journal, JournalError, Recovered};
pub(crate) use labels::is_label_name;
pub use outbox::{Outbox, OutboxError};
pub use point::{LabelsError, Point, PointValue, STALE_BITS, check_labels};
pub use relabel::{RelabelAction, RelabelConfig, RelabelRule, RuleError, relabel};
pub use reply::{Reply, TEXT_BYTES_MAX, Written};
pub use sender::Sender;
pub use symbols::{SymbolError, Symbols};
pub use tallies::{Tallies, Tally};
pub use trust::TrustError;
pub use version::{Verdict, Version};
