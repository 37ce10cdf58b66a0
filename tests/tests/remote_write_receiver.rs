//! The receiver notices each broken rule: a checker that cannot fail would prove nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use prost::Message;
use rondo_collector::export::remote_write::proto::v1;
use rondo_tests::receiver::{Answer, Receiver};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const T_MS: i64 = 1_700_000_000_000;

const HEADERS: [&str; 4] = [
    "Content-Encoding: snappy",
    "Content-Type: application/x-protobuf",
    "X-Prometheus-Remote-Write-Version: 0.1.0",
    "User-Agent: rondo/1.2.3",
];

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> v1::TimeSeries {
    let label = |(name, value): &(&str, &str)| v1::Label {
        name: (*name).into(),
        value: (*value).into(),
    };
    let sample = |(timestamp, value): &(i64, f64)| v1::Sample {
        value: Some(*value),
        timestamp: *timestamp,
    };
    v1::TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        histograms: Vec::new(),
    }
}

fn compressed(timeseries: Vec<v1::TimeSeries>) -> Vec<u8> {
    let metadata = Vec::new();
    let message = v1::WriteRequest { timeseries, metadata }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&message).unwrap()
}

/// A series of one machine at a second.
fn of(instance: &str, second: i64) -> v1::TimeSeries {
    series(
        &[("__name__", "up"), ("instance", instance)],
        &[(T_MS + 1_000 * second, 1.0)],
    )
}

