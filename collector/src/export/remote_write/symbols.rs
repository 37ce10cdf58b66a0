//! The table of a 2.0 request's text.

use super::proto::{v1, v2};
use std::collections::HashMap;
use thiserror::Error;

/// Text that stands once each, in the order in which it first came; the empty one is first, as the protocol wants.
#[derive(Debug)]
pub struct Symbols<'a> {
    table: Vec<&'a str>,
    indices: HashMap<&'a str, u32>,
}

impl<'a> Symbols<'a> {
    /// With the empty one.
    pub fn new() -> Self {
        Self {
            table: vec![""],
            indices: HashMap::from([("", 0)]),
        }
    }

    /// Where the text stands from now on. A request has far fewer than 2³² texts: memory would not hold them.
    pub fn index(&mut self, text: &'a str) -> u32 {
        *self.indices.entry(text).or_insert_with(|| {
            self.table.push(text);
            u32::try_from(self.table.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// All of it, in the order of indices.
    pub fn table(&self) -> &[&'a str] {
        &self.table
    }
}

impl Default for Symbols<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A reference to a symbol that is not there, or a name without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a series of a 2.0 request refers to symbol {reference}, of {symbol_count}")]
pub struct SymbolError {
    /// Where it points.
    pub reference: u32,
    /// How many there are.
    pub symbol_count: usize,
}

impl v2::Request {
    /// The same series in 2.0.
    ///
    /// 1.0 knows metadata by family only, so the series have none.
    pub fn from_v1(request: &v1::WriteRequest) -> Self {
        let mut symbols = Symbols::new();
        let mut timeseries = Vec::with_capacity(request.timeseries.len());
        for series in &request.timeseries {
            let mut labels_refs = Vec::with_capacity(2 * series.labels.len());
            for label in &series.labels {
                labels_refs.push(symbols.index(&label.name));
                labels_refs.push(symbols.index(&label.value));
            }
            let sample = |sample: &v1::Sample| v2::Sample {
                value: sample.value,
                timestamp: sample.timestamp,
                start_timestamp: 0,
            };
            timeseries.push(v2::TimeSeries {
                labels_refs,
                samples: series.samples.iter().map(sample).collect(),
                histograms: series.histograms.clone(),
                metadata: None,
            });
        }
        Self {
            symbols: symbols
                .table()
                .iter()
                .map(|symbol| (*symbol).to_owned())
                .collect(),
            timeseries,
        }
    }

    /// The same series in 1.0, without when they began and what their families are.
    ///
    /// # Errors
    /// If a reference points nowhere, which a request of ours never has; one read back from a disk may.
    pub fn to_v1(&self) -> Result<v1::WriteRequest, SymbolError> {
        let mut timeseries = Vec::with_capacity(self.timeseries.len());
        for series in &self.timeseries {
            let sample = |sample: &v2::Sample| v1::Sample {
                value: sample.value,
                timestamp: sample.timestamp,
            };
            let mut histograms = series.histograms.clone();
            histograms
                .iter_mut()
                .for_each(|histogram| histogram.start_timestamp = 0);
            timeseries.push(v1::TimeSeries {
                labels: self.labels(series)?,
                samples: series.samples.iter().map(sample).collect(),
                histograms,
            });
        }
        Ok(v1::WriteRequest {
            timeseries,
            metadata: Vec::new(),
        })
    }

    /// The text of a symbol.
    pub(super) fn symbol(&self, reference: u32) -> Result<&str, SymbolError> {
        let symbol = self.symbols.get(reference as usize).map(String::as_str);
        symbol.ok_or(SymbolError {
            reference,
            symbol_count: self.symbols.len(),
        })
    }

    fn labels(&self, series: &v2::TimeSeries) -> Result<Vec<v1::Label>, SymbolError> {
        let pairs = series.labels_refs.chunks(2);
        let label = |pair: &[u32]| {
            let [name, value] = pair else {
                return Err(SymbolError {
                    reference: u32::MAX,
                    symbol_count: self.symbols.len(),
                });
            };
            Ok(v1::Label {
                name: self.symbol(*name)?.to_owned(),
                value: self.symbol(*value)?.to_owned(),
            })
        };
        pairs.map(label).collect()
    }
}
