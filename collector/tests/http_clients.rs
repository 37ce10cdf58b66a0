//! Clients that are slow, broken or hostile: none of them costs another its answer.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod http_common;

use http_common::{BIG_BYTES, Running, eventually, parse, short_limits, start};
use rondo_collector::http::Limits;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn still_answers(running: &Running) {
    let begin = Instant::now();
    assert_eq!(running.get("/metrics").status, 200);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// Reads until the server has closed; how long that took.
fn read_to_close(stream: &mut TcpStream) -> (Vec<u8>, Duration) {
    let (begin, mut all) = (Instant::now(), Vec::new());
    // A reset is a way to close, too.
    let _ = stream.read_to_end(&mut all);
    (all, begin.elapsed())
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off_with_a_reason() {
    let running = start(short_limits());
    let mut stream = running.connect();
    let begin = Instant::now();
    for byte in b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyy" {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
        if begin.elapsed() > Duration::from_millis(700) {
            break;
        }
    }
    let (reply, _) = read_to_close(&mut stream);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let reply = parse(&reply);
    assert_eq!(reply.status, 408);
    assert!(reply.text().contains("did not arrive"), "{}", reply.text());
    still_answers(&running);
}

#[test]
fn a_connection_without_a_request_just_ends() {
    let running = start(short_limits());
    let (reply, after) = read_to_close(&mut running.connect());
    assert!(reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
    assert!((400..3_000).contains(&after.as_millis()), "{after:?}");
    // One that had an answer is idle in the same way.
    let mut stream = running.connect();
    stream.write_all(HEALTHY).unwrap();
    let (reply, after) = read_to_close(&mut stream);
    assert_eq!(parse(&reply).text(), "rondo answers\n", "and nothing after it");
    assert!((400..3_000).contains(&after.as_millis()), "{after:?}");
}

#[test]
fn half_a_request_harms_nobody() {
    let running = start(short_limits());
    for end in 1..HEALTHY.len() - 1 {
        let mut stream = running.connect();
        stream.write_all(&HEALTHY[..end]).unwrap();
    }
    still_answers(&running);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let running = start(short_limits());
    let requests = "GET /metrics/query?series=s1 HTTP/1.1\r\nhost: localhost\r\n\r\n\
         GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n\
         GET /metrics/query?series=s3 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let replies = String::from_utf8(running.send(requests.as_bytes())).unwrap();
    let places: Vec<usize> = ["\"s1\"", "404 Not Found", "\"s3\""]
        .map(|part| {
            replies
                .find(part)
                .unwrap_or_else(|| panic!("{part} in {replies}"))
        })
        .into();
    assert!(places.is_sorted(), "{replies}");
    assert_eq!(replies.matches("HTTP/1.1 ").count(), 3, "{replies}");
}

#[test]
fn huge_heads_are_refused_before_they_are_in_memory() {
    let running = start(short_limits());
    let line = b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\n".as_slice();
    let one = [line, b"x: ", "y".repeat(20_000).as_bytes(), b"\r\n\r\n"].concat();
    let many = [line, "a: b\r\n".repeat(200).as_bytes(), b"\r\n"].concat();
    let endless = [line, b"x: ", "y".repeat(3_000_000).as_bytes()].concat();
    for head in [&one, &many, &endless] {
        assert_eq!(parse(&running.send(head)).status, 431);
    }
    let uri = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
    assert!([414, 431].contains(&parse(&running.send(uri.as_bytes())).status));
    still_answers(&running);
}

#[test]
fn what_is_no_http_is_refused() {
    let running = start(short_limits());
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"GET /-/healthy\r\n\r\n",
        b"GET /-/healthy HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let reply = running.send(bytes);
        let shown = String::from_utf8_lossy(&reply).into_owned();
        assert!(
            reply.is_empty() || (400..500).contains(&parse(&reply).status),
            "{bytes:?}: {shown}"
        );
    }
    still_answers(&running);
}

/// A request with a body that never comes: the answer does not wait for it, and the connection ends.
#[test]
fn a_body_that_never_comes_is_not_waited_for() {
    let running = start(short_limits());
    let mut stream = running.connect();
    let head = b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head).unwrap();
    let (reply, after) = read_to_close(&mut stream);
    assert_eq!(parse(&reply).status, 405);
    assert!(after < Duration::from_secs(3), "{after:?}");
}

