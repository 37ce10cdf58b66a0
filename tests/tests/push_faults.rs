//! Servers that misbehave, and what becomes of the samples: each arrives once and in order, or is counted as refused, and no
//! other machine or destination is harmed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::{Destination, Tally, Tls};
use rondo_tests::export::{Export, Samples, assert_samples, count, destination, expected_of};
use rondo_tests::receiver::{Answer, Authority, Receiver, Refusal, Stores};
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const BOTH: [&str; 2] = ["vm-0", "vm-1"];
const SECONDS: u64 = 60;

/// Machines of these names live for a minute and end; what a server has to have of them.
fn a_minute(export: &Export, instances: &[&str]) -> Samples {
    let mut machines: Vec<_> = instances.iter().map(|name| export.machine(name)).collect();
    export.live(&mut machines, 0..SECONDS);
    export.end(machines, SECONDS);
    expected_of(instances, SECONDS)
}

/// All of it is there, once, and no rule was broken.
#[track_caller]
fn assert_all(receiver: &Receiver, export: &mut Export, expected: &Samples) -> Tally {
    let arrived = receiver.wait(PATIENCE, |journal| journal.sample_count >= count(expected));
    let tally = export.stop();
    receiver.assert_clean();
    assert_samples(&receiver.samples(), expected);
    assert!(arrived);
    tally
}

fn status(code: u16, text: &str) -> Answer {
    Answer::Status(code, text.into())
}

fn refusal(instance: &str, stores: Stores) -> Refusal {
    Refusal {
        label: "instance".into(),
        value: instance.into(),
        status: 400,
        stores,
    }
}

/// The first request gets these answers, and each time it goes again to the byte; then everything arrives.
#[track_caller]
fn goes_again(answers: Vec<Answer>, settings: Destination, receiver: &Receiver) {
    let failures = answers.len();
    receiver.script(answers);
    let mut export = Export::start(Destination {
        url: receiver.url(),
        ..settings
    });
    let expected = a_minute(&export, &BOTH);
    let tally = assert_all(receiver, &mut export, &expected);
    let requests = receiver.requests();
    for pair in requests[..=failures].windows(2) {
        assert!(
            pair[0].body == pair[1].body,
            "another request went before it was through"
        );
    }
    let bodies: HashSet<&[u8]> = requests.iter().map(|request| request.body.as_slice()).collect();
    assert_eq!(bodies.len(), requests.len() - failures);
    assert_eq!(tally.retries as usize, failures);
    assert_eq!(
        tally.requests.get("failed").copied().unwrap_or(0) as usize,
        failures
    );
    assert_eq!(tally.requests["accepted"] as usize, bodies.len());
    assert_eq!(tally.requests.get("refused"), None);
    assert_eq!(tally.samples_sent as usize, count(&expected));
    assert!(
        tally.samples_refused.is_empty() && tally.problem.is_none(),
        "{tally:?}"
    );
}

/// Every request gets that answer; nothing goes twice, and everything is counted.
#[track_caller]
fn is_refused(answer: Answer, reason: &str, requests_max: usize) {
    let receiver = Receiver::start();
    receiver.always(answer);
    let mut export = Export::start(destination(&receiver.url()));
    let all = count(&a_minute(&export, &BOTH)) as u64;
    let counted = export.wait(PATIENCE, |tally| {
        tally
            .samples_refused
            .get(reason)
            .is_some_and(|count| *count >= all)
    });
    let tally = export.stop();
    receiver.assert_clean();
    assert!(counted, "{tally:?}");
    assert_eq!(tally.samples_refused.get(reason), Some(&all));
    assert_eq!(
        (tally.samples_refused.len(), tally.samples_sent, tally.retries),
        (1, 0, 0)
    );
    assert_eq!(receiver.sample_count(), 0);
    let requests = receiver.requests();
    assert_eq!(
        tally.requests.get("refused").map(|count| *count as usize),
        Some(requests.len())
    );
    let twice = requests.len()
        - requests
            .iter()
            .map(|request| &request.body)
            .collect::<HashSet<_>>()
            .len();
    assert_eq!(twice, 0, "a request that was refused for good went again");
    assert!(requests.len() <= requests_max, "{} requests", requests.len());
    assert!(tally.problem.is_some(), "nobody sees that nothing arrives");
}

#[test]
fn a_500_goes_again_to_the_byte() {
    let answers = vec![
        status(500, "the disk is full"),
        status(500, ""),
        status(502, "no backend"),
    ];
    goes_again(answers, destination(""), &Receiver::start());
}

#[test]
fn a_503_goes_again_to_the_byte() {
    goes_again(
        vec![status(503, "starting"); 2],
        destination(""),
        &Receiver::start(),
    );
}

#[test]
fn a_429_waits_as_long_as_the_server_says() {
    let receiver = Receiver::start();
    goes_again(vec![Answer::RetryAfter(429, 1)], destination(""), &receiver);
    // The receiver has checked that no pause was too short; here it sees that there was one.
    receiver.wait(Duration::ZERO, |journal| {
        assert!(
            journal
                .pauses
                .seen
                .iter()
                .any(|pause| *pause >= Duration::from_millis(900))
        );
        true
    });
}