fn begin(receiver: &Receiver, method: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    let mut head = format!(
        "{method} /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// The start of the answer, if there was one.
fn end(mut stream: TcpStream) -> String {
    let mut answer = vec![0; 1024];
    let count = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn post(receiver: &Receiver, body: &[u8]) -> String {
    end(begin(receiver, "POST", &HEADERS, body))
}

/// What a fresh receiver says of one request.
fn said_of(series: Vec<v1::TimeSeries>) -> String {
    let receiver = Receiver::start();
    post(&receiver, &compressed(series));
    receiver.violations().join("\n")
}

#[test]
fn a_good_request_breaks_no_rule() {
    let receiver = Receiver::start();
    let answer = post(&receiver, &compressed(vec![of("a", 0), of("b", 0)]));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    receiver.assert_clean();
    assert_eq!(receiver.sample_count(), 2);
}

#[test]
fn each_rule_for_labels_and_stamps_is_checked() {
    let good = [(T_MS, 1.0)];
    for (labels, samples, rule) in [
        (&[("a", "1"), ("__name__", "up")][..], &good[..], "stands before"),
        (
            &[("__name__", "up"), ("a", "1"), ("a", "2")],
            &good,
            "stands before",
        ),
        (&[("__name__", "up"), ("a", "")], &good, "is empty"),
        (&[("", "x"), ("__name__", "up")], &good, "no name of a label"),
        (&[("__name__", "up"), ("a-b", "1")], &good, "no name of a label"),
        (&[("__name__", "up"), ("a:b", "1")], &good, "no name of a label"),
        (&[("__name__", "1up")], &good, "no name of a metric"),
        (&[("__name__", "up"), ("__address__", "1")], &good, "reserved"),
        (&[("job", "x")], &good, "has no name"),
        (
            &[("__name__", "up")],
            &[(T_MS / 1_000, 1.0)],
            "no stamp in milliseconds",
        ),
        (
            &[("__name__", "up")],
            &[(T_MS * 1_000_000, 1.0)],
            "no stamp in milliseconds",
        ),
        (&[("__name__", "up")], &[], "0 samples"),
        (
            &[("__name__", "up")],
            &[(T_MS, 1.0), (T_MS + 1, 1.0)],
            "2 samples",
        ),
    ] {
        let said = said_of(vec![series(labels, samples)]);
        assert!(said.contains(rule), "{labels:?} {samples:?}: {said:?}");
    }
    assert!(said_of(vec![of("a", 0), of("a", 1)]).contains("two samples of it"));
    assert!(said_of(vec![]).contains("without series"));
}

#[test]
fn each_rule_for_heads_and_bodies_is_checked() {
    let good = compressed(vec![of("a", 0)]);
    let said = |method: &str, headers: &[&str], body: &[u8]| {
        let receiver = Receiver::start();
        end(begin(&receiver, method, headers, body));
        receiver.violations().join("\n")
    };
    assert_eq!(said("POST", &HEADERS, &good), "");
    assert!(said("PUT", &HEADERS, &good).contains("method PUT"));
    for (index, name) in [
        "content-encoding",
        "content-type",
        "x-prometheus-remote-write-version",
        "user-agent",
    ]
    .into_iter()
    .enumerate()
    {
        let mut headers = HEADERS.to_vec();
        headers.remove(index);
        assert!(said("POST", &headers, &good).contains(name), "{name} missing");
        headers.push(HEADERS[index]);
        headers.push(HEADERS[index]);
        assert!(said("POST", &headers, &good).contains(name), "{name} twice");
    }
    let mut headers = HEADERS;
    headers[2] = "X-Prometheus-Remote-Write-Version: 2.0.0";
    assert!(said("POST", &headers, &good).contains("version"));

    let mut framed = Vec::new();
    framed.extend_from_slice(b"\xff\x06\x00\x00sNaPpY");
    assert!(said("POST", &HEADERS, &framed).contains("framed"));
    assert!(said("POST", &HEADERS, b"\x05\x00").contains("no snappy block"));
    let not_proto = snap::raw::Encoder::new().compress_vec(b"\x0a\x7f").unwrap();
    assert!(said("POST", &HEADERS, &not_proto).contains("in the middle"));
    let unknown = snap::raw::Encoder::new().compress_vec(b"\x48\x01").unwrap();
    assert!(said("POST", &HEADERS, &unknown).contains("no field 9"));
}

#[test]
fn no_series_goes_back_and_only_whole_requests_come_again() {
    let receiver = Receiver::start();
    let first = compressed(vec![of("a", 5), of("b", 5)]);
    post(&receiver, &first);
    post(&receiver, &first);
    receiver.assert_clean();
    assert_eq!((receiver.sample_count(), receiver.repeat_count()), (2, 2));
    post(&receiver, &compressed(vec![of("a", 5)]));
    post(&receiver, &compressed(vec![of("b", 4)]));
    post(&receiver, &compressed(vec![of("a", 6)]));
    post(&receiver, &first);
    let violations = receiver.violations();
    let places: Vec<&str> = violations
        .iter()
        .map(|rule| rule.split(':').next().unwrap())
        .collect();
    assert_eq!(
        places,
        ["request 2", "request 3", "request 5", "request 5"],
        "{violations:?}"
    );
    assert_eq!(receiver.sample_count(), 3);
}

#[test]
fn pauses_that_are_too_short_are_noticed() {
    let receiver = Receiver::start();
    let body = compressed(vec![of("a", 0)]);
    let fail = || Answer::Status(500, String::new());
    receiver.script([fail(), fail(), Answer::RetryAfter(503, 1)]);
    post(&receiver, &body);
    std::thread::sleep(Duration::from_millis(40));
    post(&receiver, &body);
    receiver.assert_clean();
    // Sixty are due.
    std::thread::sleep(Duration::from_millis(35));
    post(&receiver, &body);
    assert_eq!(receiver.violations().len(), 1);
    // A second is due.
    std::thread::sleep(Duration::from_millis(300));
    post(&receiver, &body);
    let violations = receiver.violations();
    assert_eq!(violations.len(), 2);
    assert!(
        violations.iter().all(|rule| rule.contains("a pause of")),
        "{violations:?}"
    );
}

#[test]
fn two_requests_with_a_series_at_once_are_noticed() {
    let receiver = Receiver::start();
    receiver.script([Answer::Slow(Duration::from_secs(3))]);
    let first = begin(
        &receiver,
        "POST",
        &HEADERS,
        &compressed(vec![of("a", 0), of("b", 0)]),
    );
    assert!(receiver.wait(Duration::from_secs(5), |journal| journal.requests.len() == 1));
    post(&receiver, &compressed(vec![of("c", 0)]));
    receiver.assert_clean();
    post(&receiver, &compressed(vec![of("b", 1)]));
    assert!(receiver.violations().join("\n").contains("on its way in another"));
    end(first);
}

/// A sender that gave up on a slow answer may ask again, although that answer was never sent.
#[test]
fn a_client_that_went_is_not_on_its_way_any_more() {
    let receiver = Receiver::start();
    receiver.script([Answer::Slow(Duration::from_secs(60))]);
    let body = compressed(vec![of("a", 0)]);
    let first = begin(&receiver, "POST", &HEADERS, &body);
    assert!(receiver.wait(Duration::from_secs(5), |journal| journal.requests.len() == 1));
    drop(first);
    std::thread::sleep(Duration::from_millis(40));
    post(&receiver, &body);
    receiver.assert_clean();
    assert_eq!(receiver.sample_count(), 1);
}
