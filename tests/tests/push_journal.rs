//! What a sender knows of its destination, through stops, other settings, damage and full disks: each sample arrives once, and
//! what was on its way goes again to the byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rondo_collector::export::remote_write::{Destination, Sender, Tally};
use rondo_tests::export::{Export, Samples, assert_samples, count, destination, expected_of};
use rondo_tests::receiver::{Answer, Receiver};
use rondo_tests::simulation::world;
use std::path::Path;
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

/// A collector that pushes again after that was done to its journal, while its machine lives on.
fn with_journal(change: impl FnOnce(&Path)) -> (Receiver, Export) {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut machines = vec![export.machine("vm-0")];
    export.live(&mut machines, 0..30);
    assert!(receiver.wait(PATIENCE, |journal| journal.sample_count >= 10));
    export.stop();
    change(&export.journal());
    export.push();
    export.live(&mut machines, 30..SECONDS);
    export.end(machines, SECONDS);
    (receiver, export)
}

fn change_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, &bytes).unwrap();
}

/// What is wrong, once something is.
#[track_caller]
fn problem(export: &Export) -> String {
    assert!(export.wait(PATIENCE, |tally| tally.problem.is_some()));
    export.tally().problem.unwrap()
}

/// To begin anew without a word would send what the server has; to lose somebody's file would be worse.
#[test]
fn a_file_that_is_no_journal_is_left_alone_and_named() {
    let (receiver, export) = with_journal(|path| std::fs::write(path, "notes of somebody").unwrap());
    let problem = problem(&export);
    assert!(
        problem.contains("test.journal is no journal") && problem.contains("move it away"),
        "{problem}"
    );
    assert_eq!(std::fs::read(export.journal()).unwrap(), b"notes of somebody");
    assert!(export.tally().requests.is_empty());
    receiver.assert_clean();
}

#[test]
fn a_journal_that_is_damaged_at_its_beginning_is_a_problem() {
    let (_, export) = with_journal(|path| change_bytes(path, |bytes| bytes[30] ^= 1));
    let problem = problem(&export);
    assert!(
        problem.contains("test.journal is damaged") && problem.contains("move it away"),
        "{problem}"
    );
}

/// Nobody has to be at the other end of a pipe; the sender has to stop when it is told to nevertheless.
#[test]
fn a_pipe_in_the_place_of_a_journal_is_not_waited_for() {
    let (_, mut export) = with_journal(|path| {
        std::fs::remove_file(path).unwrap();
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    let problem = problem(&export);
    assert!(problem.contains("test.journal is no journal"), "{problem}");
    let begin = Instant::now();
    export.stop();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// The collector records and pushes to all others, and once the journal is out of the way, there, too.
#[test]
fn a_journal_that_cannot_be_used_keeps_only_its_own_destination_from_leaving() {
    let (receiver, broken) = (Receiver::start(), Receiver::start());
    let mut export = Export::start(destination(&receiver.url()));
    let path = export.exports().join("broken.journal");
    std::fs::create_dir_all(&path).unwrap();
    let other = export.another(&Arc::new(Destination {
        name: "broken".into(),
        ..destination(&broken.url())
    }));
    let expected = a_minute(&export, &BOTH);
    assert_all(&receiver, &mut export, &expected);
    assert!(other.tallies().get().problem.is_some());
    assert_eq!(broken.request_count(), 0);
    std::fs::remove_dir(&path).unwrap();
    assert!(broken.wait(PATIENCE, |journal| journal.sample_count >= count(&expected)));
    other.tell_to_stop();
    other.wait(Instant::now() + PATIENCE);
    broken.assert_clean();
    assert_samples(&broken.samples(), &expected);
}

/// The directory cannot be made, as a file has its name.
#[test]
fn a_file_in_the_place_of_the_journals_is_a_problem_and_no_more() {
    let mut export = Export::start(destination("http://127.0.0.1:1/"));
    export.stop();
    // It may have been stopped before it was there.
    let _ = std::fs::remove_dir_all(export.exports());
    std::fs::write(export.exports(), "").unwrap();
    export.push();
    let problem = problem(&export);
    assert_eq!(problem.matches("File exists").count(), 1, "{problem}");
}

/// Settings that change while a request hangs: nobody waits for it but the sender that comes after, which then knows what became
/// of it.
#[test]
fn a_sender_begins_when_the_last_request_of_the_one_before_is_through() {
    let receiver = Receiver::start();
    let slow = Duration::from_millis(450);
    receiver.script([Answer::Slow(slow), Answer::Slow(slow)]);
    let mut export = Export::start(destination(&receiver.url()));
    export.stop();
    let expected = a_minute(&export, &BOTH);
    export.push();
    assert!(receiver.wait(PATIENCE, |journal| journal.requests.len() == 1));
    let begin = Instant::now();
    // Twice: the one between never gets its turn, and still nobody overtakes.
    for deadline_s in [3, 4] {
        let next = Destination {
            deadline: Duration::from_secs(deadline_s),
            ..destination(&receiver.url())
        };
        let before = export.sender.take();
        let collector = export.collector.clone();
        let sender = Sender::start(Arc::new(next), &export.exports(), collector, before);
        export.sender = Some(sender);
    }
    assert!(
        begin.elapsed() < Duration::from_millis(200),
        "{:?}",
        begin.elapsed()
    );
    let tally = assert_all(&receiver, &mut export, &expected);
    let requests = receiver.requests();
    let pause = requests[1].arrived - requests[0].arrived;
    assert!(
        pause >= slow - Duration::from_millis(20),
        "two at once: {pause:?}"
    );
    assert_eq!(receiver.repeat_count(), 0, "what had arrived went again");
    assert!(tally.samples_sent > 0 && tally.retries == 0, "{tally:?}");
}

/// As a power cut leaves it: what the lost records stood for leaves once more, which a server refuses or takes as repeats, and
/// then it goes on.
#[test]
fn a_journal_that_lost_its_end_goes_on_from_where_it_is_whole() {
    let mut lost = 0;
    let (receiver, mut export) = with_journal(|path| {
        change_bytes(path, |bytes| {
            lost = bytes.len() / 3;
            bytes.truncate(bytes.len() - lost);
        });
    });
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
