//! `rondo gc`: what goes, and what must not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machines;

use assert_cmd::Command;
use machines::dead;
use rondo_writer::Writer;
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn gc(bus: &Path, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = Command::cargo_bin("rondo").unwrap();
    command
        .env("RONDO_BUS", bus)
        .args(["gc", "-o", "json"])
        .args(arguments);
    let output = command.output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), json, stderr)
}

fn writer(bus: &Path, instance: &str) -> (Writer, PathBuf) {
    let mut writer = Writer::builder(instance).bus(bus).create().unwrap();
    writer.tick();
    let path = writer.paths().next().unwrap().to_owned();
    (writer, path)
}

fn verdicts(json: &Value) -> Vec<(String, String)> {
    let files = json["files"].as_array().unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    files
        .iter()
        .map(|row| (text(row, "reason"), text(row, "verdict")))
        .collect()
}

#[test]
fn the_live_stay_and_the_rest_goes_only_when_asked() {
    let bus = tempfile::tempdir().unwrap();
    let (_live, live) = writer(bus.path(), "vm-1");
    let (closed, closed_path) = writer(bus.path(), "vm-2");
    closed.close();
    let dead = dead(bus.path(), "vm-3", Duration::from_secs(3_600));
    let leftover = bus.path().join(".vm-4.vmm.0a1b2c3d.slab.4711");
    File::create(&leftover)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    std::fs::write(bus.path().join("junk.slab"), "junk").unwrap();

    let (code, json, stderr) = gc(bus.path(), &[]);
    assert_eq!(code, 0);
    assert!(
        stderr.contains("left alone: ") && stderr.contains("junk.slab"),
        "{stderr}"
    );
    assert_eq!(
        (&json["taken_count"], &json["removed_count"]),
        (&3.into(), &0.into())
    );
    assert!(dead.exists() && closed_path.exists() && leftover.exists());

    let (code, json, _) = gc(bus.path(), &["--remove"]);
    assert_eq!((code, &json["removed_count"]), (0, &3.into()), "{json}");
    assert!(!dead.exists() && !closed_path.exists() && !leftover.exists());
    assert!(live.exists() && bus.path().join("junk.slab").exists());
    assert_eq!(gc(bus.path(), &["--remove"]).1["taken_count"], 0);
}

#[test]
fn what_ended_of_late_is_left_to_a_collector_on_the_bus() {
    let bus = tempfile::tempdir().unwrap();
    let old = dead(bus.path(), "vm-1", Duration::from_secs(3_600));
    let young = dead(bus.path(), "vm-2", Duration::from_secs(100));
    let lock = rondo_collector::collect::lock::BusLock::take(bus.path()).unwrap();
    let (_, json, _) = gc(bus.path(), &["--remove"]);
    assert_eq!(json["collector"], true);
    let row = |reason: &str, verdict: &str| (reason.to_owned(), verdict.to_owned());
    assert_eq!(
        verdicts(&json),
        [row("dead", "take"), row("dead", "left-to-collector")]
    );
    assert!(!old.exists() && young.exists());
    let mut command = Command::cargo_bin("rondo").unwrap();
    let table = command.arg("gc").env("RONDO_BUS", bus.path()).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("1 that ended less than 2m ago are left to it"),
        "{table}"
    );
    assert_eq!(gc(bus.path(), &["--force"]).1["taken_count"], 1);
    drop(lock);
    assert_eq!(gc(bus.path(), &["--remove"]).1["removed_count"], 1);
}

