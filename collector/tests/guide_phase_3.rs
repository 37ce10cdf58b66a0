//! The guide's acceptance of phase 3, row by row, over one store that [`Store`] made.
//!
//! The row about Prometheus is `remote_write_successfully_pushes_to_prometheus` in `tests/tests/push_servers.rs`, which has
//! the servers; crashes and restarts of drains are in `tests/tests/drain.rs`.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use rondo_collector::Store;
use rondo_collector::export::{Drained, ExportCursor};
use rondo_writer::{SchemaConfig, TierConfig};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const S: u64 = 1_000_000_000;
/// On a boundary of five minutes.
const START: u64 = 1_700_000_100 * S;
const SECONDS: u64 = 900;

fn value(second: u64) -> f64 {
    (second * 31 % 101) as f64
}

fn schema() -> SchemaConfig {
    let tier = |seconds, slots| TierConfig::new(Duration::from_secs(seconds), slots);
    SchemaConfig::default().tiers(&[tier(1, 600), tier(10, 2_160), tier(300, 2_016)])
}

/// A store of a gauge and a counter, and what it was told.
fn fill(path: &Path, mut each: impl FnMut(&mut Store, u64)) {
    let builder = Store::builder(path, &[schema()])
        .instance("vm-1")
        .budget_bytes(16 << 20);
    let mut store = builder.simulated_time(START).open().unwrap();
    let load = store.register("load", &[("cpu", "0")]).unwrap();
    let exits = store
        .register_as(rondo_reader::Kind::Counter, "exits_total", &[])
        .unwrap();
    for second in 0..=SECONDS {
        let now = START + second * S;
        store.record_batch(&[(load, value(second)), (exits, 3.0 * second as f64)], now);
        store.consolidate_at(now).unwrap();
        each(&mut store, second);
    }
    store.sync().unwrap();
}

/// Averages of `load` by the second at which their window began.
fn averages(drained: &[Drained]) -> BTreeMap<u64, f64> {
    let mut averages = BTreeMap::new();
    for rows in drained {
        let series = rows
            .run
            .layout
            .series()
            .iter()
            .position(|series| series.name == "load");
        for row in rows.first_row..rows.run.rows() {
            let value = rows.run.value(row, series.unwrap());
            let before = averages.insert(
                (rows.run.row_ns(row) - START) / S,
                value.sum.unwrap() / f64::from(value.known),
            );
            assert_eq!(before, None);
        }
    }
    averages
}

fn expected(windows: std::ops::Range<u64>) -> BTreeMap<u64, f64> {
    let average = |window: u64| (window * 10..window * 10 + 10).map(value).sum::<f64>() / 10.0;
    windows.map(|window| (window * 10, average(window))).collect()
}

fn rondo(args: &[&str]) -> String {
    let output = Command::cargo_bin("rondo").unwrap().args(args).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).unwrap()
}

#[test]
fn drain_returns_correct_data_and_advances_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let mut cursor = ExportCursor::new(1);
    let start = cursor.clone();
    fill(dir.path(), |store, second| {
        if second == SECONDS {
            assert_eq!(averages(&store.drain(1, &mut cursor).unwrap()), expected(0..90));
        }
    });
    assert_ne!(cursor, start);
}

#[test]
fn repeated_drain_calls_return_only_new_data_since_last_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut cursor = ExportCursor::new(1);
    let mut left = 0;
    fill(dir.path(), |store, second| {
        if second % 70 == 69 {
            let drained = averages(&store.drain(1, &mut cursor).unwrap());
            // A window has left once a second after it has begun.
            let over = second / 10;
            assert_eq!(drained, expected(left..over));
            left = over;
            assert!(store.drain(1, &mut cursor).unwrap().is_empty());
            cursor = ExportCursor::from_bytes(&cursor.to_bytes()).unwrap();
        }
    });
}

#[test]
fn rondo_info_displays_accurate_store_metadata() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), |_, _| ());
    let info: Value =
        serde_json::from_str(&rondo(&["info", dir.path().to_str().unwrap(), "-o", "json"])).unwrap();
    let on_disk: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().ends_with(".archive"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!(info["disk_bytes"], on_disk);
    let schemas = info["schemas"].as_array().unwrap();
    assert_eq!(schemas.len(), 1);
    for (tier, (interval, rows)) in [(0, (1, None)), (1, (10, Some(90))), (2, (300, Some(3)))] {
        let of_schema = schemas[0]["tiers"].as_array().unwrap();
        if let Some(of_tier) = of_schema.iter().find(|of| of["tier"] == tier) {
            assert_eq!(of_tier["interval_ns"], interval * S);
            assert_eq!(of_tier["series"], 2);
        } else {
            // Seconds of a machine that lives are in its slab.
            assert_eq!(tier, 0);
        }
        if let Some(rows) = rows {
            assert_eq!(info["tiers"][tier as usize]["rows"], rows, "tier {tier}");
            assert_eq!(info["tiers"][tier as usize]["points"], 2 * rows);
        }
    }
    // How far consolidation is.
    let positions = info["positions"].as_array().unwrap();
    assert!(
        positions.iter().any(|position| position["instance"] == "vm-1"),
        "{positions:?}"
    );
}

#[test]
fn rondo_query_returns_correct_data_in_csv_and_json_formats() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), |_, _| ());
    let path = dir.path().to_str().unwrap();
    let query = |format: &str| {
        rondo(&[
            "query", path, "load", "--range", "all", "--tier", "1", "-o", format,
        ])
    };
    let json: Value = serde_json::from_str(&query("json")).unwrap();
    let rows = json["series"][0]["points"].as_array().unwrap();
    let of_json: BTreeMap<u64, f64> = rows
        .iter()
        .map(|point| {
            (
                (point["wall_ns"].as_u64().unwrap() - START) / S,
                point["average"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(of_json, expected(0..90));
    let csv = query("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|of| of == name).unwrap();
    let (t, average) = (column("t_ns"), column("average"));
    let of_csv: BTreeMap<u64, f64> = reader
        .records()
        .map(Result::unwrap)
        .map(|row| {
            (
                (row[t].parse::<u64>().unwrap() - START) / S,
                row[average].parse().unwrap(),
            )
        })
        .collect();
    assert_eq!(of_csv, expected(0..90));
}

/// What it reports is judged where it is built for speed.
#[test]
fn rondo_bench_completes_10_m_writes_and_reports_latency() {
    let report = rondo(&["bench"]);
    assert!(report.starts_with("10000000 records, "), "{report}");
    for line in [
        "one record, p50",
        "one record, p99",
        "one record, p99.9",
        "throughput",
    ] {
        let line = report
            .lines()
            .find(|of| of.starts_with(line))
            .unwrap_or_else(|| panic!("no {line}"));
        let number = line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        assert!(number.is_some_and(|number| number > 0.0), "{line}");
    }
    let allocations = report
        .lines()
        .find(|line| line.starts_with("heap allocations"))
        .unwrap();
    assert!(allocations.ends_with(" 0"), "{allocations}");
}
