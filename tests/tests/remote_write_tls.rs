//! The client of remote write over TLS: whom it trusts, and what it says if it cannot.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::{Client, Tls};
use rondo_tests::push::{ACCEPTED, Files, destination, send, why};
use rondo_tests::receiver::{Authority, Receiver};

#[test]
fn tls_trusts_the_authority_that_it_is_told_to() {
    let (files, authority) = (Files::new(), Authority::new("rondo"));
    let receiver = Receiver::start_tls(&authority, &["localhost"]);
    let mut destination = destination(receiver.url_at("localhost"));
    destination.tls.ca_file = Some(files.with("ca.pem", authority.pem()));
    let client = Client::new(&destination).unwrap();
    for tick in 0..3 {
        assert_eq!(send(&client, tick), ACCEPTED);
    }
    let requests = receiver.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.connection == requests[0].connection)
    );
    assert_eq!(receiver.sample_count(), 3);
    receiver.assert_clean();
}

#[test]
fn a_certificate_that_cannot_be_trusted_says_what_to_do() {
    let (files, authority) = (Files::new(), Authority::new("rondo"));
    let receiver = Receiver::start_tls(&authority, &["metrics.example"]);
    let mut at_localhost = destination(receiver.url_at("localhost"));
    // One that was made anew under its old name is another.
    for other in [Authority::new("else"), Authority::new("rondo")] {
        at_localhost.tls.ca_file = Some(files.with("other.pem", other.pem()));
        let unknown = why(send(&Client::new(&at_localhost).unwrap(), 0));
        assert!(
            unknown.contains("no authority") && unknown.contains("`ca_file`"),
            "{unknown}"
        );
    }

    at_localhost.tls.ca_file = Some(files.with("ca.pem", authority.pem()));
    let name = why(send(&Client::new(&at_localhost).unwrap(), 0));
    assert!(
        name.contains("`url`") && name.contains("metrics.example"),
        "{name}"
    );
    assert_eq!(receiver.request_count(), 0);

    at_localhost.tls = Tls {
        insecure_skip_verify: true,
        ..Tls::default()
    };
    assert_eq!(send(&Client::new(&at_localhost).unwrap(), 0), ACCEPTED);
}

#[test]
fn tls_and_plain_http_are_told_apart() {
    let (files, authority) = (Files::new(), Authority::new("rondo"));
    let plain = Receiver::start();
    let mut secure = destination(plain.url().replace("http://", "https://"));
    secure.tls.ca_file = Some(files.with("ca.pem", authority.pem()));
    let reason = why(send(&Client::new(&secure).unwrap(), 0));
    assert!(reason.contains("127.0.0.1"), "{reason}");

    let encrypted = Receiver::start_tls(&authority, &["localhost"]);
    let url = encrypted.url_at("localhost").replace("https://", "http://");
    let reason = why(send(&Client::new(&destination(url)).unwrap(), 0));
    assert!(reason.contains("localhost"), "{reason}");
    assert_eq!(encrypted.request_count(), 0);
}

#[test]
fn a_server_can_ask_for_a_certificate() {
    let (files, authority, clients) = (Files::new(), Authority::new("servers"), Authority::new("clients"));
    let receiver = Receiver::start_mutual_tls(&authority, &["localhost"], &clients);
    let mut destination = destination(receiver.url_at("localhost"));
    destination.tls.ca_file = Some(files.with("ca.pem", authority.pem()));
    let without = why(send(&Client::new(&destination).unwrap(), 0));
    assert!(without.contains("`cert_file`"), "{without}");

    let (cert, key) = clients.client("rondo");
    let (_, foreign_key) = clients.client("else");
    destination.tls.cert_file = Some(files.with("cert.pem", &cert));
    destination.tls.key_file = Some(files.with("key.pem", &key));
    assert_eq!(send(&Client::new(&destination).unwrap(), 0), ACCEPTED);

    // What would only fail at the first connection is found out before.
    destination.tls.key_file = Some(files.with("foreign.pem", &foreign_key));
    let error = Client::new(&destination).err().unwrap().to_string();
    assert!(
        error.contains("foreign.pem") && error.contains("cert.pem"),
        "{error}"
    );
    destination.tls.key_file = None;
    let error = Client::new(&destination).err().unwrap().to_string();
    assert!(error.contains("`key_file`"), "{error}");
    destination.tls.key_file = Some(files.with("empty.pem", "nothing"));
    let error = Client::new(&destination).err().unwrap().to_string();
    assert!(error.contains("private key"), "{error}");
    receiver.assert_clean();
}

/// Without a `ca_file`. Which they are is said by variables that OpenSSL knows, too; they are those of a child, which is this
/// test again.
#[test]
fn the_systems_authorities_are_trusted() {
    const URL: &str = "RONDO_TEST_RECEIVER";
    const TRUSTED: &str = "RONDO_TEST_TRUSTED";
    if let Ok(url) = std::env::var(URL) {
        let client = Client::new(&destination(url));
        match std::env::var(TRUSTED).unwrap().as_str() {
            "yes" => assert_eq!(send(&client.unwrap(), 0), ACCEPTED),
            "no" => assert!(why(send(&client.unwrap(), 0)).contains("`ca_file`")),
            _ => assert!(client.err().unwrap().to_string().contains("ca-certificates")),
        }
        return;
    }
    let (files, authority) = (Files::new(), Authority::new("system"));
    let receiver = Receiver::start_tls(&authority, &["localhost"]);
    let child = |url: String, roots: &std::path::Path, trusted: &str| {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_systems_authorities_are_trusted"])
            .env(URL, url)
            .env(TRUSTED, trusted)
            .env("SSL_CERT_FILE", roots)
            .env_remove("SSL_CERT_DIR")
            .status();
        assert!(status.unwrap().success(), "{trusted}");
    };
    let url = receiver.url_at("localhost");
    child(url.clone(), &files.with("ca.pem", authority.pem()), "yes");
    child(
        url.clone(),
        &files.with("other.pem", Authority::new("other").pem()),
        "no",
    );
    child(url, &files.with("empty.pem", ""), "none there");
    assert_eq!(receiver.request_count(), 1);
    receiver.assert_clean();
}