#[test]
fn a_server_that_is_too_slow_is_asked_again() {
    let settings = Destination {
        deadline: Duration::from_millis(150),
        ..destination("")
    };
    goes_again(
        vec![Answer::Slow(Duration::from_secs(5)); 2],
        settings,
        &Receiver::start(),
    );
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_tried_again() {
    goes_again(vec![Answer::Reset; 3], destination(""), &Receiver::start());
}

/// The server has stored it, and nobody knows: the newest sample of each series comes again, with the same bits.
#[test]
fn what_was_stored_without_an_answer_comes_again_to_the_byte() {
    let receiver = Receiver::start();
    goes_again(vec![Answer::StoreThenReset; 2], destination(""), &receiver);
    assert!(receiver.repeat_count() > 0);
}

#[test]
fn half_an_answer_is_none() {
    goes_again(vec![Answer::Half; 2], destination(""), &Receiver::start());
}

#[test]
fn garbage_is_no_answer() {
    let answers = vec![
        Answer::Raw(b"\x00\x01\x02 204 fine\r\n\r\n".to_vec()),
        Answer::Raw(b"SSH-2.0-server\r\n".to_vec()),
    ];
    goes_again(answers, destination(""), &Receiver::start());
}

#[test]
fn a_400_for_everything_is_counted_and_nothing_of_it_goes_twice() {
    // Each batch once, and once more in two parts.
    is_refused(status(400, "out of order sample"), "out_of_order", 3 * 16);
}

#[test]
fn samples_that_are_too_old_for_the_server_are_counted_as_such() {
    is_refused(status(400, "out of bounds"), "too_old", 3 * 16);
}

#[test]
fn a_404_is_counted_and_not_split() {
    is_refused(status(404, "404 page not found"), "other", 16);
}

#[test]
fn a_401_is_counted_and_not_split() {
    is_refused(status(401, "who are you"), "other", 16);
}

#[test]
fn a_415_to_1_0_is_counted_and_not_split() {
    is_refused(status(415, "unsupported media type"), "other", 16);
}

#[test]
fn a_413_for_every_part_is_counted() {
    is_refused(status(413, "too large"), "other", 3 * 16);
}

/// What is too large for the server in one is not in parts.
#[test]
fn a_413_goes_once_more_machine_by_machine() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines: Vec<_> = BOTH.iter().map(|name| export.machine(name)).collect();
    export.stop();
    export.live(&mut machines, 0..SECONDS);
    export.end(machines, SECONDS);
    receiver.script([status(413, "too large")]);
    export.push();
    let tally = assert_all(&receiver, &mut export, &expected_of(&BOTH, SECONDS));
    assert_eq!((tally.requests["refused"], tally.retries), (1, 0));
    assert!(tally.samples_refused.is_empty(), "{tally:?}");
}

/// Redirects would take samples and secrets where nobody sent them.
#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start();
    let head = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url()
    );
    is_refused(Answer::Raw(head.into_bytes()), "other", 16);
    assert_eq!(elsewhere.request_count(), 0);
}

#[track_caller]
fn one_machine_is_refused(stores: Stores) {
    let receiver = Receiver::start();
    receiver.refuse(refusal("vm-1", stores));
    let mut export = Export::start(destination(&receiver.url()));
    let names = ["vm-0", "vm-1", "vm-2"];
    a_minute(&export, &names);
    let welcome = expected_of(&["vm-0", "vm-2"], SECONDS);
    let refused = count(&expected_of(&["vm-1"], SECONDS)) as u64;
    let counted = export.wait(PATIENCE, |tally| {
        tally
            .samples_refused
            .get("other")
            .is_some_and(|count| *count >= refused)
    });
    let tally = assert_all(&receiver, &mut export, &welcome);
    assert!(counted, "{tally:?}");
    assert_eq!(tally.samples_refused.get("other"), Some(&refused));
    assert_eq!(tally.samples_sent as usize, count(&welcome));
    assert_eq!(tally.retries, 0);
}

#[test]
fn a_machine_that_is_refused_takes_no_other_with_it() {
    one_machine_is_refused(Stores::Nothing);
}

/// The server says 400 and has stored the others all the same: their newest samples come again, and that is all.
#[test]
fn a_server_that_stores_a_part_of_what_it_refuses_has_the_rest_once() {
    one_machine_is_refused(Stores::Others);
}

