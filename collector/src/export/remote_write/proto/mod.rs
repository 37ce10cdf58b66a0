//! The messages of remote write, as their field numbers are published, written down for `prost`: no `protoc` is needed.
//!
//! - [`v1`] is package `prometheus` (`prompb/remote.proto` and `types.proto` in Prometheus' repository);
//! - [`v2`] is package `io.prometheus.write.v2` (`prompb/io/prometheus/write/v2/types.proto`, at 2.0-rc.4, where a
//!   sample has a `start_timestamp` and the series' `created_timestamp` is gone);
//! - [`Histogram`] is the same message in both, but for the `start_timestamp` that only 2.0 has.
//!
//! Requests are written by [`super::encode_v1`] and [`super::encode_v2`] from borrowed labels, without these structs; they
//! are there to read back what was sent, for a batch that has to go again in parts or in the other version. A sample's value is optional in them only
//! because `prost` takes −0 for the default and would leave it out; on the wire that makes no difference.

mod histogram;
pub mod v1;
pub mod v2;

pub use histogram::{BucketSpan, Count, Histogram, ResetHint, ZeroCount};

/// What a series is to Prometheus; the same numbers in both versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Not said.
    Unspecified = 0,
    /// Only grows.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Counts by bucket.
    Histogram = 3,
    /// Buckets that go up and down.
    GaugeHistogram = 4,
    /// Count, sum and perhaps quantiles.
    Summary = 5,
    /// Labels that say something, with the value 1.
    Info = 6,
    /// One of several states.
    StateSet = 7,
}
