//! `rondo info` of a store: what it holds, how long it keeps it, and how far machines are stored.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use rondo_collector::store::{ArchiveSettings, Archives, Layout, Run, Source, StoredSeries};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::Functions;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

const S: u64 = 1_000_000_000;
/// 2023-11-14T22:15:00Z.
const START: u64 = 1_700_000_100;
/// The wall clock is ahead of the slabs'.
const OFFSET_S: u64 = 30;

fn source(number: u8, schema: &str) -> Arc<Source> {
    Arc::new(Source {
        incarnation: [number; 16],
        boot_id: [1; 16],
        instance: format!("vm-{}", number % 100),
        schema: schema.to_owned(),
        part: 0,
        uid: 1_000,
        labels: Vec::new(),
        created_ns: START * S,
        interval_ns: S,
        simulated_time: false,
    })
}

fn layout(tier: u8, series: usize) -> Arc<Layout> {
    let series = (0..series).map(|index| StoredSeries {
        kind: Kind::Gauge,
        unit: Unit::None,
        name: format!("load_{index}"),
        help: String::new(),
        labels: Vec::new(),
        buckets: None,
    });
    let series: Vec<_> = series.collect();
    let interval_s = [1, 10, 300][usize::from(tier)];
    Arc::new(Layout::new(
        tier,
        interval_s * S,
        Functions(1 | 4),
        &[],
        series.into(),
    ))
}

/// Rows from `start_s` seconds after the start on.
fn run(source: &Arc<Source>, layout: &Arc<Layout>, start_s: u64, rows: u64) -> Run {
    let mut run = Run::new(source.clone(), layout.clone(), 0, (START + start_s) * S);
    for row in 0..rows {
        let words: Vec<u64> = (0..layout.width() as u64)
            .map(|at| (row + at).wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .collect();
        run.push(&vec![1; layout.series().len()], &words, []);
    }
    run.clock_offset_ns = (OFFSET_S * S).cast_signed();
    run
}

fn ended(run: Run) -> Run {
    Run {
        ended_ns: run.end_ns(),
        ..run
    }
}

fn open(dir: &Path) -> Archives {
    let settings = ArchiveSettings {
        budget_bytes: 1 << 20,
        extent_bytes: 16 << 10,
    };
    Archives::open(dir, &settings).unwrap()
}

fn rondo(args: &[&str]) -> (String, String, i32) {
    let mut command = Command::cargo_bin("rondo").unwrap();
    let output = command.arg("info").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap(),
    )
}

fn json_of(dir: &Path, args: &[&str]) -> Value {
    let (out, error, _) = rondo(&[&[dir.to_str().unwrap(), "-o", "json"], args].concat());
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}"))
}

/// vm-1 has ended, vm-2 goes on, vm-3 was reopened after its end, and vm-4 ended where a run of tier 1 was full.
fn machines(archives: &mut Archives) {
    let tiers = [0, 1, 2].map(|tier| layout(tier, 2));
    let of = |number| source(number, "vmm");
    for run in [
        run(&of(1), &tiers[1], 0, 30),
        ended(run(&of(1), &tiers[1], 300, 5)),
        ended(run(&of(1), &tiers[0], 0, 345)),
        run(&of(2), &tiers[1], 0, 30),
        run(&of(2), &tiers[1], 300, 30),
        run(&of(2), &tiers[2], 0, 1),
        ended(run(&of(3), &tiers[0], 0, 60)),
        ended(run(&of(3), &tiers[1], 0, 6)),
        run(&of(3), &tiers[1], 100, 20),
        run(&of(4), &tiers[1], 0, 30),
        ended(run(&of(4), &tiers[0], 0, 300)),
        run(&source(102, "devices"), &layout(1, 7), 0, 12),
    ] {
        archives.append(&run).unwrap();
    }
    archives.flush().unwrap();
}

