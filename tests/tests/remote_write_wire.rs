//! The bytes of remote write, as a decoder finds them that shares nothing with the encoder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use rondo_collector::export::Family;
use rondo_collector::export::remote_write::proto::{BucketSpan, Count, Histogram, ZeroCount, v1, v2};
use rondo_collector::export::remote_write::{
    Body, Point, PointValue, Protocol, STALE_BITS, encode_v1, encode_v2,
};
use rondo_collector::exposition::FamilyKind;
use rondo_shm_layout::Labels;
use rondo_tests::receiver::message::{request_v2, write_request};
use rondo_tests::receiver::series;

const T_MS: i64 = 1_700_000_000_000;

fn family() -> Family {
    Family {
        name: "up".into(),
        kind: FamilyKind::Gauge,
        unit: String::new(),
        help: "Up.".into(),
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn point(labels: &[(String, String)], timestamp_ms: i64, value: f64) -> Point<'_> {
    Point {
        labels,
        family: None,
        timestamp_ms,
        start_ms: 0,
        value: PointValue::Number(value),
    }
}

/// By the published messages and the description of the wire format, with pencil and paper.
#[test]
fn a_request_of_1_0_has_the_bytes_that_the_specification_says() {
    let labels = labels(&[("__name__", "up"), ("job", "x")]);
    let mut bytes = Vec::new();
    encode_v1(&[point(&labels, 300, 1.5)], &mut bytes).unwrap();
    let wanted = [
        &b"\x0a\x28"[..],              // timeseries (field 1), 40 bytes
        b"\x0a\x0e",                   // labels (1), 14 bytes
        b"\x0a\x08__name__\x12\x02up", // name (1), value (2)
        b"\x0a\x08",                   // labels (1), 8 bytes
        b"\x0a\x03job\x12\x01x",
        b"\x12\x0c",                             // samples (2), 12 bytes
        b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f", // value (1): 1.5
        b"\x10\xac\x02",                         // timestamp (2): 300
    ];
    assert_eq!(bytes, wanted.concat());
}

#[test]
fn a_request_of_2_0_has_the_bytes_that_the_specification_says() {
    let (labels, family) = (labels(&[("__name__", "up"), ("job", "up")]), family());
    let point = Point {
        family: Some(&family),
        start_ms: 2,
        ..point(&labels, 300, 1.5)
    };
    let mut bytes = Vec::new();
    encode_v2(&[point], &mut bytes).unwrap();
    let wanted = [
        &b"\x22\x00"[..],            // symbols (4): the empty one
        b"\x22\x08__name__",         // 1
        b"\x22\x02up",               // 2
        b"\x22\x03job",              // 3
        b"\x22\x03Up.",              // 4
        b"\x2a\x1c",                 // timeseries (5), 28 bytes
        b"\x0a\x04\x01\x02\x03\x02", // labels_refs (1), packed
        b"\x12\x0e",                 // samples (2), 14 bytes
        b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f",
        b"\x10\xac\x02",
        b"\x18\x02", // start_timestamp (3)
        b"\x2a\x04", // metadata (5), 4 bytes
        b"\x08\x02", // type (1): gauge
        b"\x18\x04", // help_ref (3); no unit_ref, as it has no unit
    ];
    assert_eq!(bytes, wanted.concat());
}

fn label_sets() -> impl Strategy<Value = Vec<Labels>> {
    let labels = prop::collection::btree_map("[a-z_][a-zA-Z0-9_]{0,12}", "\\PC{1,24}", 0..12);
    let set = labels.prop_map(|labels| {
        let mut labels: Labels = labels
            .into_iter()
            .filter(|label| !label.0.starts_with("__"))
            .collect();
        labels.push(("__name__".into(), "vcpu_exits_total".into()));
        labels.sort();
        labels
    });
    prop::collection::hash_set(set, 0..24).prop_map(|sets| sets.into_iter().collect())
}

fn any_bits() -> impl Strategy<Value = u64> {
    let odd = [
        0,
        1 << 63,
        STALE_BITS,
        f64::NAN.to_bits(),
        f64::INFINITY.to_bits(),
    ];
    prop_oneof![any::<u64>(), prop::sample::select(odd.to_vec())]
}

proptest! {
    /// Whatever a point has arrives, to the last bit, and what arrives keeps the rules for series.
    #[test]
    fn what_is_encoded_is_what_a_stranger_decodes(
        sets in label_sets(),
        bits in prop::collection::vec((any_bits(), 0..1_000_000_000i64, any::<bool>()), 24),
    ) {
        let family = family();
        let points: Vec<Point<'_>> = sets.iter().zip(&bits).map(|(labels, (bits, later, started))| Point {
            family: Some(&family),
            start_ms: if *started { T_MS } else { 0 },
            ..point(labels, T_MS + later, f64::from_bits(*bits))
        }).collect();
        for protocol in [Protocol::V1, Protocol::V2] {
            let body = Body::new(&points, protocol).unwrap();
            prop_assert_eq!(body.sample_count, points.len());
            let message = snap::raw::Decoder::new().decompress_vec(&body.bytes).unwrap();
            let decoded = match protocol {
                Protocol::V1 => write_request(&message).unwrap(),
                Protocol::V2 => request_v2(&message).unwrap(),
            };
            prop_assert_eq!(decoded.len(), points.len());
            for ((point, (bits, ..)), series) in points.iter().zip(&bits).zip(&decoded) {
                prop_assert_eq!(point.labels, &series.labels[..]);
                prop_assert_eq!(&series.samples, &vec![(point.timestamp_ms, *bits)]);
                if protocol == Protocol::V2 {
                    prop_assert_eq!(&series.starts_ms, &vec![point.start_ms]);
                    let metadata = series.metadata.clone().unwrap();
                    prop_assert_eq!((metadata.kind, metadata.help.as_str(), metadata.unit.as_str()), (2, "Up.", ""));
                }
            }
            let broken = series::check(&decoded);
            prop_assert!(broken.is_empty() || points.is_empty(), "{:?}", broken);
            // And the other version of it, made from the bytes alone.
            let again = body.to_v1().unwrap();
            prop_assert_eq!(again, Body::new(&points, Protocol::V1).unwrap());
        }
    }
}

