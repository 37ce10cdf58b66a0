//! Several requests in a row: the client, back-off, the choice of the version and split bodies, as a sending thread uses them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::{
    Backoff, Body, Client, Protocol, Reply, Verdict, Version, chance,
};
use rondo_shm_layout::Labels;
use rondo_tests::push::{T_MS, body, client, series};
use rondo_tests::receiver::{Answer, Receiver, Refusal, Speaks, Stores};
use std::time::Duration;

/// As a sending thread does it: one request at a time, until it is taken.
fn push(client: &Client, version: &mut Version, body: Body) -> usize {
    let mut backoff = Backoff::new();
    let mut body = body;
    for attempt in 1..=20 {
        let reply = client.send(&body.bytes, body.protocol);
        match version.judge(body.protocol, body.sample_count, &reply) {
            Verdict::Done => return attempt,
            Verdict::AgainAsV1 { .. } => body = body.to_v1().unwrap(),
            Verdict::Short { .. } => panic!("short"),
            Verdict::Failed => match reply {
                Reply::Retry { after, .. } => std::thread::sleep(backoff.pause(after, chance())),
                other => panic!("{other:?}"),
            },
        }
    }
    panic!("never taken");
}

/// The pauses of the client's own making are those that the receiver wants, and no sample is lost or comes twice.
#[test]
fn a_failing_server_is_asked_ever_less_often() {
    let receiver = Receiver::start();
    let (client, mut version) = (client(&receiver), Version::new(Protocol::V1));
    let fail = || Answer::Status(500, "later".into());
    receiver.script([
        fail(),
        Answer::Reset,
        Answer::Half,
        fail(),
        Answer::RetryAfter(429, 1),
        Answer::StoreThenReset,
        Answer::Ok,
        Answer::Ok,
    ]);
    assert_eq!(
        push(&client, &mut version, body(&["vm1", "vm2"], 0, Protocol::V1)),
        7
    );
    assert_eq!(
        push(&client, &mut version, body(&["vm1", "vm2"], 1, Protocol::V1)),
        1
    );
    receiver.assert_clean();
    let (samples, repeats) = (receiver.sample_count(), receiver.repeat_count());
    assert_eq!((samples, repeats), (4, 2));
    let wanted = [(T_MS, 0.0f64.to_bits()), (T_MS + 1_000, 1.0f64.to_bits())];
    assert_eq!(receiver.samples()[&series("vm2")], wanted);
    receiver.wait(Duration::ZERO, |journal| {
        let seen = &journal.pauses.seen;
        assert_eq!(seen.len(), 6, "{seen:?}");
        assert!(seen[4] >= Duration::from_secs(1), "{seen:?}");
        true
    });
}

#[test]
fn version_2_0_is_spoken_to_those_who_understand_it() {
    for (speaks, attempts, spoken) in [
        (Speaks::Both, 1, Protocol::V2),
        (Speaks::OnlyV1, 2, Protocol::V1),
        (Speaks::TakesAllForV1, 2, Protocol::V1),
    ] {
        let receiver = Receiver::start();
        receiver.speaks(speaks);
        let (client, mut version) = (client(&receiver), Version::new(Protocol::V2));
        for tick in 0..4 {
            let body = body(&["vm1", "vm2"], tick, version.protocol());
            let took = push(&client, &mut version, body);
            assert_eq!(took, if tick == 0 { attempts } else { 1 }, "{speaks:?}");
        }
        assert_eq!(version.protocol(), spoken, "{speaks:?}");
        assert_eq!(receiver.sample_count(), 8, "{speaks:?}");
        assert_eq!(receiver.repeat_count(), 0, "{speaks:?}");
        receiver.assert_clean();
    }
}

#[test]
fn a_server_that_wrote_less_than_it_was_sent_is_found_out() {
    let receiver = Receiver::start();
    let (client, mut version) = (client(&receiver), Version::new(Protocol::V2));
    receiver.script([Answer::Written(1)]);
    let body = body(&["vm1", "vm2", "vm3"], 0, Protocol::V2);
    let reply = client.send(&body.bytes, body.protocol);
    let verdict = version.judge(body.protocol, body.sample_count, &reply);
    assert_eq!(verdict, Verdict::Short { sent: 3, written: 1 });
}

/// Prometheus refuses a whole request because of one sample; split, all others' arrive.
#[test]
fn one_machine_that_is_refused_does_not_cost_the_others() {
    for protocol in [Protocol::V1, Protocol::V2] {
        for stores in [Stores::Nothing, Stores::Others] {
            let receiver = Receiver::start();
            receiver.refuse(Refusal {
                label: "instance".into(),
                value: "vm2".into(),
                status: 400,
                stores,
            });
            let client = client(&receiver);
            let body = body(&["vm1", "vm2", "vm3"], 0, protocol);
            let reply = client.send(&body.bytes, protocol);
            let wrote = (protocol == Protocol::V2).then_some(if stores == Stores::Others { 2 } else { 0 });
            assert!(
                matches!(&reply, Reply::Refused { status: 400, written, .. } if written.map(|w| w.samples) == wrote),
                "{reply:?}"
            );
            for (instance, part) in body.split("instance").unwrap() {
                let reply = client.send(&part.bytes, part.protocol);
                let taken = matches!(reply, Reply::Accepted { .. });
                assert_eq!(taken, instance != "vm2", "{reply:?}");
            }
            let stored: Vec<Labels> = receiver.samples().into_keys().collect();
            assert_eq!(stored, [series("vm1"), series("vm3")]);
            receiver.assert_clean();
        }
    }
}
