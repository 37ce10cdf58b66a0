//! What a sender knows of its destination, through stops, other settings, damage and full disks: each sample arrives once, and
//! what was on its way goes again to the byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rondo_collector::export::remote_write::{Destination, SenderError, Tally};
use rondo_tests::export::{Export, Samples, assert_samples, count, destination, expected_of};
use rondo_tests::receiver::{Answer, Receiver};
use rondo_tests::simulation::world;
use std::process::Command;
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

/// The collector does not wait for a request that hangs; the same bytes go again after a new start.
#[test]
fn a_request_that_hangs_is_left_alone_and_goes_again_to_the_byte() {
    let receiver = Receiver::start();
    receiver.script([Answer::Slow(Duration::from_millis(450))]);
    let mut export = Export::start(destination(&receiver.url()));
    export.stop();
    let expected = a_minute(&export, &BOTH);
    export.push();
    assert!(receiver.wait(PATIENCE, |journal| journal.requests.len() == 1));
    let begin = Instant::now();
    let sender = export.sender.take().unwrap();
    sender.tell_to_stop();
    sender.wait(begin + Duration::from_millis(50));
    assert!(
        begin.elapsed() < Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    export.push();
    assert_all(&receiver, &mut export, &expected);
    let requests = receiver.requests();
    assert!(requests[0].body == requests[1].body);
    assert_ne!(requests[0].connection, requests[1].connection);
    assert!(receiver.repeat_count() > 0);
}

/// A stop before, in or after any request, and a new start: what was on its way goes again, nothing else does.
#[test]
fn stops_and_starts_leave_no_gap_and_nothing_twice() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines: Vec<_> = BOTH.iter().map(|name| export.machine(name)).collect();
    for second in 0..SECONDS {
        machines.iter_mut().for_each(|machine| machine.live(second));
        export.pass(second);
        if second % 7 == 0 {
            // Every other time not before something has left.
            let wanted = if second % 2 == 0 {
                receiver.request_count() + 1
            } else {
                0
            };
            receiver.wait(Duration::from_millis(20), |journal| {
                journal.requests.len() >= wanted
            });
            export.stop();
            receiver.sender_restarted();
            export.push();
        }
    }
    export.end(machines, SECONDS);
    assert_all(&receiver, &mut export, &expected_of(&BOTH, SECONDS));
    assert_eq!(receiver.repeat_count(), 0);
}

/// What was begun and did not leave, as the sender was stopped just then, leaves once.
#[test]
fn a_first_request_that_never_left_leaves_once_after_the_start() {
    for stop_after_us in (0..2_000).step_by(100) {
        let receiver = Receiver::start();
        let mut export = Export::start(destination(&receiver.url()));
        export.stop();
        let expected = a_minute(&export, &BOTH);
        export.push();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(stop_after_us) {
            std::hint::spin_loop();
        }
        export.stop();
        receiver.sender_restarted();
        export.push();
        assert_all(&receiver, &mut export, &expected);
        assert_eq!(receiver.repeat_count(), 0, "stopped after {stop_after_us} µs");
    }
}

/// Another server under the same name goes on where the one before was left.
#[test]
fn a_destination_that_moves_goes_on_at_the_new_place() {
    let (first, second) = (Receiver::start(), Receiver::start());
    let mut export = Export::start(destination(&first.url()));
    let mut machines: Vec<_> = BOTH.iter().map(|name| export.machine(name)).collect();
    export.live(&mut machines, 0..30);
    assert!(first.wait(PATIENCE, |journal| journal.sample_count >= 20));
    export.stop();
    export.push_to(Destination {
        batch_samples: 7,
        deadline: Duration::from_secs(3),
        ..destination(&second.url())
    });
    export.live(&mut machines, 30..SECONDS);
    export.end(machines, SECONDS);
    let expected = expected_of(&BOTH, SECONDS);
    let at_first = first.sample_count();
    assert!(second.wait(PATIENCE, |journal| journal.sample_count + at_first
        >= count(&expected)));
    export.stop();
    first.assert_clean();
    second.assert_clean();
    let mut both = first.samples();
    for (labels, samples) in second.samples() {
        both.entry(labels).or_default().extend(samples);
    }
    assert_samples(&both, &expected);
}

