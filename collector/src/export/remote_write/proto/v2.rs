//! Package `io.prometheus.write.v2`: remote write 2.0, in which all text stands once, in a table of symbols.
//!
//! Fields 1 to 3 of a request are reserved, so that a server of 1.0 which does not look at the content type finds an empty
//! request in it rather than nonsense.

use super::{Histogram, MetricType};

/// A request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Each once, the empty one first.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// Each once.
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

/// A series and what is new of it: samples or histograms, not both.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Indices of symbols: name, value, name, value, and so on; as labels of 1.0.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// In time order.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// In time order.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// Of its family.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
}

/// A value at a time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// `None` is +0.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// When it began to count, in milliseconds since the Unix epoch; 0 for not known.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// What it is to Prometheus.
    #[prost(enumeration = "MetricType", tag = "1")]
    pub r#type: i32,
    /// Index of the symbol for people.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// Index of the unit's symbol.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
