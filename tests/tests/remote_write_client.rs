//! The client of remote write against a receiver that checks every rule, and misbehaves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::{Auth, Client, Destination, Protocol, Reply};
use rondo_tests::push::{ACCEPTED, body, client, destination, send, why};
use rondo_tests::receiver::{Answer, Receiver};
use std::time::{Duration, Instant};

#[test]
fn each_misbehaviour_has_its_reply() {
    let receiver = Receiver::start();
    let client = client(&receiver);
    let refused = |status: u16, text: &str| Reply::Refused {
        status,
        body: text.into(),
        written: None,
    };
    let status = |status: u16| Answer::Status(status, "out of\norder\u{7}".into());
    for (answer, wanted) in [
        (Answer::Ok, Some(ACCEPTED)),
        (Answer::Status(200, "welcome".into()), Some(ACCEPTED)),
        (status(400), Some(refused(400, "out of order"))),
        (status(404), Some(refused(404, "out of order"))),
        (status(408), Some(refused(408, "out of order"))),
        (status(413), Some(refused(413, "out of order"))),
        (status(415), Some(Reply::NotSupported)),
        (status(429), None),
        (status(500), None),
        (status(503), None),
        (Answer::Reset, None),
        (Answer::Half, None),
        (Answer::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()), None),
        (
            Answer::Raw(b"HTTP/1.1 500 Oops\r\nContent-Length: 900\r\n\r\ncut".to_vec()),
            None,
        ),
        (Answer::Ok, Some(ACCEPTED)),
    ] {
        receiver.script([answer.clone()]);
        let tick = i64::try_from(receiver.request_count()).unwrap();
        let reply = send(&client, tick);
        match wanted {
            Some(wanted) => assert_eq!(reply, wanted, "{answer:?}"),
            None => assert!(
                matches!(reply, Reply::Retry { after: None, .. }),
                "{answer:?}: {reply:?}"
            ),
        }
        receiver.sender_restarted();
    }
    assert_eq!(receiver.sample_count(), 3);
    receiver.assert_clean();
}

#[test]
fn a_server_that_says_when_is_heard() {
    let receiver = Receiver::start();
    let client = client(&receiver);
    for status in [429, 503] {
        receiver.script([Answer::RetryAfter(status, 7)]);
        let reply = send(&client, 0);
        assert!(
            matches!(&reply, Reply::Retry { after: Some(after), why, .. } if *after == Duration::from_secs(7) && why.contains(&status.to_string())),
            "{reply:?}"
        );
        receiver.sender_restarted();
    }
}

#[test]
fn a_request_has_these_headers_and_no_others() {
    let receiver = Receiver::start();
    let mut destination = destination(receiver.url());
    destination.headers = vec![("X-Scope-OrgID".into(), "tenant 1".into())];
    let client = Client::new(&destination).unwrap();
    let bodies = [body(&["vm1"], 0, Protocol::V1), body(&["vm1"], 1, Protocol::V2)];
    for body in &bodies {
        let reply = client.send(&body.bytes, body.protocol);
        assert!(matches!(reply, Reply::Accepted { .. }), "{reply:?}");
    }
    let requests = receiver.requests();
    for ((request, body), (kind, version)) in requests.iter().zip(&bodies).zip([
        ("application/x-protobuf", "0.1.0"),
        (
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "2.0.0",
        ),
    ]) {
        let mut headers = request.headers.clone();
        headers.sort();
        let wanted = [
            ("content-encoding", "snappy".to_owned()),
            ("content-length", body.bytes.len().to_string()),
            ("content-type", kind.to_owned()),
            ("host", receiver.address().to_string()),
            ("user-agent", format!("rondo/{}", env!("CARGO_PKG_VERSION"))),
            ("x-prometheus-remote-write-version", version.to_owned()),
            ("x-scope-orgid", "tenant 1".to_owned()),
        ];
        let wanted: Vec<(String, String)> = wanted.map(|(name, value)| (name.to_owned(), value)).to_vec();
        assert_eq!(headers, wanted);
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("POST", "/api/v1/write")
        );
        assert_eq!(request.body, body.bytes);
    }
    receiver.assert_clean();
}

#[test]
fn requests_share_a_connection() {
    let receiver = Receiver::start();
    let client = client(&receiver);
    receiver.script([
        Answer::Ok,
        Answer::Status(400, "no".into()),
        Answer::Status(500, "later".into()),
    ]);
    for tick in 0..6 {
        send(&client, tick);
        receiver.sender_restarted();
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 6);
    assert!(
        requests
            .iter()
            .all(|request| request.connection == requests[0].connection)
    );
    receiver.assert_clean();
}