#[test]
fn idle_connections_are_bounded_and_others_are_told_until_they_end() {
    let limits = Limits {
        head_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let running = start(limits);
    let mut idle: Vec<TcpStream> = (0..200).map(|_| running.connect()).collect();
    // Sixteen at a time are told for a second each; others are only closed.
    let told = parse(&read_to_close(&mut idle[130]).0);
    assert_eq!(told.status, 503);
    assert!(told.text().contains("128 connections"), "{}", told.text());
    // The first 128 are served, and the last were closed.
    idle[0].write_all(HEALTHY).unwrap();
    let mut buffer = [0; 64];
    assert!(idle[0].read(&mut buffer).unwrap() > 0 && buffer.starts_with(b"HTTP/1.1 200"));
    let (_, after) = read_to_close(&mut idle[199]);
    assert!(after < Duration::from_secs(1), "{after:?}");
    eventually("idle connections end, and there is room again", || {
        let reply = running.send(b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        reply.starts_with(b"HTTP/1.1 200")
    });
}

/// It gets what fits into the kernel's buffers, then the connection ends; its query left the backend at once.
#[test]
fn a_client_that_never_reads_ten_megabytes_is_given_up() {
    let running = start(short_limits());
    let mut streams: Vec<TcpStream> = (0..4).map(|_| running.connect()).collect();
    for stream in &mut streams {
        stream
            .write_all(b"GET /metrics/query?series=big HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
    }
    eventually("the answers are made", || {
        let backend = &running.backend;
        backend.inside_max.load(Ordering::SeqCst) > 0 && backend.inside.load(Ordering::SeqCst) == 0
    });
    still_answers(&running);
    std::thread::sleep(short_limits().send_timeout + Duration::from_millis(400));
    for stream in &mut streams {
        let (reply, _) = read_to_close(stream);
        assert!(!reply.is_empty() && reply.len() < BIG_BYTES, "{}", reply.len());
    }
}

/// Reading a little now and then does not buy more time.
#[test]
fn a_client_that_reads_a_trickle_is_given_up() {
    let running = start(short_limits());
    let mut stream = running.connect();
    stream
        .write_all(b"GET /metrics/query?series=big HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let begin = Instant::now();
    let (mut buffer, mut total) = (vec![0; 50_000], 0);
    while let Ok(count) = stream.read(&mut buffer)
        && count > 0
    {
        total += count;
        // Slow only while the server still has time to lose patience; then all that is left.
        if begin.elapsed() < Duration::from_millis(2_500) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(total < BIG_BYTES, "{total}");
}

/// One that reads at once gets all of it, even if others hold theirs.
#[test]
fn unsent_answers_are_bounded_in_bytes() {
    let limits = Limits {
        unsent_bytes_max: 25 << 20,
        answer_timeout: Duration::from_secs(20),
        send_timeout: Duration::from_secs(4),
        ..short_limits()
    };
    let running = start(limits);
    let mut holding: Vec<TcpStream> = (0..2).map(|_| running.connect()).collect();
    for stream in &mut holding {
        stream
            .write_all(b"GET /metrics/query?series=big HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        // Its head is here, so the whole answer is in memory.
        stream.peek(&mut [0; 16]).unwrap();
    }
    let refused = running.get("/metrics/query?series=big");
    assert_eq!(refused.status, 503, "{}", refused.head);
    assert!(refused.text().contains("wait for clients"), "{}", refused.text());
    assert_eq!(
        running.get("/metrics/query?series=a").status,
        200,
        "small ones fit"
    );
    eventually(
        "those that do not read are given up, and there is room again",
        || {
            let reply = running.get("/metrics/query?series=big");
            reply.status == 200 && reply.body.len() == BIG_BYTES
        },
    );
}

/// Whoever gives up waiting also gives up the turn.
#[test]
fn clients_that_hang_up_while_they_wait_never_reach_the_backend() {
    let running = start(Limits::default());
    let mut streams: Vec<TcpStream> = (0..20).map(|_| running.connect()).collect();
    for stream in &mut streams {
        stream
            .write_all(b"GET /metrics/query?series=slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
    }
    eventually("two are inside", || {
        running.backend.inside.load(Ordering::SeqCst) == 2
    });
    drop(streams);
    assert_eq!(running.get("/metrics/query?series=a").status, 200);
    assert_eq!(running.backend.entered.load(Ordering::SeqCst), 3);
}
