//! `rondo doctor`, with trouble made for real.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machines;

use assert_cmd::cargo::cargo_bin;
use machines::{dead, skip};
use rondo_collector::collect::lock::BusLock;
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A bus as it should be.
fn bus() -> TempDir {
    let memory = Path::new("/dev/shm");
    let bus = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap();
    chmod(bus.path(), 0o1777);
    bus
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The doctor, with a store of its own and nothing from the environment.
fn doctor(bus: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("rondo"));
    for variable in [
        "RONDO_BUS",
        "RONDO_STORE",
        "RONDO_CONFIG",
        "RONDO_LISTEN",
        "RONDO_KEEP",
        "RONDO_REMOTE_WRITE",
    ] {
        command.env_remove(variable);
    }
    command.args(["doctor", "-o", "json", "--bus"]).arg(bus);
    command
        .args(["--store", bus.join("store").to_str().unwrap()])
        .args(arguments);
    // Nobody answers there.
    command
        .env("RONDO_LISTEN", "127.0.0.1:1")
        .env("RONDO_STORE_BUDGET", "16MiB");
    command
}

struct Diagnosis {
    code: i32,
    findings: Vec<Value>,
}

fn diagnose(bus: &Path, arguments: &[&str]) -> Diagnosis {
    let output = doctor(bus, arguments).output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let findings = json["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("{stderr}"))
        .clone();
    let code = output.status.code().unwrap();
    Diagnosis { code, findings }
}

impl Diagnosis {
    fn of(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {:?}", self.findings))
    }

    fn level(&self, check: &str) -> &str {
        self.of(check)["level"].as_str().unwrap()
    }

    fn text(&self, check: &str) -> &str {
        self.of(check)["text"].as_str().unwrap()
    }
}

fn machine(bus: &Path, instance: &str, interval: Duration) -> Writer {
    let schema = SchemaConfig::new("vmm").tiers(&[TierConfig::new(interval, 600)]);
    let mut writer = Writer::builder(instance)
        .bus(bus)
        .schema(schema)
        .create()
        .unwrap();
    writer.tick();
    writer
}

#[test]
fn a_good_bus_with_a_collector_has_no_failure() {
    let bus = bus();
    std::fs::create_dir(bus.path().join("store")).unwrap();
    let _lock = BusLock::take(bus.path()).unwrap();
    let _writer = machine(bus.path(), "vm-1", Duration::from_secs(1));
    let diagnosis = diagnose(bus.path(), &[]);
    assert_eq!(diagnosis.code, 0, "{:?}", diagnosis.findings);
    for check in [
        "bus-directory",
        "bus-space",
        "slab-permissions",
        "slab-format",
        "slab-stuck",
        "slab-ended",
        "clock",
        "collector",
        "store",
    ] {
        assert_eq!(diagnosis.level(check), "ok", "{}", diagnosis.text(check));
    }
    assert!(
        diagnosis
            .text("collector")
            .contains(&std::process::id().to_string())
    );
    // It holds the bus, but does not listen.
    assert_eq!(diagnosis.level("collector-health"), "warn");
}

#[test]
fn each_finding_that_is_not_ok_names_what_mends_it() {
    let bus = bus();
    chmod(bus.path(), 0o777);
    let diagnosis = diagnose(bus.path(), &[]);
    assert_eq!((diagnosis.code, diagnosis.level("bus-directory")), (1, "fail"));
    for finding in &diagnosis.findings {
        assert_eq!(finding["level"] == "ok", finding["mend"].is_null(), "{finding}");
    }
    let mend = diagnosis.of("bus-directory")["mend"].as_str().unwrap();
    assert!(Command::new("sh").args(["-c", mend]).status().unwrap().success());
    assert_eq!(diagnose(bus.path(), &[]).level("bus-directory"), "ok");
}

#[test]
fn a_missing_bus_fails() {
    let parent = bus();
    let diagnosis = diagnose(&parent.path().join("none"), &[]);
    assert_eq!((diagnosis.code, diagnosis.level("bus-directory")), (1, "fail"));
    assert!(diagnosis.text("bus-directory").contains("does not exist"));
}

#[test]
fn a_silent_machine_that_holds_its_lock_is_stuck() {
    let bus = bus();
    let _silent = machine(bus.path(), "silent", Duration::from_millis(20));
    let _slow = machine(bus.path(), "slow", Duration::from_secs(60));
    std::thread::sleep(Duration::from_millis(400));
    let diagnosis = diagnose(bus.path(), &[]);
    assert_eq!(diagnosis.level("slab-stuck"), "warn");
    let text = diagnosis.text("slab-stuck");
    assert!(
        text.starts_with("1 machines") && text.contains("silent.vmm."),
        "{text}"
    );
}

#[test]
fn dead_slabs_that_nobody_collects_are_found() {
    let bus = bus();
    dead(bus.path(), "vm-1", Duration::from_secs(100));
    assert_eq!(diagnose(bus.path(), &[]).level("slab-ended"), "ok");
    dead(bus.path(), "vm-2", Duration::from_secs(200));
    let diagnosis = diagnose(bus.path(), &[]);
    assert_eq!(
        (diagnosis.level("slab-ended"), diagnosis.level("collector")),
        ("warn", "warn")
    );
    assert!(
        diagnosis.text("slab-ended").contains("vm-2"),
        "{}",
        diagnosis.text("slab-ended")
    );
    // A collector that keeps slabs for longer is not behind.
    let config = bus.path().join("collector.toml");
    std::fs::write(&config, "keep = '10m'").unwrap();
    let diagnosis = diagnose(bus.path(), &["--config", config.to_str().unwrap()]);
    assert_eq!(diagnosis.level("slab-ended"), "ok");
}

#[test]
fn refused_files_are_named_with_their_reason() {
    let bus = bus();
    std::fs::write(bus.path().join("junk.slab"), "junk").unwrap();
    let diagnosis = diagnose(bus.path(), &[]);
    assert_eq!(diagnosis.level("slab-format"), "warn");
    assert!(diagnosis.text("slab-format").contains("junk.slab"));
}

/// Answers one request.
fn serve(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        let count = stream.read(&mut request).unwrap();
        assert!(request[..count].starts_with(b"GET /metrics/health HTTP/1.1\r\n"));
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn a_collector_is_asked_how_far_behind_it_is() {
    let bus = bus();
    for (status, body, level, code) in [
        (
            "200 OK",
            r#"{"status":"healthy","problems":[],"lag_seconds":0.02}"#,
            "ok",
            0,
        ),
        ("200 OK", r#"{"problems":[],"lag_seconds":70}"#, "fail", 1),
        (
            "503 Service Unavailable",
            r#"{"problems":["the disk is full"],"lag_seconds":0}"#,
            "fail",
            1,
        ),
        ("200 OK", "hello", "fail", 1),
        ("404 Not Found", "", "fail", 1),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        let diagnosis = diagnose(bus.path(), &["--url", &serve(answer)]);
        assert_eq!(
            (diagnosis.level("collector-health"), diagnosis.code),
            (level, code),
            "{body}"
        );
        if status.starts_with("503") {
            assert!(diagnosis.text("collector-health").contains("the disk is full"));
        }
    }
    let diagnosis = diagnose(bus.path(), &["--url", "HTTPS://127.0.0.1:1"]);
    let text = diagnosis.text("collector-health");
    assert!(text.contains("does not speak TLS"), "{text}");
    let diagnosis = diagnose(bus.path(), &["--url", "http://127.0.0.1:1"]);
    assert_eq!((diagnosis.level("collector-health"), diagnosis.code), ("fail", 1));
}

/// On a tmpfs of its own, in a mount namespace of its own: nobody else sees it, and it goes with the process.
#[test]
fn a_destination_whose_password_is_missing_empty_or_open_is_found() {
    let (bus, files) = (bus(), tempfile::tempdir().unwrap());
    let password = files.path().join("password");
    let config = files.path().join("rondo.toml");
    let auth = format!(
        "basic_auth = {{user = 'a', password_file = '{}'}}",
        password.display()
    );
    std::fs::write(
        &config,
        format!("[[remote_write]]\nname = 'away'\nurl = 'http://127.0.0.1:1/'\n{auth}"),
    )
    .unwrap();
    let look = || diagnose(bus.path(), &["--config", config.to_str().unwrap()]);
    let missing = look();
    assert_eq!((missing.level("remote-write"), missing.code), ("fail", 1));
    assert!(missing.text("remote-write").contains("nothing is sent to away"));
    std::fs::write(&password, "").unwrap();
    assert!(look().text("remote-write").contains("it is empty"));
    std::fs::write(&password, "secret").unwrap();
    chmod(&password, 0o644);
    assert_eq!(look().level("remote-write"), "warn");
    chmod(&password, 0o640);
    assert_eq!(look().level("remote-write"), "ok");
}

#[test]
fn a_full_tmpfs_fails_and_a_small_one_warns() {
    const NAME: &str = "a_full_tmpfs_fails_and_a_small_one_warns";
    let bus = bus();
    let path = bus.path().to_str().unwrap();
    let script = r#"
        mount -t tmpfs -o size=1500k,mode=1777 rondo "$BUS" || exit 77
        for name in vm-1 vm-2; do
            "$RONDO" demo-machine --instance "$name" --seconds 30 --bus "$BUS" 2>/dev/null &
            machines="$machines $!"
        done
        while [ "$(ls "$BUS" | grep -c '^vm')" -lt 2 ]; do sleep 0.05; done
        "$@" > "$OUT/small"
        head -c 1500000 /dev/zero > "$BUS/filler" 2>/dev/null
        "$@" > "$OUT/full"
        kill $machines
    "#;
    let out = tempfile::tempdir().unwrap();
    let doctor = doctor(bus.path(), &[]);
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "timeout",
        "30",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    command.arg(doctor.get_program()).args(doctor.get_args());
    command.envs([("BUS", path), ("OUT", out.path().to_str().unwrap())]);
    command
        .env("RONDO", cargo_bin("rondo"))
        .env("RONDO_LISTEN", "none");
    let Ok(output) = command.output() else {
        return skip(NAME, "no unshare");
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || stderr.contains("unshare: ") {
        return skip(NAME, stderr.trim());
    }
    let read = |name: &str| -> Diagnosis {
        let text = std::fs::read_to_string(out.path().join(name)).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{stderr}"));
        let findings = json["findings"].as_array().unwrap().clone();
        Diagnosis { code: 0, findings }
    };
    let small = read("small");
    assert_eq!(
        (small.level("bus-memory"), small.level("bus-space")),
        ("ok", "ok")
    );
    let full = read("full");
    assert_eq!(full.level("bus-space"), "fail", "{}", full.text("bus-space"));
    assert!(
        full.text("bus-space")
            .contains("the next machine runs without metrics")
    );
}
