//! Benchmark B: what a host pays for the metrics of its machines, rondo beside Prometheus with exporters.

pub mod arrangement;
pub mod case;
pub mod measure;
pub mod report;
