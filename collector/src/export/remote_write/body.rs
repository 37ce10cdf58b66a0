//! The body of a request: a message, compressed.
//!
//! Remote write wants the *block* format of snappy, not the framed one. A body is what is written down before it is sent
//! and sent again byte for byte after a crash; so what may have to become of it then, another version or several
//! smaller bodies, is made of the bytes alone.

use super::Protocol;
use super::encode::{encode_message, encode_v1, encode_v2};
use super::point::{LabelsError, Point};
use super::proto::{v1, v2};
use super::symbols::{SymbolError, Symbols};
use prost::Message;
use std::collections::BTreeMap;
use thiserror::Error;

/// Largest message that is made or read back: far more than any batch, and what a damaged file may cost.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Compressed.
    pub bytes: Vec<u8>,
    /// Which message it is.
    pub protocol: Protocol,
    /// Samples and histograms in it.
    pub sample_count: usize,
}

/// Why there is no body.
#[derive(Debug, Error)]
pub enum BodyError {
    /// A series breaks a rule.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// A stored body is damaged.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
    /// Too much at once.
    #[error("a request of {bytes} bytes is larger than the {MESSAGE_BYTES_MAX} that are sent at once")]
    TooLarge {
        /// Uncompressed.
        bytes: usize,
    },
    /// A stored body is damaged, or the message is too large for the format.
    #[error("a request's snappy block is damaged")]
    Snappy(#[from] snap::Error),
    /// A stored body is damaged.
    #[error("a request's message is damaged")]
    Message(#[from] prost::DecodeError),
}

impl Body {
    /// All points in one request. Each series is there at most once: Prometheus refuses a whole request of which it has had
    /// a part, and a repeat of a series' newest sample is all that it lets pass.
    ///
    /// # Errors
    /// If the labels of a point break a rule, or it is all too large.
    pub fn new(points: &[Point<'_>], protocol: Protocol) -> Result<Self, BodyError> {
        Press::default().body(points, protocol)
    }

    fn compress(message: Vec<u8>, protocol: Protocol, sample_count: usize) -> Result<Self, BodyError> {
        let mut press = Press {
            message,
            ..Press::default()
        };
        press.compress(protocol, sample_count)
    }

    /// The message.
    ///
    /// # Errors
    /// If the bytes are damaged, or claim to be larger than [`MESSAGE_BYTES_MAX`].
    pub fn message(&self) -> Result<Vec<u8>, BodyError> {
        let bytes = snap::raw::decompress_len(&self.bytes)?;
        if bytes > MESSAGE_BYTES_MAX {
            return Err(BodyError::TooLarge { bytes });
        }
        Ok(snap::raw::Decoder::new().decompress_vec(&self.bytes)?)
    }

    /// The same samples in 1.0, for a server that does not understand 2.0.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn to_v1(&self) -> Result<Self, BodyError> {
        if self.protocol == Protocol::V1 {
            return Ok(self.clone());
        }
        let request = v2::Request::decode(self.message()?.as_slice())?.to_v1()?;
        Self::from_v1(&request)
    }

    fn from_v1(request: &v1::WriteRequest) -> Result<Self, BodyError> {
        let mut message = Vec::new();
        encode_message(request, &mut message);
        let count = |series: &v1::TimeSeries| series.samples.len() + series.histograms.len();
        let sample_count = request.timeseries.iter().map(count).sum();
        Self::compress(message, Protocol::V1, sample_count)
    }

    fn from_v2(request: &v2::Request) -> Result<Self, BodyError> {
        let mut message = Vec::new();
        encode_message(request, &mut message);
        let count = |series: &v2::TimeSeries| series.samples.len() + series.histograms.len();
        let sample_count = request.timeseries.iter().map(count).sum();
        Self::compress(message, Protocol::V2, sample_count)
    }

    /// The same without the series that are native histograms, and how many samples those had: for a server that will never
    /// take one. Without any of them it is the same to the byte.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn without_histograms(&self) -> Result<(Self, usize), BodyError> {
        let message = self.message()?;
        let rest = match self.protocol {
            Protocol::V1 => {
                let mut request = v1::WriteRequest::decode(message.as_slice())?;
                let before = request.timeseries.len();
                request.timeseries.retain(|series| series.histograms.is_empty());
                (request.timeseries.len() < before).then(|| Self::from_v1(&request))
            }
            Protocol::V2 => {
                let mut request = v2::Request::decode(message.as_slice())?;
                let before = request.timeseries.len();
                request.timeseries.retain(|series| series.histograms.is_empty());
                (request.timeseries.len() < before).then(|| {
                    // One part, as no label has no name; its symbols are those that are left.
                    let part = split_v2(&request, "")?.into_iter().next();
                    part.map_or_else(|| Self::from_v2(&v2::Request::default()), |(_, part)| Ok(part))
                })
            }
        };
        let rest = rest.unwrap_or_else(|| Ok(self.clone()))?;
        let left_out = self.sample_count.saturating_sub(rest.sample_count);
        Ok((rest, left_out))
    }

    /// A body for each value of a label, in the order of values, series in their order; those without it have the value "".
    ///
    /// For a request that a server refused because of some machine's samples: split by `instance`, all others' arrive.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn split(&self, label: &str) -> Result<Vec<(String, Self)>, BodyError> {
        let message = self.message()?;
        match self.protocol {
            Protocol::V1 => split_v1(v1::WriteRequest::decode(message.as_slice())?, label),
            Protocol::V2 => split_v2(&v2::Request::decode(message.as_slice())?, label),
        }
    }
}

