//! `rondo collect` as a process: how it starts, what wakes it, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machines;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; nothing here waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Collector {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    /// Where it keeps its store, unless it was told another place.
    _store: tempfile::TempDir,
}

fn start(arguments: &[&str], set_up: impl FnOnce(&mut Command)) -> Collector {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("rondo"));
    command.arg("collect").args(arguments).env("RONDO_LISTEN", "none");
    for variable in [
        "RONDO_BUS",
        "RONDO_STORE",
        "RONDO_CONFIG",
        "RONDO_LOG",
        "RONDO_REMOTE_WRITE",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(variable);
    }
    let store = tempfile::tempdir().unwrap();
    command
        .env("RONDO_STORE", store.path())
        .env("RONDO_STORE_BUDGET", "16MiB");
    command.stderr(Stdio::piped());
    set_up(&mut command);
    let mut child = command.spawn().unwrap();
    let log = child.stderr.take().map(BufReader::new);
    Collector {
        child,
        log,
        _store: store,
    }
}

impl Collector {
    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// The next line of the log that contains `text`.
    fn line_with(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let count = self.log.as_mut().unwrap().read_line(&mut line).unwrap();
            assert_ne!(count, 0, "no line with {text}:\n{seen}");
            if line.contains(text) {
                return line;
            }
            seen += &line;
        }
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Also says what systemd hears in between.
#[test]
fn sigterm_ends_it_at_once_and_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let (bus, store) = (directory.path().join("bus"), directory.path().join("store"));
    std::fs::create_dir(&bus).unwrap();
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut bytes = [0; 512];
        let count = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let wait_for = |wanted: &str| while !heard().contains(wanted) {};
    let mut collector = start(&["--bus", text(&bus), "--store", text(&store)], |command| {
        command
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "100000");
    });
    assert_eq!(heard(), "READY=1\n");
    wait_for("STATUS=0 live slabs");
    wait_for("WATCHDOG=1");
    assert!(bus.join(".collector.lock").exists());
    collector.send(Signal::SIGHUP);
    let mut message = heard();
    while !message.contains("RELOADING=1") {
        message = heard();
    }
    assert!(message.contains("MONOTONIC_USEC="), "{message}");
    wait_for("READY=1");
    let asked = Instant::now();
    collector.send(Signal::SIGTERM);
    wait_for("STOPPING=1");
    assert_eq!(collector.end().code(), Some(0));
    // It need not wait for the next second; a whole one is for a loaded machine.
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(!bus.join(".collector.lock").exists());
}

#[test]
fn a_second_collector_is_told_who_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let bus = text(directory.path());
    let mut first = start(&["--bus", bus], |_| {});
    first.line_with("collecting from");
    let deadline = Instant::now() + PATIENCE;
    while !directory.path().join(".collector.lock").exists() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut second = start(&["--bus", bus], |_| {});
    let said = second.line_with("another collector");
    let pid = first.child.id();
    assert_eq!(
        said,
        format!("rondo: another collector (pid {pid}) is on the bus {bus}\n")
    );
    assert_eq!(second.end().code(), Some(2));
    // Killed, so that nothing of it is tidied up: the bus is free all the same.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut third = start(&["--bus", bus], |_| {});
    third.line_with("collecting from");
    third.send(Signal::SIGINT);
    assert_eq!(third.end().code(), Some(0));
}

#[test]
fn a_file_with_an_unknown_key_is_refused_at_the_start_and_ignored_on_reload() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("collector.toml");
    let bus = text(directory.path());
    let arguments = ["--bus", bus, "--config", text(&config)];
    std::fs::write(&config, "# mistyped\n\nstor_budget = \"1GiB\"\n").unwrap();
    let mut refused = start(&arguments, |_| {});
    let said = refused.line_with("unknown key");
    assert!(
        said.contains("`stor_budget` at line 3; did you mean `store_budget`?"),
        "{said}"
    );
    assert_eq!(refused.end().code(), Some(2));

    let store = directory.path().join("store");
    std::fs::write(&config, format!("store = {store:?}\nkeep = \"10s\"\n")).unwrap();
    let mut collector = start(&arguments, |command| {
        command.env_remove("RONDO_STORE");
    });
    collector.line_with(&format!("into {}", text(&store)));
    std::fs::write(&config, "keep = 'soon'").unwrap();
    collector.send(Signal::SIGHUP);
    let said = collector.line_with("the old stay in force");
    assert!(
        said.contains("ERROR") && said.contains("line 1: keep: `soon`"),
        "{said}"
    );
    std::fs::write(&config, "store = \"/other\"\n").unwrap();
    collector.send(Signal::SIGHUP);
    collector.line_with("store changed, which needs a restart");
    collector.line_with("settings read again");
    collector.send(Signal::SIGTERM);
    assert_eq!(collector.end().code(), Some(0));
}

