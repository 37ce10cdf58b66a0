//! The commands as people call them: what they print, where, and how they end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use rondo_writer::{SchemaConfig, Unit, Writer};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SECOND: u64 = 1_000_000_000;

fn rondo(bus: &Path) -> Command {
    let mut command = Command::cargo_bin("rondo").unwrap();
    command.env("RONDO_BUS", bus);
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().get_output().stdout.clone()).unwrap()
}

fn stderr(command: &mut Command) -> String {
    String::from_utf8(command.assert().get_output().stderr.clone()).unwrap()
}

/// A machine with three series and five simulated seconds.
struct Machine {
    bus: TempDir,
    writer: Writer,
    path: PathBuf,
}

fn machine() -> Machine {
    let bus = tempfile::tempdir().unwrap();
    let mut writer = Writer::builder("vm-1")
        .label("tenant", "blue")
        .bus(bus.path())
        .simulated_time(100 * SECOND)
        .create()
        .unwrap();
    let mut exits = writer.counter("exits_total").label("vcpu", "0").owned().unwrap();
    let mut load = writer.gauge("load").unit(Unit::Ratio).owned().unwrap();
    let mut time = writer
        .histogram("exit_ns")
        .unit(Unit::Nanoseconds)
        .owned()
        .unwrap();
    for second in 100..105 {
        if second != 102 {
            exits.add_at(second * SECOND, second);
            load.set_at(second * SECOND, 0.5);
            time.record_at(second * SECOND, second as f64);
        }
        writer.tick_at(second * SECOND);
    }
    let path = writer.paths().next().unwrap().to_owned();
    Machine { bus, writer, path }
}

#[test]
fn ls_shows_live_and_closed_slabs_and_says_what_it_refuses() {
    let machine = machine();
    let bus = machine.bus.path();
    std::fs::write(bus.join("junk.slab"), "junk").unwrap();
    std::fs::write(bus.join(".hidden.slab"), "junk").unwrap();
    let listing = stdout(rondo(bus).arg("ls"));
    let row = listing.lines().nth(1).unwrap();
    assert!(row.starts_with("vm-1") && row.contains("live"), "{listing}");
    let refused = stderr(rondo(bus).arg("ls"));
    assert!(
        refused.contains("junk.slab") && refused.contains("file-size"),
        "{refused}"
    );
    assert!(!refused.contains("hidden"), "{refused}");

    machine.writer.close();
    let json: serde_json::Value =
        serde_json::from_str(&stdout(rondo(bus).args(["ls", "-o", "json"]))).unwrap();
    assert_eq!(json["slabs"][0]["state"], "closed");
    assert_eq!(json["slabs"][0]["series"], 3);
    assert_eq!(json["refused_count"], 1);
    let csv = stdout(rondo(bus).args(["ls", "-o", "csv"]));
    assert!(csv.starts_with("instance,schema,incarnation,"), "{csv}");
}

#[test]
fn an_empty_bus_is_no_error_and_a_missing_one_is() {
    let bus = tempfile::tempdir().unwrap();
    rondo(bus.path()).arg("ls").assert().code(0);
    let missing = bus.path().join("none");
    rondo(&missing).arg("ls").assert().code(2);
    assert!(stderr(rondo(&missing).arg("ls")).contains("does not exist"));
}

