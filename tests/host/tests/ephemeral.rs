//! Benchmark C in small: the whole of it runs, its figures agree with each other, and it leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::{Process, all_processes};
use rondo_host::ephemeral::kind::Kind;
use rondo_host::ephemeral::machine::Heard;
use rondo_tests::skip::{has, skip};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether its tools are there; says so aloud if not.
fn can_run(test: &str) -> bool {
    let missing = ["prometheus", "setpriv"].into_iter().find(|tool| !has(tool));
    if let Some(tool) = missing {
        skip(test, &format!("there is no {tool}"));
    }
    missing.is_none()
}

fn benchmark() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-ephemeral"));
    command.args(["--rondo", env!("CARGO_BIN_EXE_rondo-of-tests")]);
    command.args(["--vmm", env!("CARGO_BIN_EXE_rondo-vmm-of-tests")]);
    command
}

/// No figure is asserted that a busy machine could spoil, but for what rondo promises: every second, and exact totals.
#[test]
fn the_whole_in_small_agrees_with_itself() {
    const TEST: &str = "the_whole_in_small_agrees_with_itself";
    if !can_run(TEST) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (page, plot) = (
        directory.path().join("page.md"),
        directory.path().join("plot.svg"),
    );
    std::fs::write(&page, "<!-- begin: ephemeral -->\n<!-- end: ephemeral -->\n").unwrap();
    let mut command = benchmark();
    command.args(["--lives", "3,6", "--machines", "4", "-o", "json", "--page"]);
    let output = command.arg(&page).arg("--plot").arg(&plot).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    if said.contains("without guests") {
        skip(
            TEST,
            &format!(
                "no guest was part of it: {}",
                said.lines().next().unwrap_or_default()
            ),
        );
    }

    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lives = outcome["lives"].as_array().unwrap();
    assert_eq!(lives.len(), 8);
    for life in lives {
        let machine = &life["machine"];
        let number = |value: &Value| value.as_f64().unwrap();
        let [rondo, scrapes @ ..] = &life["captured"].as_array().unwrap()[..] else {
            panic!("{life}");
        };
        let ticks = machine["ticks"].as_array().unwrap().len();
        assert!(ticks > 0 && number(&machine["exits"]) > 0.0, "{life}");
        assert_eq!(rondo["points"], ticks, "{life}");
        for total in ["increase", "last"] {
            assert_eq!(number(&rondo[total]), number(&machine["exits"]), "{life}");
        }

        assert_eq!(scrapes.len(), 6);
        let lived_s = (number(&machine["ended_ms"]) - number(&machine["born_ms"])) / 1e3;
        for (scrape, interval_s) in scrapes.iter().zip([1.0, 1.0, 15.0, 15.0, 30.0, 30.0]) {
            let points = number(&scrape["points"]);
            assert!(points <= lived_s / interval_s + 1.0, "{life}");
            // A scrape before the first tick has totals, but no point yet.
            assert!(points == 0.0 || scrape["last"].is_number(), "{life}");
            assert!(points < 2.0 || scrape["increase"].is_number(), "{life}");
            assert_eq!(points > 0.0, scrape["seen_after_s"].is_number(), "{life}");
            // It may have seen all, but not more.
            let last = scrape["last"].as_f64().unwrap_or(0.0);
            assert!(last <= number(&machine["exits"]), "{life}");
        }
    }
    let each_second = lives
        .iter()
        .map(|life| life["captured"][1]["points"].as_u64().unwrap());
    assert!(
        each_second.sum::<u64>() > 0,
        "Prometheus has scraped nothing: {outcome}"
    );

    let text = std::fs::read_to_string(&page).unwrap();
    for expected in [
        "Machines of 3 s",
        "Machines of 6 s",
        "rondo, 1 s",
        "Prometheus, 30 s, announced",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let plot = std::fs::read_to_string(plot).unwrap();
    assert!(plot.contains("<svg") && plot.contains("rondo, 1 s"));
}

/// Processes that one started, and theirs.
fn offspring(pid: i32) -> Vec<Process> {
    let all: Vec<Process> = all_processes().unwrap().filter_map(Result::ok).collect();
    let mut found = vec![pid];
    loop {
        let more = all.iter().filter(|process| {
            let parent = process.stat().map_or(0, |stat| stat.ppid);
            found.contains(&parent) && !found.contains(&process.pid)
        });
        let more: Vec<i32> = more.map(|process| process.pid).collect();
        if more.is_empty() {
            return all
                .into_iter()
                .filter(|process| process.pid != pid && found.contains(&process.pid))
                .collect();
        }
        found.extend(more);
    }
}

/// What follows an argument in the command lines of processes.
fn argument(processes: &[Process], name: &str) -> Option<PathBuf> {
    processes.iter().find_map(|process| {
        let arguments = process.cmdline().ok()?;
        let index = arguments.iter().position(|argument| argument == name)?;
        arguments.get(index + 1).map(PathBuf::from)
    })
}

/// People stop benchmarks that take minutes.
#[test]
fn a_signal_ends_all_that_was_started_and_removes_the_bus() {
    if !can_run("a_signal_ends_all_that_was_started_and_removes_the_bus") {
        return;
    }
    let mut command = benchmark();
    command.args(["--lives", "60", "--machines", "2", "--without-guests"]);
    let child = command
        .args(["--at-once", "200"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().cast_signed();
    let start = Instant::now();
    let started = loop {
        let started = offspring(pid);
        // Machines start when they have been announced for long enough.
        if argument(&started, "--instance").is_some() {
            break started;
        }
        assert!(start.elapsed() < PATIENCE, "no machine starts");
        std::thread::sleep(Duration::from_millis(50));
    };
    let bus = argument(&started, "--bus").unwrap();
    assert!(
        bus.is_dir() && started.len() >= 3,
        "a collector, a Prometheus, a machine"
    );
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("stopped by a signal"),
        "{said}"
    );
    assert!(!bus.exists(), "{}", bus.display());
    for process in started {
        assert!(!process.is_alive(), "{:?} goes on", process.cmdline());
    }
}

/// Where there is no KVM, this is what all figures come from.
#[test]
fn a_machine_without_a_guest_says_and_records_the_same() {
    if !has("setpriv") {
        return skip(
            "a_machine_without_a_guest_says_and_records_the_same",
            "there is no setpriv",
        );
    }
    let bus = tempfile::tempdir().unwrap();
    let kind = Kind::WithoutGuest {
        program: Path::new(env!("CARGO_BIN_EXE_bench-guestless")).to_owned(),
        why: "as asked".to_owned(),
    };
    let mut child = kind.start(bus.path(), "vm-1", 2).unwrap();
    let heard = Heard::listen(child.stderr.take().unwrap(), |_| ()).unwrap();
    assert!(child.wait().unwrap().success());
    let machine = heard.truth("vm-1", 2, (0, 2_000)).unwrap();
    assert!(machine.exits > 0 && machine.guest_exits.is_none(), "{machine:?}");
    let seconds = machine.ticks.len() as u64 + machine.missed_ticks;
    assert!(seconds >= 2, "{machine:?}");
}