#[test]
fn a_redirect_is_not_followed() {
    let (receiver, elsewhere) = (Receiver::start(), Receiver::start());
    let client = client(&receiver);
    for status in [301, 302, 307, 308] {
        let head = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url()
        );
        receiver.script([Answer::Raw(head.into_bytes())]);
        let Reply::Refused {
            status: same, body, ..
        } = send(&client, 0)
        else {
            panic!("{status}");
        };
        assert_eq!(same, status);
        assert!(
            body.contains(&elsewhere.url()) && body.contains("`url`"),
            "{body}"
        );
    }
    assert_eq!(elsewhere.request_count(), 0);
}

#[test]
fn the_deadline_holds_for_a_slow_server() {
    let receiver = Receiver::start();
    let mut destination = destination(receiver.url());
    destination.deadline = Duration::from_millis(300);
    let client = Client::new(&destination).unwrap();
    receiver.script([Answer::Slow(Duration::from_secs(30))]);
    let begin = Instant::now();
    let why = why(send(&client, 0));
    let took = begin.elapsed();
    assert!(why.contains("300ms"), "{why}");
    assert!(
        took >= Duration::from_millis(280) && took < Duration::from_secs(5),
        "{took:?}"
    );
    // The next request does not find the late answer of the one before.
    assert!(receiver.wait(Duration::from_secs(5), |journal| journal.pauses.seen.is_empty()));
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(send(&client, 0), ACCEPTED);
    assert_eq!(receiver.sample_count(), 1);
    receiver.assert_clean();
}

#[test]
fn a_server_that_is_not_there_is_tried_again() {
    let receiver = Receiver::start();
    let client = client(&receiver);
    drop(receiver);
    let why = why(send(&client, 0));
    assert!(why.contains("127.0.0.1") && why.contains("refused"), "{why}");
}

/// A proxy that is set for a whole machine must not get what was meant for a server on the same network. The variables are
/// those of a child, which is this test again.
#[test]
fn proxies_of_the_environment_are_ignored() {
    const URL: &str = "RONDO_TEST_RECEIVER";
    if let Ok(url) = std::env::var(URL) {
        let client = Client::new(&destination(url)).unwrap();
        assert_eq!(send(&client, 0), ACCEPTED);
        return;
    }
    let receiver = Receiver::start();
    let proxy = "http://127.0.0.1:9";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "proxies_of_the_environment_are_ignored"])
        .env(URL, receiver.url())
        .envs(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, proxy)))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(receiver.request_count(), 1);
    receiver.assert_clean();
}

#[test]
fn secrets_are_read_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let receiver = Receiver::start();
    let mut destination = destination(receiver.url());
    destination.auth = Auth::Bearer {
        token_file: file.clone(),
    };
    let client = Client::new(&destination).unwrap();
    let missing = why(send(&client, 0));
    assert!(missing.contains(&file.display().to_string()), "{missing}");
    assert_eq!(receiver.request_count(), 0);
    for (tick, token) in [(0, "old"), (1, "new")] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        assert_eq!(send(&client, tick), ACCEPTED);
    }
    destination.auth = Auth::Basic {
        user: "rondo".into(),
        password_file: file.clone(),
    };
    let client = Client::new(&destination).unwrap();
    assert_eq!(send(&client, 2), ACCEPTED);
    let seen: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| request.header("authorization").unwrap().to_owned())
        .collect();
    // `rondo:new`.
    assert_eq!(seen, ["Bearer old", "Bearer new", "Basic cm9uZG86bmV3"]);
    receiver.assert_clean();
}

#[test]
fn settings_that_cannot_work_make_no_client() {
    let good = || destination("http://127.0.0.1:9/write".into());
    let refused = |destination: &Destination| Client::new(destination).err().map(|error| error.to_string());
    assert_eq!(refused(&good()), None);
    for url in [
        "",
        "127.0.0.1:9",
        "ftp://host/",
        "http://",
        "/api/v1/write",
        "http://a b/",
    ] {
        let error = refused(&destination(url.into())).unwrap();
        assert!(error.contains("/api/v1/write"), "{url:?}: {error}");
    }
    let error = refused(&destination("http://me:secret@host/".into())).unwrap();
    assert!(
        !error.contains("secret") && error.contains("basic_auth"),
        "{error}"
    );
    for (name, value) in [
        ("Content-Type", "text/plain"),
        ("authorization", "x"),
        ("a b", "c"),
        ("a", "b\r\nc: d"),
    ] {
        let mut destination = good();
        destination.headers = vec![(name.into(), value.into())];
        let error = refused(&destination).unwrap();
        assert!(error.contains(name), "{error}");
    }
    let mut destination = good();
    destination.tls.ca_file = Some("/nowhere/ca.pem".into());
    assert!(refused(&destination).unwrap().contains("/nowhere/ca.pem"));
}