/// What is refused is not kept for later; what comes later arrives.
#[test]
fn a_server_that_was_wrong_for_a_while_has_what_came_later() {
    let receiver = Receiver::start();
    receiver.always(status(400, "no"));
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines = vec![export.machine("vm-0")];
    export.live(&mut machines, 0..30);
    assert!(export.wait(PATIENCE, |tally| !tally.samples_refused.is_empty()
        && tally.problem.is_some()));
    assert!(
        export
            .tally()
            .problem
            .is_some_and(|problem| problem.contains("no"))
    );
    receiver.always(Answer::Ok);
    export.live(&mut machines, 30..SECONDS);
    export.end(machines, SECONDS);
    let all = expected_of(&["vm-0"], SECONDS);
    let through = export.wait(PATIENCE, |tally| {
        tally.samples_sent + tally.samples_refused.values().sum::<u64>() >= count(&all) as u64
    });
    let tally = export.stop();
    receiver.assert_clean();
    assert!(through, "{tally:?}");
    assert_eq!(count(&receiver.samples()) as u64, tally.samples_sent);
    assert_eq!(
        tally.samples_sent + tally.samples_refused["other"],
        count(&all) as u64
    );
    assert_eq!(tally.problem, None);
    for (labels, samples) in receiver.samples() {
        assert!(all[&labels].ends_with(&samples), "{labels:?}: {samples:?}");
    }
}

/// A port of the loopback on which nobody listens.
fn dead_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}/api/v1/write")
}

fn has_failed(export: &Export, times: u64) -> bool {
    export.wait(PATIENCE, |tally| {
        tally.requests.get("failed").is_some_and(|count| *count >= times)
    })
}

#[test]
fn a_server_that_comes_up_later_has_all() {
    let address = dead_port();
    let mut export = Export::start(destination(&url_of(address)));
    let expected = a_minute(&export, &BOTH);
    assert!(has_failed(&export, 2));
    let problem = export.tally().problem.unwrap();
    assert!(problem.contains("refused"), "{problem}");
    let receiver = Receiver::start_at(address);
    let tally = assert_all(&receiver, &mut export, &expected);
    assert_eq!(tally.problem, None);
    assert_eq!(tally.retries, tally.requests["failed"]);
    assert!(tally.samples_refused.is_empty() && receiver.repeat_count() == 0);
}

/// Nothing is sent to a server that cannot say who it is; once it can, all is.
#[test]
fn a_server_with_a_wrong_certificate_gets_nothing_until_it_has_the_right_one() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let files = rondo_tests::push::Files::new();
    let impostor = Receiver::start_tls(&wrong, &["localhost"]);
    let address = impostor.address();
    let mut export = Export::start(Destination {
        tls: Tls {
            ca_file: Some(files.with("ca.pem", right.pem())),
            ..Tls::default()
        },
        ..destination(&impostor.url_at("localhost"))
    });
    let expected = a_minute(&export, &BOTH);
    assert!(has_failed(&export, 2));
    assert!(export.tally().problem.is_some());
    assert_eq!((impostor.request_count(), export.tally().samples_sent), (0, 0));
    drop(impostor);
    let receiver = Receiver::start_tls_at(address, &right, &["localhost"]);
    assert_all(&receiver, &mut export, &expected);
}

#[test]
fn a_destination_that_is_down_harms_no_other() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let down = Destination {
        name: "down".into(),
        ..destination(&url_of(dead_port()))
    };
    let down = export.another(&Arc::new(down));
    let begin = Instant::now();
    let expected = a_minute(&export, &BOTH);
    down.wake();
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected)));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    while down.tallies().get().retries == 0 {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    let tally = down.tallies().get();
    assert!(tally.samples_sent == 0 && tally.problem.is_some(), "{tally:?}");
    let tally = assert_all(&receiver, &mut export, &expected);
    assert_eq!(tally.retries, 0);
    // It stops at once, though it pauses.
    let begin = Instant::now();
    down.tell_to_stop();
    down.wait(begin + Duration::from_secs(10));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

/// A number of a server's is a stranger's: sums of it must not end the thread, nor be in what we say was sent.
#[test]
fn a_server_that_says_it_wrote_more_than_there_is_harms_nothing() {
    let receiver = Receiver::start();
    let huge = u64::MAX;
    let head = |status: &str| {
        format!(
            "HTTP/1.1 {status}\r\nX-Prometheus-Remote-Write-Samples-Written: {huge}\r\n\
             X-Prometheus-Remote-Write-Histograms-Written: {huge}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    receiver.script(["403 No", "404 Nor", "403 No"].map(|status| Answer::Raw(head(status).into_bytes())));
    let mut export = Export::start(destination(&receiver.url()));
    export.stop();
    let expected = a_minute(&export, &["vm-0"]);
    export.push();
    let all = count(&expected) as u64;
    assert!(export.wait(PATIENCE, |tally| tally.samples_sent >= all));
    let tally = export.stop();
    assert_eq!(tally.requests["refused"], 3);
    assert_eq!(tally.samples_sent, all, "{tally:?}");
    assert_eq!(tally.samples_refused.values().sum::<u64>(), 0);
}

/// Everything else of the collector goes on, and once the file is there, this does, too.
#[test]
fn an_authority_that_is_missing_is_a_problem_of_its_destination() {
    let export = Export::start(Destination {
        tls: Tls {
            ca_file: Some("/nonexistent/ca.pem".into()),
            ..Tls::default()
        },
        ..destination("https://localhost:1/")
    });
    assert!(export.wait(PATIENCE, |tally| tally.problem.is_some()));
    let problem = export.tally().problem.unwrap();
    assert!(problem.contains("/nonexistent/ca.pem"), "{problem}");
    assert_eq!(problem.matches("No such file").count(), 1, "{problem}");
}