#[test]
fn only_the_oldest_go_to_free_so_much_and_what_cannot_be_freed_is_said() {
    let bus = tempfile::tempdir().unwrap();
    let oldest = dead(bus.path(), "vm-1", Duration::from_secs(300));
    let older = dead(bus.path(), "vm-2", Duration::from_secs(200));
    let size = std::fs::metadata(&older).unwrap().len();
    let free = gc(bus.path(), &[]).1["free_bytes"].as_u64().unwrap();
    // Others use this file system too: half a slab more than is free now is within one.
    let wanted = (free + size / 2).to_string();
    let (code, json, _) = gc(bus.path(), &["--min-free", &wanted]);
    if json["taken_count"] == 1 {
        let row = |verdict: &str| ("dead".to_owned(), verdict.to_owned());
        assert_eq!(verdicts(&json), [row("take"), row("not-needed")]);
        assert_eq!(code, 0);
    }
    let (code, json, _) = gc(bus.path(), &["--min-free", "0", "--remove"]);
    assert_eq!((code, &json["taken_count"]), (0, &0.into()));
    let (code, json, _) = gc(bus.path(), &["--min-free", "100%"]);
    assert_eq!((code, &json["taken_count"]), (1, &2.into()));
    assert!(json["short_bytes"].as_u64().unwrap() > 0);
    let (_, json, _) = gc(bus.path(), &["--older-than", "250s", "--remove"]);
    assert_eq!(json["removed_count"], 1);
    assert!(!oldest.exists() && older.exists());
}

/// A slab that says that its last interval lies ahead would otherwise never grow old.
#[test]
fn a_slab_does_not_stay_young_by_what_it_says() {
    let bus = tempfile::tempdir().unwrap();
    let (writer, path) = writer(bus.path(), "vm-1");
    let mut bytes = std::fs::read(&path).unwrap();
    writer.close();
    let live = u64::from_le_bytes(bytes[48..56].try_into().unwrap()) as usize;
    bytes[live..live + 8].copy_from_slice(&(1u64 << 62).to_le_bytes());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let hour = SystemTime::now() - Duration::from_secs(3_600);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(hour)
        .unwrap();
    assert_eq!(gc(bus.path(), &["--older-than", "50m"]).1["taken_count"], 1);
}

/// What the units in `contrib/` rest on: in a sticky directory of mode 3770, its owner may remove the slabs of other users,
/// without any capability, and a member of the group only its own.
#[test]
fn the_owner_of_the_bus_removes_slabs_of_others_and_a_member_does_not() {
    const NAME: &str = "the_owner_of_the_bus_removes_slabs_of_others_and_a_member_does_not";
    const GROUP: u32 = 64_000;
    const OWNER: u32 = 64_001;
    const MEMBER: u32 = 64_002;
    const STRANGER: u32 = 64_003;
    let rondo = assert_cmd::cargo::cargo_bin("rondo");
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    if std::os::unix::fs::chown(bus.path(), Some(OWNER), Some(GROUP)).is_err() {
        return machines::skip(NAME, "not root");
    }
    std::fs::set_permissions(bus.path(), PermissionsExt::from_mode(0o3770)).unwrap();
    let program = bus.path().join("rondo");
    std::fs::copy(&rondo, &program).unwrap();
    let run = |uid: u32, group: u32, arguments: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args([
            "--reuid",
            &uid.to_string(),
            "--regid",
            &group.to_string(),
            "--clear-groups",
            "--no-new-privs",
        ]);
        command
            .arg(&program)
            .args(arguments)
            .env("RONDO_BUS", bus.path())
            .output()
            .unwrap()
    };
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = bus.path().to_str().unwrap();
    let made = run(
        STRANGER,
        GROUP,
        &[
            "demo-machine",
            "--instance",
            "vm-1",
            "--seconds",
            "1",
            "--bus",
            path,
        ],
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let slabs = || {
        std::fs::read_dir(bus.path()).unwrap().flatten().filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "slab")
        })
    };
    let metadata = slabs().next().unwrap().metadata().unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777),
        (STRANGER, GROUP, 0o440)
    );
    let refused = run(MEMBER, GROUP, &["gc", "--remove"]);
    assert_eq!((refused.status.code(), slabs().count()), (Some(2), 1));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("as the owner of the bus directory"), "{stderr}");
    let removed = run(OWNER, GROUP, &["gc", "--remove"]);
    assert_eq!((removed.status.code(), slabs().count()), (Some(0), 0));
}

#[test]
fn a_missing_bus_is_an_error() {
    let bus = tempfile::tempdir().unwrap();
    let (code, _, stderr) = gc(&bus.path().join("none"), &[]);
    assert_eq!(code, 2);
    assert!(stderr.contains("does not exist"), "{stderr}");
}
