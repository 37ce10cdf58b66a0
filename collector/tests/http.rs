//! What the pages are, for clients that behave.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod http_common;

use flate2::read::GzDecoder;
use http_common::{Reply, TestBackend, short_limits, start, start_with};
use rondo_collector::collect::Listen;
use rondo_collector::http::{Limits, ServeError, serve};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const OPENMETRICS: &str =
    "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";

#[test]
fn every_route_answers_with_its_type() {
    let running = start(Limits::default());
    for (path, content_type, part) in [
        ("/", "text/plain; charset=utf-8", "/metrics/machines"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "rondo_passes_total 7\n",
        ),
        (
            "/metrics/machines",
            "text/plain; version=0.0.4; charset=utf-8",
            "",
        ),
        (
            "/metrics/query?series=a&range=1h",
            "application/json",
            "\"a\" Ns(3600000000000)",
        ),
        ("/metrics/explain?series=a", "application/json", "why Some(\"a\")"),
        ("/metrics/info", "application/json", "xxx"),
        ("/metrics/health", "application/json", "\"lag_seconds\":0.25"),
        ("/-/healthy", "text/plain; charset=utf-8", "rondo answers"),
    ] {
        let reply = running.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some(content_type), "{path}");
        assert!(reply.text().contains(part), "{path}: {}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None);
        let head = running.request(&format!("HEAD {path}"), "");
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {path}");
        // The number of descriptors and requests on the other changes.
        if path != "/metrics" {
            let length = head.header("content-length").unwrap_or("0");
            assert_eq!(Some(length), reply.header("content-length"), "HEAD {path}");
        }
    }
}

#[test]
fn health_and_readiness_are_statuses() {
    let running = start(Limits::default());
    assert_eq!(running.get("/-/ready").status, 503);
    running.backend.is_ready.store(true, Ordering::SeqCst);
    assert_eq!(running.get("/-/ready").status, 200);
    assert_eq!(running.get("/metrics/health").json()["status"], "healthy");
    running.backend.is_ill.store(true, Ordering::SeqCst);
    let ill = running.get("/metrics/health");
    assert_eq!(
        (ill.status, &ill.json()["problems"][0]),
        (503, &"the disk is full".into())
    );
    assert_eq!(ill.json()["last_pass"], "2023-11-14T22:13:20Z");
}

#[test]
fn refusals_have_a_status_a_reason_and_a_parameter() {
    let running = start(Limits::default());
    let refused = |line: &str, headers: &str, status: u16, parameter: Option<&str>, part: &str| {
        let reply: Reply = running.request(line, headers);
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        let error = &reply.json()["error"];
        assert_eq!(error["parameter"].as_str(), parameter, "{line}");
        assert!(
            error["reason"].as_str().unwrap().contains(part),
            "{line}: {error}"
        );
        assert_eq!(reply.header("content-type"), Some("application/json"));
        reply
    };
    refused("GET /metric", "", 404, None, "the nearest is /metrics");
    refused(
        "GET /metrics/machine",
        "",
        404,
        None,
        "the nearest is /metrics/machines",
    );
    refused("GET /metrics/", "", 404, None, "the nearest is /metrics");
    let method = refused("DELETE /metrics", "", 405, None, "GET or HEAD");
    assert_eq!(method.header("allow"), Some("get, head"));
    refused("POST /metrics", "content-length: 5\r\n", 405, None, "GET or HEAD");
    refused(
        "GET /metrics",
        "content-length: 5\r\n",
        413,
        None,
        "no request has a body",
    );
    refused(
        "GET /metrics",
        "transfer-encoding: chunked\r\n",
        413,
        None,
        "no request has a body",
    );
    refused(
        &format!("GET /metrics/query?series={}", "a".repeat(9_000)),
        "",
        414,
        None,
        "at most 8192",
    );
    refused("GET /metrics/query", "", 400, Some("series"), "which series?");
    refused(
        "GET /metrics/query?series=a%7B",
        "",
        400,
        Some("series"),
        "at column 3",
    );
    refused(
        "GET /metrics/query?series=a%zz",
        "",
        400,
        Some("series"),
        "two hex digits",
    );
    refused(
        "GET /metrics/query?sieres=a",
        "",
        400,
        Some("sieres"),
        "did you mean series?",
    );
    refused(
        "GET /metrics/query?series=many",
        "",
        422,
        Some("range"),
        "too many points",
    );
    refused("GET /metrics?a=b", "", 400, Some("a"), "no parameters");
    refused(
        "GET /metrics/machines?match=%7Ba",
        "",
        400,
        Some("match"),
        "expected",
    );
    refused(
        "GET /metrics/machines?match[]=%7Ba",
        "",
        400,
        Some("match[]"),
        "expected",
    );
    refused("GET /metrics/query?series=panic", "", 500, None, "panic");
    assert_eq!(
        running.get("/metrics/query?series=a").status,
        200,
        "after a panic too"
    );
}