#[test]
fn a_store_shows_what_it_holds_and_who_has_not_ended() {
    let dir = tempfile::tempdir().unwrap();
    machines(&mut open(dir.path()));
    let facts = json_of(dir.path(), &[]);
    let size = |tier: u8| {
        dir.path()
            .join(format!("tier-{tier}.archive"))
            .metadata()
            .unwrap()
            .len()
    };
    assert_eq!(facts["disk_bytes"], (0..3).map(size).sum::<u64>());
    assert_eq!(
        (&facts["instances"], &facts["incarnations"]),
        (&json!(4), &json!(5))
    );
    assert_eq!(facts["damaged"], 0);

    let tier = &facts["tiers"][1];
    assert_eq!(
        json!([tier["runs"], tier["rows"], tier["points"], tier["extents_used"]]),
        json!([8, 163, 151 * 2 + 12 * 7, 1])
    );
    let wall_ns = |seconds: u64| (START + OFFSET_S + seconds) * S;
    assert_eq!(
        json!([tier["oldest_ns"], tier["newest_ns"]]),
        json!([wall_ns(0), wall_ns(600)])
    );
    let per_point = tier["bytes"].as_f64().unwrap() / tier["points"].as_f64().unwrap();
    assert_eq!(tier["bytes_per_point"], per_point);
    // In 10 minutes so many bytes of a ring of 15 extents.
    assert_eq!(tier["extents"], 15);
    let kept_s = 600.0 * (15.0 * 16_384.0 / tier["bytes"].as_f64().unwrap());
    assert!(
        (tier["retention"]["ns"].as_f64().unwrap() / 1e9 - kept_s).abs() < 1.0,
        "{tier}"
    );
    assert_eq!(tier["retention"]["is_measured"], false);

    assert_eq!(
        facts["schemas"],
        json!([
            {"name": "devices", "tiers": [
                {"tier": 1, "interval_ns": 10 * S, "functions": "average,max", "series": 7},
            ]},
            {"name": "vmm", "tiers": [
                {"tier": 0, "interval_ns": S, "functions": "points", "series": 2},
                {"tier": 1, "interval_ns": 10 * S, "functions": "average,max", "series": 2},
                {"tier": 2, "interval_ns": 300 * S, "functions": "average,max", "series": 2},
            ]},
        ])
    );
    let reached = |tier: u8, seconds: u64| json!({"tier": tier, "end_ns": (START + seconds) * S, "wall_ns": wall_ns(seconds)});
    let position = |number: u8, schema: &str, tiers: Value| {
        json!({
            "instance": format!("vm-{}", number % 100), "schema": schema, "part": 0,
            "incarnation": format!("{number:02x}").repeat(16), "tiers": tiers,
        })
    };
    assert_eq!(
        facts["positions"],
        json!([
            position(2, "vmm", json!([reached(1, 600), reached(2, 300)])),
            position(3, "vmm", json!([reached(1, 300)])),
            position(102, "devices", json!([reached(1, 120)])),
        ])
    );

    let (table, _, code) = rondo(&[dir.path().to_str().unwrap()]);
    assert_eq!(code, 0);
    for text in [
        "4 by name, 5 incarnations",
        "tier 1 will keep",
        "worked out from the bytes written",
        "tier 2+ will keep",
        "average,max",
        "tier 1 2023-11-14T22:25:30Z, tier 2 2023-11-14T22:20:30Z",
    ] {
        assert!(table.contains(text), "{text} in {table}");
    }
    assert!(!table.contains("vm-1") && !table.contains("vm-4"), "{table}");
    let (csv, _, _) = rondo(&[dir.path().to_str().unwrap(), "-o", "csv"]);
    assert_eq!(csv.lines().count(), 4);
    assert!(csv.starts_with("tier,file_bytes,"), "{csv}");
}

#[test]
fn a_machine_owns_what_the_extents_hold_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut archives = open(dir.path());
    machines(&mut archives);
    let owned = archives.bytes_of("vm-1").unwrap();
    drop(archives);
    let instance = &json_of(dir.path(), &["--instance", "vm-1"])["instance"];
    assert_eq!(instance["name"], "vm-1");
    assert_eq!(instance["bytes"], owned.values().sum::<u64>());
    let tiers = instance["tiers"].as_array().unwrap();
    let wall_ns = |seconds: u64| (START + OFFSET_S + seconds) * S;
    assert_eq!(
        tiers[1],
        json!({"tier": 1, "bytes": owned[&1], "runs": 2, "rows": 35, "oldest_ns": wall_ns(0), "newest_ns": wall_ns(350)})
    );
    assert_eq!((tiers.len(), &tiers[0]["rows"]), (2, &json!(345)));

    let path = dir.path().to_str().unwrap();
    let (table, _, _) = rondo(&[path, "--instance", "vm-1"]);
    assert!(table.contains("vm-1 owns"), "{table}");
    let (csv, _, _) = rondo(&[path, "--instance", "vm-1", "-o", "csv"]);
    assert!(
        csv.starts_with("tier,bytes,runs,rows,oldest_ns,newest_ns\n0,"),
        "{csv}"
    );
    let (table, _, code) = rondo(&[path, "--instance", "vm-9"]);
    assert!(
        table.contains("nothing is stored of vm-9") && code == 1,
        "{table}"
    );
}