/// What bodies are made with: memory that is used again for the next. A message is ten times as large as what becomes of it.
pub(super) struct Press {
    message: Vec<u8>,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Default for Press {
    fn default() -> Self {
        Self {
            message: Vec::new(),
            block: Vec::new(),
            encoder: snap::raw::Encoder::new(),
        }
    }
}

impl Press {
    /// As [`Body::new`].
    pub(super) fn body(&mut self, points: &[Point<'_>], protocol: Protocol) -> Result<Body, BodyError> {
        debug_assert!(each_once(points), "two samples of one series in a request");
        self.message.clear();
        match protocol {
            Protocol::V1 => encode_v1(points, &mut self.message)?,
            Protocol::V2 => encode_v2(points, &mut self.message)?,
        }
        self.compress(protocol, points.len())
    }

    fn compress(&mut self, protocol: Protocol, sample_count: usize) -> Result<Body, BodyError> {
        let bytes = self.message.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(BodyError::TooLarge { bytes });
        }
        let needed = snap::raw::max_compress_len(bytes);
        if self.block.len() < needed {
            self.block.resize(needed, 0);
        }
        let length = self.encoder.compress(&self.message, &mut self.block)?;
        Ok(Body {
            bytes: self.block[..length].to_vec(),
            protocol,
            sample_count,
        })
    }
}

impl std::fmt::Debug for Press {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Press").finish_non_exhaustive()
    }
}

fn split_v1(request: v1::WriteRequest, label: &str) -> Result<Vec<(String, Body)>, BodyError> {
    let mut parts: BTreeMap<String, v1::WriteRequest> = BTreeMap::new();
    for series in request.timeseries {
        let value = series.labels.iter().find(|pair| pair.name == label);
        let value = value.map(|pair| pair.value.clone()).unwrap_or_default();
        parts.entry(value).or_default().timeseries.push(series);
    }
    let bodies = parts.into_iter();
    bodies
        .map(|(value, part)| Ok((value, Body::from_v1(&part)?)))
        .collect()
}