#[test]
fn query_prints_the_json_of_the_specification() {
    let machine = machine();
    let bus = machine.bus.path();
    let output = stdout(rondo(bus).args(["query", "vm-1", "{}", "--range", "all", "-o", "json"]));
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "clock_offset_ns",
            "end_ns",
            "incarnation",
            "instance",
            "instance_labels",
            "interval_ns",
            "part",
            "schema",
            "series",
            "start_ns"
        ]
    );
    assert_eq!(json["end_ns"], 105 * SECOND);
    assert_eq!(json["instance_labels"]["tenant"], "blue");
    let exits = &json["series"][0];
    assert_eq!(exits["labels"]["vcpu"], "0");
    assert_eq!(exits["ended_ns"], serde_json::Value::Null);
    let points = exits["points"].as_array().unwrap();
    assert_eq!(points.len(), 5);
    assert_eq!(points[0]["value"], 100);
    assert_eq!(points[2]["filled"], true);
    assert_eq!(points[2]["value"], 201);
    assert_eq!(points[4]["partial"], true);
    assert!(points[0].get("filled").is_none() && exits.get("buckets").is_none());
    assert_eq!(exits["latest"]["value"], 100 + 101 + 103 + 104);
    let load = json["series"][1]["points"].as_array().unwrap();
    assert_eq!(load.len(), 4, "a gauge has gaps");
    let time = &json["series"][2];
    assert_eq!(time["points"][2]["min"], serde_json::Value::Null);
    assert_eq!(
        time["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b[2].as_u64().unwrap())
            .sum::<u64>(),
        4
    );
}

#[test]
fn query_takes_ranges_selectors_and_other_forms() {
    let machine = machine();
    let bus = machine.bus.path();
    let csv = stdout(rondo(bus).args(["query", "vm-1/vmm", "exits_total", "--range", "3s", "-o", "csv"]));
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "instance,schema,name,labels,t_ns,time,value,count,sum,min,max,last,flags,average,known,expected,tier,step_ns,\
         incarnation"
    );
    assert_eq!(lines.len(), 4);
    let row = "vm-1,vmm,exits_total,\"{vcpu=\"\"0\"\"}\",102000000000,1970-01-01T00:01:42Z,201,,,,,,filled,,,,0,1000000000,";
    assert!(lines[1].starts_with(row), "{}", lines[1]);
    let table = stdout(
        rondo(bus)
            .arg("query")
            .arg(&machine.path)
            .args(["{vcpu=~\"0|1\"}"]),
    );
    assert!(
        table.contains("exits_total{vcpu=\"0\"}") && !table.contains("load"),
        "{table}"
    );
    assert!(table.lines().next().unwrap().starts_with("TIME"), "{table}");
}

#[test]
fn what_does_not_match_is_exit_code_1_and_what_is_wrong_is_2() {
    let machine = machine();
    let bus = machine.bus.path();
    rondo(bus).args(["query", "vm-1", "nothing"]).assert().code(1);
    rondo(bus).args(["query", "vm-1", "a{b"]).assert().code(2);
    let error = stderr(rondo(bus).args(["query", "vm-1", "a{b"]));
    assert!(error.contains("column 4") && error.contains('^'), "{error}");
    rondo(bus)
        .args(["query", "vm-1", "{}", "--range", "soon"])
        .assert()
        .code(2);
    let error = stderr(rondo(bus).args(["info", "vm-2"]));
    assert!(error.contains("did you mean vm-1?"), "{error}");
    let error = stderr(rondo(bus).args(["info", "vm-1/devices"]));
    assert!(
        error.contains("no slab of schema devices") && error.contains("vmm (live"),
        "{error}"
    );
    rondo(bus).args(["info", "./nothing.slab"]).assert().code(2);
}

