//! `rondo bench --remote-write` measures, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

#[test]
fn every_sample_of_the_bench_arrives_and_its_directories_go() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rondo"))
        .args([
            "bench",
            "--remote-write",
            "--machines",
            "3",
            "--seconds",
            "10",
            "--rounds",
            "1",
            "-o",
            "json",
        ])
        .arg("--dir")
        .arg(bus.path())
        .arg("--store")
        .arg(store.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // 20 gauges and 6 counters of 100 machines in 300 rows; of distributions count, sum, least and greatest; what counts
    // begins with a 0; and all end.
    let samples = 100 * (300 * (20 + 6 + 4 * 4) + 6 + 4 * 2 + 20 + 6 + 4 * 4);
    for (backlog, protocol) in report["backlogs"].as_array().unwrap().iter().zip([1, 2]) {
        assert_eq!(
            (&backlog["samples"], &backlog["protocol"]),
            (&samples.into(), &protocol.into())
        );
        assert!(backlog["requests"].as_u64().unwrap() >= samples / 2_100);
    }
    let case = &report["cases"][0];
    // At least a window of each.
    assert!(case["samples"].as_u64().unwrap() >= 3 * 42, "{case}");
    for directory in [bus.path(), store.path()] {
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    }
}