/// Our structs of the published messages read what was written without them, and 1.0 becomes 2.0 and back.
#[test]
fn the_structs_read_what_was_written_without_them() {
    use prost::Message;
    let sets = [
        labels(&[("__name__", "up"), ("job", "x")]),
        labels(&[("__name__", "down"), ("job", "x")]),
    ];
    let points: Vec<Point<'_>> = sets.iter().map(|set| point(set, T_MS, 2.5)).collect();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    encode_v1(&points, &mut one).unwrap();
    encode_v2(&points, &mut two).unwrap();
    let request = v1::WriteRequest::decode(one.as_slice()).unwrap();
    assert_eq!(request.encode_to_vec(), one);
    let converted = v2::Request::from_v1(&request);
    assert_eq!(converted.encode_to_vec(), two);
    assert_eq!(converted.symbols, ["", "__name__", "up", "job", "x", "down"]);
    assert_eq!(converted.to_v1().unwrap(), request);
}

#[test]
fn native_histograms_arrive_in_both_versions() {
    let labels = labels(&[("__name__", "exit_duration_seconds")]);
    let histogram = Histogram {
        count: Some(Count::Int(7)),
        sum: 0.25,
        schema: -2,
        zero_threshold: 1e-128,
        zero_count: Some(ZeroCount::Int(1)),
        positive_spans: vec![
            BucketSpan {
                offset: -5,
                length: 2,
            },
            BucketSpan { offset: 3, length: 1 },
        ],
        positive_deltas: vec![3, -2, 1],
        timestamp: T_MS,
        ..Histogram::default()
    };
    let point = Point {
        value: PointValue::Histogram(&histogram),
        ..point(&labels, T_MS, 0.0)
    };
    for protocol in [Protocol::V1, Protocol::V2] {
        let body = Body::new(&[point], protocol).unwrap();
        let again = [body.to_v1().unwrap(), body.split("__name__").unwrap().remove(0).1];
        assert_eq!(again, [Body::new(&[point], Protocol::V1).unwrap(), body.clone()]);
        let message = body.message().unwrap();
        let decoded = match protocol {
            Protocol::V1 => write_request(&message).unwrap(),
            Protocol::V2 => request_v2(&message).unwrap(),
        };
        assert!(
            series::check(&decoded).is_empty(),
            "{:?}",
            series::check(&decoded)
        );
        let found = &decoded[0].histograms[0];
        assert_eq!((found.count, found.zero_count, found.schema), (7, 1, -2));
        assert_eq!(f64::from_bits(found.sum_bits), 0.25);
        assert_eq!(f64::from_bits(found.zero_threshold_bits), 1e-128);
        assert_eq!(found.positive_spans, [(-5, 2), (3, 1)]);
        assert_eq!(found.positive_deltas, [3, -2, 1]);
        assert_eq!(found.timestamp_ms, T_MS);
    }
}