#[test]
fn a_destination_that_is_wrong_is_refused_at_the_start_and_ignored_on_reload() {
    let directory = tempfile::tempdir().unwrap();
    let bus = text(directory.path());
    let mut refused = start(
        &[
            "--bus",
            bus,
            "--remote-write",
            "http://a/",
            "--remote-write",
            "http://me:secret@b/",
        ],
        |_| {},
    );
    let said = refused.line_with("--remote-write: ");
    assert!(said.contains("basic_auth") && !said.contains("secret"), "{said}");
    assert_eq!(refused.end().code(), Some(2));

    let config = directory.path().join("collector.toml");
    std::fs::write(&config, "").unwrap();
    let mut collector = start(&["--bus", bus, "--config", text(&config)], |_| {});
    collector.line_with("collecting from");
    std::fs::write(&config, "[[remote_write]]\nurl = 'http://127.0.0.1:1/'\ntier = 9").unwrap();
    collector.send(Signal::SIGHUP);
    let said = collector.line_with("the old stay in force");
    assert!(said.contains("line 3: remote_write.tier: `9` is not"), "{said}");
    std::fs::write(&config, "[[remote_write]]\nurl = 'http://127.0.0.1:1/'").unwrap();
    collector.send(Signal::SIGHUP);
    collector.line_with("settings read again");
    collector.send(Signal::SIGTERM);
    assert_eq!(collector.end().code(), Some(0));
}

#[test]
fn the_bus_may_be_made_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let bus = directory.path().join("bus");
    let mut collector = start(&["--bus", text(&bus)], |command| {
        command.env("RONDO_LOG", "debug");
    });
    collector.line_with("waiting for the bus");
    std::fs::create_dir(&bus).unwrap();
    let writer = rondo_writer::Writer::builder("vm-1").bus(&bus).create().unwrap();
    collector.line_with("1 live slabs");
    writer.close();
    collector.line_with("0 live slabs, 1 ended");
}

/// Whoever sends a second signal does not want to wait for the end of the first.
#[test]
fn a_second_signal_ends_it_on_the_spot() {
    let directory = tempfile::tempdir().unwrap();
    let bus = directory.path().join("bus");
    std::fs::create_dir(&bus).unwrap();
    // A log that nobody takes in stops it in the middle of whatever it does, also of its end.
    let mut collector = start(&["--bus", text(&bus)], |command| {
        command.env("RONDO_LOG", "debug");
    });
    collector.line_with("collecting from");
    collector.line_with("0 live slabs");
    collector.send(Signal::SIGSTOP);
    collector.send(Signal::SIGINT);
    collector.send(Signal::SIGTERM);
    collector.send(Signal::SIGCONT);
    let code = collector.end().code();
    assert!([Some(128 + 2), Some(128 + 15)].contains(&code), "{code:?}");
}

/// SIGPIPE would end a collector whose log goes into a pipe that is closed.
#[test]
fn a_log_that_nobody_reads_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let bus = directory.path().join("bus");
    let mut collector = start(&["--bus", text(&bus)], |command| {
        command.env("RONDO_LOG", "debug");
    });
    collector.line_with("waiting for the bus");
    drop(collector.log.take());
    std::thread::sleep(Duration::from_millis(2_200));
    assert!(collector.child.try_wait().unwrap().is_none());
    collector.send(Signal::SIGTERM);
    assert_eq!(collector.end().code(), Some(0));
}

#[test]
fn an_open_door_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let bus = text(directory.path());
    let mut open = start(&["--bus", bus, "--config", "/nonexistent.toml"], |_| {});
    open.line_with("cannot read /nonexistent.toml");
    let mut open = start(&["--bus", bus], |command| {
        command.env("RONDO_LISTEN", "0.0.0.0:0");
    });
    let said = open.line_with("can read all metrics");
    assert!(said.contains("WARN") && said.contains("0.0.0.0:0"), "{said}");
}

/// Whoever put the lock's file there could hold the lock whenever no collector does.
#[test]
fn a_lock_of_another_user_is_refused_with_its_owner() {
    use rondo_collector::collect::lock::{BusLock, LockError};
    use std::os::unix::fs::chown;
    let bus = tempfile::tempdir().unwrap();
    let path = bus.path().join(".collector.lock");
    std::fs::write(&path, "").unwrap();
    if chown(&path, Some(64_001), None).is_err() {
        return machines::skip("a_lock_of_another_user_is_refused_with_its_owner", "not root");
    }
    let error = BusLock::take(bus.path()).unwrap_err();
    assert!(matches!(error, LockError::Foreign { uid: 64_001, .. }), "{error}");
    chown(bus.path(), Some(64_001), None).unwrap();
    assert!(
        BusLock::take(bus.path()).is_ok(),
        "the directory's owner may do as it likes"
    );
}