#[test]
fn info_shows_the_size_that_the_formula_gives() {
    let machine = machine();
    let bus = machine.bus.path();
    let info = stdout(rondo(bus).args(["info", "vm-1"]));
    assert!(info.contains("as the formula says"), "{info}");
    assert!(
        info.contains("tenant=\"blue\"") && info.contains("exits_total{vcpu=\"0\"}"),
        "{info}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&stdout(rondo(bus).args(["info", "vm-1", "-o", "json"]))).unwrap();
    assert_eq!(json["size_bytes"], json["size_by_formula_bytes"]);
    assert_eq!(
        json["size_bytes"],
        std::fs::metadata(&machine.path).unwrap().len()
    );
    let bound = &json["bound"];
    let stored = bound["tiers"].as_array().unwrap().iter();
    let stored = stored
        .map(|tier| tier["run_bytes_max"].as_u64().unwrap() + tier["layout_bytes_max"].as_u64().unwrap());
    assert_eq!(
        bound["bytes_max"].as_u64().unwrap(),
        json["size_bytes"].as_u64().unwrap() + stored.sum::<u64>()
    );
    assert!(
        info.contains(&format!("{} bytes for ", bound["bytes_max"])),
        "{info}"
    );
    assert_eq!(json["series"][0]["latest"]["value"], 408);
    assert_eq!(json["capacity"][0]["used"], 2);
    assert!(stdout(rondo(bus).args(["info", "vm-1", "-o", "csv"])).starts_with("instance,schema,name,"));
}

#[test]
fn the_live_slab_is_taken_of_several_and_the_others_are_named() {
    let bus = tempfile::tempdir().unwrap();
    let create = |schema: &str| {
        Writer::builder("vm-1")
            .bus(bus.path())
            .schema(SchemaConfig::new(schema))
            .create()
            .unwrap()
    };
    let live = create("vmm");
    create("vmm").close();
    create("devices").close();
    let mut command = rondo(bus.path());
    let command = command.args(["info", "vm-1"]);
    assert!(stdout(command).contains("live"));
    let note = stderr(command);
    assert!(
        note.contains("devices (closed") && note.contains("vmm (closed") && note.contains("vmm (live"),
        "{note}"
    );
    assert_eq!(stderr(rondo(bus.path()).args(["info", "vm-1/devices"])), "");
    live.close();
}

#[test]
fn verify_is_silent_about_good_slabs_and_names_the_rule_that_others_break() {
    let machine = machine();
    let bus = machine.bus.path();
    rondo(bus)
        .arg("verify")
        .arg(&machine.path)
        .assert()
        .code(0)
        .stdout("")
        .stderr("");
    rondo(bus).args(["verify", "vm-1"]).assert().code(0).stdout("");
    let mut bytes = std::fs::read(&machine.path).unwrap();
    bytes[36] = 1; // compat
    let changed = bus.join("other.slab");
    std::fs::write(&changed, &bytes).unwrap();
    let mut verify = rondo(bus);
    let verify = verify.arg("verify").arg(&changed).arg(&machine.path);
    verify.assert().code(1);
    let findings = stdout(verify);
    let file = changed.display();
    assert!(
        findings.contains(&format!("{file}: reserved: unknown compat bits 0x1")),
        "{findings}"
    );
    assert!(findings.contains(&format!("{file}: file-name: ")), "{findings}");
    assert_eq!(findings.lines().count(), 2, "{findings}");
    let json: serde_json::Value = serde_json::from_str(&stdout(verify.args(["-o", "json"]))).unwrap();
    assert_eq!(json[0]["action"], "reject");
    rondo(bus).args(["verify", "/nonexistent.slab"]).assert().code(2);
}

/// An error that nobody takes does not become another one.
#[test]
fn a_standard_error_that_takes_nothing_does_not_change_the_exit_code() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (arguments, code) in [
        (&["ls", "--bus", "/dev/null/none"][..], 2),
        (&["demo", "--machines-as", "vmm", "--vmm", "/dev/null/none"], 2),
    ] {
        let mut rondo = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rondo"));
        let status = rondo
            .args(arguments)
            .stderr(full.try_clone().unwrap())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}: {status}");
    }
}

/// `rondo … | head -1` must neither panic nor complain.
#[test]
fn a_closed_pipe_ends_it_silently() {
    use std::process::{Command, Stdio};
    let machine = machine();
    for arguments in [
        ["query", "vm-1", "{}"].as_slice(),
        &["ls"],
        &["info", "vm-1"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(assert_cmd::cargo::cargo_bin("rondo"))
            .args(arguments)
            .env("RONDO_BUS", machine.bus.path())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn every_command_has_help_with_examples() {
    let bus = tempfile::tempdir().unwrap();
    for command in ["ls", "info", "query", "verify"] {
        let help = stdout(rondo(bus.path()).args([command, "--help"]));
        assert!(help.contains("Examples:") && help.contains("--bus"), "{help}");
    }
    assert!(stdout(rondo(bus.path()).arg("--help")).contains("Exit codes:"));
    assert!(stdout(rondo(bus.path()).arg("--version")).starts_with("rondo 0.1.0"));
}