/// With more than a ring holds, what it keeps is measured; of many machines the newest are listed, and the rest counted.
#[test]
fn a_full_ring_keeps_what_it_holds_and_lists_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut archives = open(dir.path());
    let layout = layout(1, 20);
    for number in 0..80u64 {
        let run = run(&source(number as u8, "vmm"), &layout, 300 * number, 30);
        archives.append(&run).unwrap();
    }
    archives.sync().unwrap();
    let usage = archives.usage()[1].clone();
    assert_eq!(
        usage.used_extent_count, usage.extent_count,
        "the ring has come round"
    );
    drop(archives);
    let facts = json_of(dir.path(), &[]);
    let tier = &facts["tiers"][1];
    let held = usage.wall_ns.unwrap();
    assert_eq!(
        tier["retention"],
        json!({"ns": held.end - held.start, "is_measured": true})
    );
    assert!(tier["written_ever_bytes"].as_u64() > tier["file_bytes"].as_u64());
    let instances = facts["instances"].as_u64().unwrap();
    let listed = facts["positions"].as_array().unwrap();
    assert!((11..80).contains(&instances), "{instances}");
    assert_eq!(listed[0]["instance"], "vm-79");
    assert_eq!(
        listed.len() as u64 + facts["positions_left_out"].as_u64().unwrap(),
        instances
    );
    let (table, _, _) = rondo(&[dir.path().to_str().unwrap()]);
    assert!(
        table.contains(&format!("… and {} more", instances - 10)),
        "{table}"
    );
    assert!(table.contains("measured, its ring is full"), "{table}");
    assert!(table.contains("tier 0 holds nothing yet"), "{table}");
}

#[test]
fn a_damaged_block_is_counted_and_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut archives = open(dir.path());
    machines(&mut archives);
    archives.sync().unwrap();
    // What comes later says that all before it was on stable storage: it is damaged, not torn.
    let next = run(&source(2, "vmm"), &layout(1, 2), 600, 1);
    archives.append(&next).unwrap();
    archives.sync().unwrap();
    drop(archives);
    let path = dir.path().join("tier-1.archive");
    let mut bytes = std::fs::read(&path).unwrap();
    // In the newest block of vm-3, from which its name would be read.
    let at = bytes.windows(4).rposition(|window| window == b"vm-3").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let facts = json_of(dir.path(), &[]);
    assert_eq!(facts["damaged"], 1);
    assert_eq!(facts["positions"].as_array().unwrap().len(), 2);
    assert_eq!(facts["positions_left_out"], 1);
}

#[test]
fn a_collector_is_asked_for_its_json_and_strangers_drive_no_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        (0..2)
            .map(|_| {
                let mut stream = listener.accept().unwrap().0;
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).unwrap();
                let body = "{\"disk_bytes\":7,\"schemas\":[{\"name\":\"a\u{9b}31m\"}]}";
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + body).as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            })
            .collect::<Vec<_>>()
    });
    let (table, error, code) = rondo(&[&url]);
    assert_eq!(code, 0, "{error}");
    assert!(
        table.contains("\"disk_bytes\": 7") && !table.contains('\u{9b}'),
        "{table}"
    );
    let (line, _, _) = rondo(&[&url, "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["disk_bytes"], 7);
    for request in server.join().unwrap() {
        assert!(request.starts_with("GET /metrics/info"), "{request}");
    }
    let (_, error, code) = rondo(&[&url, "-o", "csv"]);
    assert!(error.contains("answers with JSON") && code == 2, "{error}");
}