#[test]
fn metrics_come_in_the_format_and_encoding_that_the_client_prefers() {
    let running = start(Limits::default());
    let reply = running.request("GET /metrics", OPENMETRICS);
    assert_eq!(
        reply.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(
        reply.text().contains("# TYPE rondo_passes counter\n"),
        "{}",
        reply.text()
    );
    assert!(reply.text().ends_with("# EOF\n"));
    let text = running.get("/metrics");
    assert!(text.text().contains("# TYPE rondo_passes_total counter\n") && !text.text().contains("# EOF"));

    let packed = running.request("GET /metrics/info", "accept-encoding: gzip\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 200, "{}", packed.body.len());
    let mut unpacked = String::new();
    GzDecoder::new(&packed.body[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, running.get("/metrics/info").text());
    for (path, header) in [("/-/healthy", "gzip"), ("/metrics/info", "gzip;q=0")] {
        let plain = running.request(&format!("GET {path}"), &format!("accept-encoding: {header}\r\n"));
        assert_eq!(plain.header("content-encoding"), None, "{path} {header}");
    }
}

#[test]
fn the_server_counts_its_answers() {
    let running = start(Limits::default());
    running.get("/nothing");
    running.get("/nothing");
    running.get("/-/healthy");
    let text = running.get("/metrics").text().to_owned();
    assert!(
        text.contains("rondo_http_requests_total{code=\"200\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("rondo_http_requests_total{code=\"404\"} 2\n"),
        "{text}"
    );
}

/// A page of another site that has made its name point to 127.0.0.1 must not read what is here.
#[test]
fn names_are_refused_on_loopback() {
    let running = start(Limits::default());
    for (host, status) in [
        ("evil.example", 403),
        ("localhost:1", 200),
        ("[::1]:9", 200),
        ("127.0.0.1", 200),
    ] {
        let bytes = format!("GET /-/healthy HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(
            http_common::parse(&running.send(bytes.as_bytes())).status,
            status,
            "{host}"
        );
    }
    let absolute =
        b"GET http://evil.example/-/healthy HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    let reply = http_common::parse(&running.send(absolute));
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("DNS rebinding"), "{}", reply.text());
}

#[test]
fn at_most_two_queries_are_inside_and_a_late_one_is_told() {
    let limits = Limits {
        pending_max: 6,
        answer_timeout: Duration::from_millis(1_000),
        ..Limits::default()
    };
    let running = start(limits);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let one = || running.get("/metrics/query?series=slow").status;
        let asked: Vec<_> = (0..12).map(|_| scope.spawn(one)).collect();
        std::thread::sleep(Duration::from_millis(200));
        // The thread of I/O is not among those that wait.
        let begin = Instant::now();
        assert_eq!(running.get("/-/healthy").status, 200);
        assert!(
            begin.elapsed() < Duration::from_millis(300),
            "{:?}",
            begin.elapsed()
        );
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|&&there| there == status).count();
    assert_eq!(count(200), 2, "in time: {statuses:?}");
    assert_eq!(count(503), 4, "too late: {statuses:?}");
    assert_eq!(count(429), 6, "not even waiting: {statuses:?}");
    assert_eq!(running.backend.inside_max.load(Ordering::SeqCst), 2);
}

#[test]
fn a_unix_socket_is_for_owner_and_group_and_replaces_only_a_dead_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rondo.sock");
    let listen = Listen::Unix(path.clone());
    let serve_here = || serve(&listen, Arc::new(TestBackend::default()), short_limits());

    // What a killed process leaves behind.
    drop(UnixListener::bind(&path).unwrap());
    let server = serve_here().unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"GET /-/healthy HTTP/1.1\r\nhost: any.name\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");

    let error = serve_here().unwrap_err();
    assert!(matches!(error, ServeError::InUse(_)), "{error}");
    server.shutdown();
    assert!(!path.exists(), "a socket goes with its server");
    std::fs::write(&path, "precious").unwrap();
    let error = serve_here().unwrap_err();
    assert!(matches!(error, ServeError::NotASocket(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["rondo.sock"]);
}

#[test]
fn a_taken_port_is_an_error_that_says_which() {
    let running = start(Limits::default());
    let listen = Listen::Tcp(running.address);
    let error = serve(&listen, Arc::new(TestBackend::default()), short_limits()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {listen}"));
}

#[test]
fn shutdown_lets_a_request_finish_and_waits_for_no_idle_connection() {
    let running = start_with(TestBackend::default(), Limits::default());
    let mut idle = running.connect();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut busy = running.connect();
    busy.write_all(b"GET /metrics/query?series=slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    running.server.shutdown();
    assert!(
        begin.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begin.elapsed()
    );
    let mut reply = Vec::new();
    busy.read_to_end(&mut reply).unwrap();
    assert_eq!(http_common::parse(&reply).text(), "slow");
}

/// A collector that is told to end does end, whatever its backend does.
#[test]
fn shutdown_does_not_wait_for_a_stuck_backend() {
    let running = start(Limits::default());
    let mut stuck = running.connect();
    stuck
        .write_all(b"GET /metrics/query?series=stuck HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    http_common::eventually("it is in the backend", || {
        running.backend.inside.load(Ordering::SeqCst) == 1
    });
    let begin = Instant::now();
    running.server.shutdown();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}
