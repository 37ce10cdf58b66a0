//! The messages of both versions, decoded by hand: the numbers here are written down apart from those of the collector.
//!
//! A field that the published messages do not have is an error, and so is text that is not UTF-8.

use super::wire::{Field, fields, signed, varints};
use rondo_shm_layout::Labels;

/// A series of a request, in either version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// As sent.
    pub labels: Labels,
    /// Milliseconds and the bits of the value.
    pub samples: Vec<(i64, u64)>,
    /// When each sample's series began, in milliseconds; 0 for not said.
    pub starts_ms: Vec<i64>,
    /// Native ones.
    pub histograms: Vec<Histogram>,
    /// 2.0 only.
    pub metadata: Option<Metadata>,
}

/// What 2.0 says of a family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Number of the type.
    pub kind: u64,
    /// For people.
    pub help: String,
    /// May be empty.
    pub unit: String,
}

/// A native histogram of integers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Milliseconds.
    pub timestamp_ms: i64,
    /// Milliseconds; 0 for not said.
    pub start_ms: i64,
    /// Of all.
    pub count: u64,
    /// Bits of the sum.
    pub sum_bits: u64,
    /// How fine.
    pub schema: i64,
    /// Bits of half the width of the bucket around 0.
    pub zero_threshold_bits: u64,
    /// Around 0.
    pub zero_count: u64,
    /// Gaps and lengths.
    pub positive_spans: Vec<(i64, u64)>,
    /// Each more than the one before.
    pub positive_deltas: Vec<i64>,
    /// 0 to 3.
    pub reset_hint: u64,
}

fn unknown<T>(field: &Field<'_>, of: &str) -> Result<T, String> {
    Err(format!("{of} has no field {}", field.number))
}

/// `prometheus.WriteRequest`.
pub fn write_request(bytes: &[u8]) -> Result<Vec<Series>, String> {
    let mut all = Vec::new();
    for field in fields(bytes)? {
        match field.number {
            1 => all.push(series_v1(field.bytes()?)?),
            3 => {
                fields(field.bytes()?)?;
            }
            _ => unknown(&field, "WriteRequest")?,
        }
    }
    Ok(all)
}

fn series_v1(bytes: &[u8]) -> Result<Series, String> {
    let mut series = Series::default();
    for field in fields(bytes)? {
        match field.number {
            1 => {
                let (mut name, mut value) = (String::new(), String::new());
                for part in fields(field.bytes()?)? {
                    match part.number {
                        1 => name = part.text()?,
                        2 => value = part.text()?,
                        _ => unknown(&part, "Label")?,
                    }
                }
                series.labels.push((name, value));
            }
            2 => sample(&mut series, field.bytes()?, false)?,
            4 => series.histograms.push(histogram(field.bytes()?, false)?),
            _ => unknown(&field, "TimeSeries")?,
        }
    }
    Ok(series)
}

fn sample(series: &mut Series, bytes: &[u8], with_start: bool) -> Result<(), String> {
    let (mut bits, mut timestamp, mut start) = (0, 0, 0);
    for part in fields(bytes)? {
        match part.number {
            1 => bits = part.bits()?,
            2 => timestamp = part.integer()?.cast_signed(),
            3 if with_start => start = part.integer()?.cast_signed(),
            _ => unknown(&part, "Sample")?,
        }
    }
    series.samples.push((timestamp, bits));
    series.starts_ms.push(start);
    Ok(())
}

/// `io.prometheus.write.v2.Request`.
pub fn request_v2(bytes: &[u8]) -> Result<Vec<Series>, String> {
    let all = fields(bytes)?;
    let mut symbols = Vec::new();
    for field in all.iter().filter(|field| field.number == 4) {
        symbols.push(field.text()?);
    }
    if symbols.first().is_none_or(|first| !first.is_empty()) {
        return Err("the first symbol is not the empty one".into());
    }
    let mut sorted = symbols.clone();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("symbol {:?} is there twice", pair[0]));
    }
    let mut decoded = Vec::new();
    for field in &all {
        match field.number {
            4 => {}
            5 => decoded.push(series_v2(field.bytes()?, &symbols)?),
            _ => unknown(field, "Request")?,
        }
    }
    Ok(decoded)
}

fn series_v2(bytes: &[u8], symbols: &[String]) -> Result<Series, String> {
    let symbol = |reference: u64| {
        let found = usize::try_from(reference)
            .ok()
            .and_then(|index| symbols.get(index));
        found
            .cloned()
            .ok_or_else(|| format!("there is no symbol {reference}"))
    };
    let mut series = Series::default();
    for field in fields(bytes)? {
        match field.number {
            1 => {
                let references = varints(field.bytes()?)?;
                if references.len() % 2 != 0 {
                    return Err("a name of a label has no value".into());
                }
                for pair in references.chunks(2) {
                    series.labels.push((symbol(pair[0])?, symbol(pair[1])?));
                }
            }
            2 => sample(&mut series, field.bytes()?, true)?,
            3 => series.histograms.push(histogram(field.bytes()?, true)?),
            5 => {
                let mut metadata = Metadata::default();
                for part in fields(field.bytes()?)? {
                    match part.number {
                        1 => metadata.kind = part.integer()?,
                        3 => metadata.help = symbol(part.integer()?)?,
                        4 => metadata.unit = symbol(part.integer()?)?,
                        _ => unknown(&part, "Metadata")?,
                    }
                }
                series.metadata = Some(metadata);
            }
            _ => unknown(&field, "TimeSeries")?,
        }
    }
    Ok(series)
}

fn histogram(bytes: &[u8], with_start: bool) -> Result<Histogram, String> {
    let mut histogram = Histogram::default();
    for field in fields(bytes)? {
        match field.number {
            1 => histogram.count = field.integer()?,
            3 => histogram.sum_bits = field.bits()?,
            4 => histogram.schema = signed(field.integer()?),
            5 => histogram.zero_threshold_bits = field.bits()?,
            6 => histogram.zero_count = field.integer()?,
            11 => {
                let (mut offset, mut length) = (0, 0);
                for part in fields(field.bytes()?)? {
                    match part.number {
                        1 => offset = signed(part.integer()?),
                        2 => length = part.integer()?,
                        _ => unknown(&part, "BucketSpan")?,
                    }
                }
                histogram.positive_spans.push((offset, length));
            }
            12 => {
                let deltas = varints(field.bytes()?)?;
                histogram.positive_deltas.extend(deltas.into_iter().map(signed));
            }
            14 => histogram.reset_hint = field.integer()?,
            15 => histogram.timestamp_ms = field.integer()?.cast_signed(),
            17 if with_start => histogram.start_ms = field.integer()?.cast_signed(),
            _ => unknown(&field, "Histogram, as rondo sends it,")?,
        }
    }
    Ok(histogram)
}