fn split_v2(request: &v2::Request, label: &str) -> Result<Vec<(String, Body)>, BodyError> {
    let mut parts: BTreeMap<&str, (Symbols<'_>, Vec<v2::TimeSeries>)> = BTreeMap::new();
    for series in &request.timeseries {
        let mut value = "";
        for pair in series.labels_refs.chunks_exact(2) {
            if request.symbol(pair[0])? == label {
                value = request.symbol(pair[1])?;
            }
        }
        let (symbols, part) = parts.entry(value).or_default();
        let mut series = series.clone();
        let mut moved = |reference: &mut u32| -> Result<(), SymbolError> {
            *reference = symbols.index(request.symbol(*reference)?);
            Ok(())
        };
        series.labels_refs.iter_mut().try_for_each(&mut moved)?;
        if let Some(metadata) = &mut series.metadata {
            moved(&mut metadata.help_ref)?;
            moved(&mut metadata.unit_ref)?;
        }
        part.push(series);
    }
    let bodies = parts.into_iter().map(|(value, (symbols, timeseries))| {
        let symbols = symbols
            .table()
            .iter()
            .map(|symbol| (*symbol).to_owned())
            .collect();
        let body = Body::from_v2(&v2::Request { symbols, timeseries })?;
        Ok((value.to_owned(), body))
    });
    bodies.collect()
}

fn each_once(points: &[Point<'_>]) -> bool {
    let mut seen = std::collections::HashSet::new();
    points.iter().all(|point| seen.insert(point.labels))
}

#[cfg(test)]
mod tests {
    use super::super::point::{PointValue, STALE_BITS};
    use super::super::proto::Histogram;
    use super::*;
    use crate::export::Family;
    use crate::exposition::FamilyKind;
    use rondo_shm_layout::Labels;

    fn series(name: &str, instance: &str) -> Labels {
        vec![
            ("__name__".into(), name.into()),
            ("instance".into(), instance.into()),
        ]
    }

    fn family() -> Family {
        Family {
            name: "exits_total".into(),
            kind: FamilyKind::Counter,
            unit: "s".into(),
            help: "Exits.".into(),
        }
    }

    fn points<'a>(labels: &'a [Labels], family: &'a Family) -> Vec<Point<'a>> {
        let values = [1.5, -0.0, f64::from_bits(STALE_BITS), 0.0];
        let points = labels.iter().zip(values).map(|(labels, value)| Point {
            labels,
            family: Some(family),
            timestamp_ms: 1_700_000_000_000,
            start_ms: 1_600_000_000_000,
            value: PointValue::Number(value),
        });
        points.collect()
    }

    fn bits(body: &Body) -> Vec<(String, u64)> {
        let message = body.to_v1().unwrap().message().unwrap();
        let request = v1::WriteRequest::decode(message.as_slice()).unwrap();
        let one = |series: &v1::TimeSeries| {
            let name = series.labels[0].value.clone();
            (name, series.samples[0].value.unwrap_or(0.0).to_bits())
        };
        request.timeseries.iter().map(one).collect()
    }

    /// A batch may be sent in one version, refused, and sent again in another or in parts: no bit of a value may change,
    /// that of a zero's sign included.
    #[test]
    fn values_keep_their_bits_through_another_version_and_parts() {
        let labels = [
            series("a", "vm1"),
            series("b", "vm2"),
            series("c", "vm1"),
            series("d", "vm3"),
        ];
        let family = family();
        let points = points(&labels, &family);
        for protocol in [Protocol::V1, Protocol::V2] {
            let body = Body::new(&points, protocol).unwrap();
            assert_eq!(body.sample_count, 4);
            let whole = [
                ("a".to_owned(), 1.5f64.to_bits()),
                ("b".to_owned(), (-0.0f64).to_bits()),
                ("c".to_owned(), STALE_BITS),
                ("d".to_owned(), 0),
            ];
            assert_eq!(bits(&body), whole);
            assert_eq!(body.to_v1().unwrap(), Body::new(&points, Protocol::V1).unwrap());
            let parts = body.split("instance").unwrap();
            let values: Vec<&str> = parts.iter().map(|(value, _)| value.as_str()).collect();
            assert_eq!(values, ["vm1", "vm2", "vm3"]);
            assert_eq!(bits(&parts[0].1), [whole[0].clone(), whole[2].clone()]);
            assert_eq!(bits(&parts[1].1), [whole[1].clone()]);
            assert!(parts.iter().all(|(_, part)| part.protocol == protocol));
            assert_eq!(parts.iter().map(|(_, part)| part.sample_count).sum::<usize>(), 4);
            // A part is what would have been sent had there been nothing else.
            let alone = Body::new(&points[1..2], protocol).unwrap();
            assert_eq!(parts[1].1, alone);
        }
    }

    #[test]
    fn a_body_without_its_histograms_is_what_it_would_have_been() {
        let labels = [series("a", "vm1"), series("b", "vm2"), series("c", "vm3")];
        let family = family();
        let numbers = points(&labels, &family);
        let histogram = Histogram::default();
        let mut mixed = points(&labels, &family);
        mixed[1].value = PointValue::Histogram(&histogram);
        let mut others = points(&labels, &family);
        others.remove(1);
        for protocol in [Protocol::V1, Protocol::V2] {
            let body = |points: &[Point<'_>]| Body::new(points, protocol).unwrap();
            let plain = body(&numbers);
            assert_eq!(plain.without_histograms().unwrap(), (plain, 0));
            assert_eq!(body(&mixed).without_histograms().unwrap(), (body(&others), 1));
            let (nothing, left_out) = body(&mixed[1..2]).without_histograms().unwrap();
            assert_eq!((nothing.sample_count, left_out), (0, 1));
        }
    }

    #[test]
    fn a_label_out_of_order_is_refused() {
        let labels = [vec![("b".into(), "1".into()), ("a".into(), "1".into())]];
        let family = family();
        let points = points(&labels, &family);
        for protocol in [Protocol::V1, Protocol::V2] {
            assert!(matches!(Body::new(&points, protocol), Err(BodyError::Labels(_))));
        }
    }

    /// A body may have been read from a disk.
    #[test]
    fn damaged_bodies_are_errors_and_cost_no_memory() {
        let labels = [series("a", "vm1"), series("b", "vm2")];
        let family = family();
        let whole = Body::new(&points(&labels, &family), Protocol::V2).unwrap();
        for at in 0..whole.bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut body = whole.clone();
                body.bytes[at] ^= flip;
                let _ = body.to_v1();
                let _ = body.split("instance");
                let _ = body.without_histograms();
                body.bytes.truncate(at);
                assert!(body.to_v1().is_err() || at == 0);
            }
        }
        // The length that it claims, as a varint: nearly 4 GiB.
        let greedy = Body {
            bytes: vec![0xff, 0xff, 0xff, 0xff, 0x0f],
            ..whole
        };
        assert!(matches!(greedy.to_v1(), Err(BodyError::TooLarge { .. })));
    }
}
