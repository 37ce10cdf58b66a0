//! A native histogram: buckets whose bounds grow by a fixed factor, and only those that have samples.

use crate::export::{NativeHistogram, NativeSpan};

/// Native histogram.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Of all observations.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Of all observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// How fine: each power of two has 2^schema buckets, −4 to 8; −53 for bounds of `custom_values`.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Half the width of the bucket around 0.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// What the bucket around 0 has.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Where negative buckets are.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// What each has more than the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// What each has, for a histogram of floats.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Where positive buckets are.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// What each has more than the one before, the first more than 0.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// What each has, for a histogram of floats.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// Whether it began anew.
    #[prost(enumeration = "ResetHint", tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds, included, for schema −53.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
    /// When it began to count, in milliseconds since the Unix epoch; 0 for not known. Version 2.0 only.
    #[prost(int64, tag = "17")]
    pub start_timestamp: i64,
}

impl Histogram {
    /// As a histogram of ours leaves, with a stamp of its own.
    pub fn new(native: &NativeHistogram, timestamp_ms: i64) -> Self {
        let span = |span: &NativeSpan| BucketSpan {
            offset: span.offset,
            length: span.length,
        };
        Self {
            count: Some(Count::Int(native.count)),
            sum: native.sum,
            schema: NativeHistogram::SCHEMA,
            zero_threshold: native.zero_threshold,
            zero_count: Some(ZeroCount::Int(native.zero_count)),
            positive_spans: native.spans.iter().map(span).collect(),
            positive_deltas: native.deltas.clone(),
            timestamp: timestamp_ms,
            ..Self::default()
        }
    }
}

/// All observations of a histogram.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Count {
    /// A plain histogram.
    #[prost(uint64, tag = "1")]
    Int(u64),
    /// One of floats.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// Observations around 0.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ZeroCount {
    /// A plain histogram.
    #[prost(uint64, tag = "6")]
    Int(u64),
    /// One of floats.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// Buckets that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BucketSpan {
    /// How many empty buckets lie before it; for the first, where it begins.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// How many buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Whether a histogram began anew since the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ResetHint {
    /// Not said: compare them.
    Unspecified = 0,
    /// It did.
    Yes = 1,
    /// It did not.
    No = 2,
    /// It goes up and down.
    Gauge = 3,
}