/// What is already written down leaves as it was; everything behind it as it is wanted now.
#[test]
fn labels_that_are_new_are_on_what_leaves_from_now_on() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines = vec![export.machine("vm-0")];
    export.live(&mut machines, 0..30);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= 10));
    export.stop();
    export.push_to(Destination {
        external_labels: vec![("dc".into(), "one".into())],
        ..destination(&receiver.url())
    });
    export.live(&mut machines, 30..SECONDS);
    export.end(machines, SECONDS);
    let expected = expected_of(&["vm-0"], SECONDS);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected)));
    export.stop();
    receiver.assert_clean();
    let mut found = Samples::new();
    let all = receiver.samples();
    assert!(
        all.keys()
            .any(|labels| labels.iter().any(|label| label.0 == "dc"))
    );
    // Those without the label come first: "dc" is greater than "__name__".
    for with in [false, true] {
        for (labels, samples) in &all {
            let mut plain = labels.clone();
            plain.retain(|label| label.0 != "dc");
            if (plain.len() < labels.len()) == with {
                found.entry(plain).or_default().extend(samples);
            }
        }
    }
    assert_samples(&found, &expected);
}

/// Rows of five minutes instead of ten seconds: the series are the same, so what is older than their newest sample stays.
#[test]
fn a_destination_that_wants_another_tier_begins_behind_what_it_has() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines = vec![export.machine("vm-0")];
    export.live(&mut machines, 0..425);
    let counter = vec![
        ("__name__".to_owned(), "counter_total".to_owned()),
        ("instance".to_owned(), "vm-0".to_owned()),
    ];
    let has_counters = |wanted: usize| {
        receiver.wait(PATIENCE, |journal| {
            let samples = journal.samples();
            samples
                .get(&counter)
                .is_some_and(|samples| samples.len() >= wanted)
        })
    };
    // A 0, and windows up to second 410 at least.
    assert!(has_counters(42));
    export.stop();
    let before = receiver.samples();
    export.push_to(Destination {
        tier: 2,
        ..destination(&receiver.url())
    });
    export.live(&mut machines, 425..1_300);
    let wanted = before[&counter].len() + 3;
    assert!(has_counters(wanted));
    let tally = export.stop();
    receiver.assert_clean();
    assert!(tally.samples_refused.is_empty(), "{tally:?}");
    let after = receiver.samples();
    let new = &after[&counter][before[&counter].len()..];
    let start_s = rondo_tests::simulation::START / 1_000_000_000;
    let expected: Vec<(i64, u64)> = [600, 900, 1_200]
        .map(|second| {
            (
                ((start_s + second) * 1_000).cast_signed(),
                (world::counter(second - 1) as f64).to_bits(),
            )
        })
        .to_vec();
    assert_eq!(new, expected);
    // And back: nothing twice.
    export.push_to(destination(&receiver.url()));
    export.live(&mut machines, 1_300..1_400);
    assert!(has_counters(wanted + 18));
    export.stop();
    receiver.assert_clean();
    let last = receiver.samples()[&counter].clone();
    let stamps: Vec<i64> = last[wanted..].iter().map(|(stamp, _)| *stamp).collect();
    // The newest window may not be final yet.
    let expected: Vec<i64> = (121..121 + stamps.len().cast_signed() as i64)
        .map(|window| (start_s.cast_signed() + window * 10) * 1_000)
        .collect();
    assert_eq!(stamps, expected);
}

/// The sender of a collector whose journal was made into that.
fn with_journal(change: impl FnOnce(&mut Vec<u8>)) -> (Receiver, Export, Result<(), SenderError>) {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines = vec![export.machine("vm-0")];
    export.live(&mut machines, 0..30);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= 10));
    export.stop();
    let mut bytes = std::fs::read(export.journal()).unwrap();
    change(&mut bytes);
    std::fs::write(export.journal(), &bytes).unwrap();
    let started = export.another(&Arc::new(destination(&receiver.url())));
    let started = started.map(|sender| export.sender = Some(sender));
    if started.is_ok() {
        export.live(&mut machines, 30..SECONDS);
        export.end(machines, SECONDS);
    }
    (receiver, export, started)
}

