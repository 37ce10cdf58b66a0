//! Requests, written field by field from borrowed points.
//!
//! The structs of [`super::proto`] own their text. A batch of 2,000 points would copy some 20,000 labels into them only to
//! write them out once, so the outer messages are written here, by the same functions of `prost` that its derived code
//! calls; each inner message that owns no text is still a struct.

use super::point::{LabelsError, Point, PointValue, check_labels};
use super::proto::{MetricType, v1, v2};
use super::symbols::Symbols;
use prost::Message;
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, key_len, message, string, uint32,
};

/// Bytes of a field that holds a message of `len` bytes.
fn field_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

fn begin(tag: u32, len: usize, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

/// What is left out on the wire is +0, and nothing else is: −0 is sent.
fn present(value: f64) -> Option<f64> {
    (value.to_bits() != 0).then_some(value)
}

/// A `prometheus.WriteRequest`, appended to `out`.
///
/// # Errors
/// If the labels of a point break a rule; `out` then holds the start of a request.
pub fn encode_v1(points: &[Point<'_>], out: &mut Vec<u8>) -> Result<(), LabelsError> {
    for point in points {
        check_labels(point.labels)?;
        let label_len =
            |(name, value): &(String, String)| string::encoded_len(1, name) + string::encoded_len(2, value);
        let labels_len: usize = point
            .labels
            .iter()
            .map(|label| field_len(1, label_len(label)))
            .sum();
        let sample = |value| v1::Sample {
            value: present(value),
            timestamp: point.timestamp_ms,
        };
        let value_len = match point.value {
            PointValue::Number(value) => message::encoded_len(2, &sample(value)),
            PointValue::Histogram(histogram) => message::encoded_len(4, histogram),
        };
        begin(1, labels_len + value_len, out);
        for label in point.labels {
            begin(1, label_len(label), out);
            string::encode(1, &label.0, out);
            string::encode(2, &label.1, out);
        }
        match point.value {
            PointValue::Number(value) => message::encode(2, &sample(value), out),
            PointValue::Histogram(histogram) => message::encode(4, histogram, out),
        }
    }
    Ok(())
}

/// An `io.prometheus.write.v2.Request`, appended to `out`.
///
/// # Errors
/// If the labels of a point break a rule; `out` then may hold the start of a request.
pub fn encode_v2(points: &[Point<'_>], out: &mut Vec<u8>) -> Result<(), LabelsError> {
    let mut symbols = Symbols::new();
    let mut refs = Vec::with_capacity(points.iter().map(|point| 2 * point.labels.len()).sum());
    let mut metadata = Vec::with_capacity(points.len());
    for point in points {
        check_labels(point.labels)?;
        for (name, value) in point.labels {
            refs.push(symbols.index(name));
            refs.push(symbols.index(value));
        }
        metadata.push(point.family.map(|family| v2::Metadata {
            r#type: MetricType::from(family.kind).into(),
            help_ref: symbols.index(&family.help),
            unit_ref: symbols.index(&family.unit),
        }));
    }
    for symbol in symbols.table() {
        begin(4, symbol.len(), out);
        out.extend_from_slice(symbol.as_bytes());
    }
    let mut refs = refs.as_slice();
    for (point, metadata) in points.iter().zip(&metadata) {
        let (labels, rest) = refs.split_at(2 * point.labels.len());
        refs = rest;
        let sample = |value| v2::Sample {
            value: present(value),
            timestamp: point.timestamp_ms,
            start_timestamp: point.start_ms,
        };
        let value_len = match point.value {
            PointValue::Number(value) => message::encoded_len(2, &sample(value)),
            PointValue::Histogram(histogram) => message::encoded_len(3, histogram),
        };
        let metadata_len = metadata
            .as_ref()
            .map_or(0, |metadata| message::encoded_len(5, metadata));
        begin(
            5,
            uint32::encoded_len_packed(1, labels) + value_len + metadata_len,
            out,
        );
        uint32::encode_packed(1, labels, out);
        match point.value {
            PointValue::Number(value) => message::encode(2, &sample(value), out),
            PointValue::Histogram(histogram) => message::encode(3, histogram, out),
        }
        if let Some(metadata) = metadata {
            message::encode(5, metadata, out);
        }
    }
    Ok(())
}

/// What a message of ours is on the wire, appended to `out`.
pub(super) fn encode_message(message: &impl Message, out: &mut Vec<u8>) {
    out.reserve(message.encoded_len());
    message.encode_raw(out);
}