/// To begin anew without a word would send what the server has; to lose somebody's file would be worse.
#[test]
fn a_file_that_is_no_journal_is_left_alone_and_named() {
    let (_, export, started) = with_journal(|bytes| *bytes = b"notes of somebody".to_vec());
    let error = started.unwrap_err().to_string();
    assert!(
        error.contains("test.journal is no journal") && error.contains("move it away"),
        "{error}"
    );
    assert_eq!(std::fs::read(export.journal()).unwrap(), b"notes of somebody");
}

#[test]
fn a_journal_that_is_damaged_at_its_beginning_is_an_error() {
    let (_, _, started) = with_journal(|bytes| bytes[30] ^= 1);
    let error = started.unwrap_err().to_string();
    assert!(
        error.contains("test.journal is damaged") && error.contains("move it away"),
        "{error}"
    );
}

/// As a power cut leaves it: what the lost records stood for leaves once more, which a server refuses or takes as repeats, and
/// then it goes on.
#[test]
fn a_journal_that_lost_its_end_goes_on_from_where_it_is_whole() {
    let mut lost = 0;
    let (receiver, mut export, started) = with_journal(|bytes| {
        lost = bytes.len() / 3;
        bytes.truncate(bytes.len() - lost);
    });
    started.unwrap();
    assert!(lost > 0);
    let expected = expected_of(&["vm-0"], SECONDS);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected)));
    export.stop();
    assert_samples(&receiver.samples(), &expected);
    // Old samples came again; no other rule was broken.
    let others: Vec<String> = receiver
        .violations()
        .into_iter()
        .filter(|rule| !rule.contains(": a sample of "))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

const CHILD: &str = "RONDO_TEST_CHILD";

/// From now on writes to files fail from this byte on.
fn limit_files(bytes: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(hard), hard).unwrap();
}

/// Nothing leaves that is not written down; once there is room again all of it leaves, once.
#[test]
fn a_full_disk_stops_a_sender_and_loses_nothing() {
    const NAME: &str = "a_full_disk_stops_a_sender_and_loses_nothing";
    if std::env::var_os(CHILD).is_some() {
        return on_a_full_disk();
    }
    // Else the signal would end it before EFBIG is returned.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat();
    assert!(output.status.success() && text.contains("all is there"), "{text}");
}

fn on_a_full_disk() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines: Vec<_> = BOTH.iter().map(|name| export.machine(name)).collect();
    export.live(&mut machines, 0..25);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= 2 * 13));
    for (room, seconds) in [(10, 25..45), (400, 45..SECONDS)] {
        // In the middle of a record of the next batch, or of one of those behind it.
        limit_files(std::fs::metadata(export.journal()).unwrap().len() + room);
        for second in seconds {
            machines.iter_mut().for_each(|machine| machine.live(second));
            // The store has no room either.
            export
                .collector
                .write()
                .unwrap()
                .pass(export.host.at(second), true);
            export.sender.as_ref().unwrap().wake();
        }
        let is_journal = |tally: &Tally| {
            tally
                .problem
                .as_ref()
                .is_some_and(|problem| problem.contains("journal"))
        };
        assert!(export.wait(PATIENCE, is_journal), "{:?}", export.tally());
        let problem = export.tally().problem.unwrap();
        assert!(problem.contains("File too large"), "{problem}");
        let left = receiver.request_count();
        for _ in 0..20 {
            export.sender.as_ref().unwrap().wake();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(receiver.request_count(), left);
        limit_files(u64::MAX);
    }
    export.end(machines, SECONDS);
    let expected = expected_of(&BOTH, SECONDS);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected)));
    // And what was written down is right.
    export.stop();
    export.push();
    assert!(!receiver.wait(Duration::from_millis(100), |journal| journal.repeat_count > 0));
    let tally = assert_all(&receiver, &mut export, &expected);
    assert_eq!((tally.samples_sent, receiver.repeat_count()), (0, 0));
    println!("all is there");
}
