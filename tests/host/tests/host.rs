//! Benchmark B in small: every figure of every arrangement is there, in JSON, on a page and in a plot.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::skip::{has, skip};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const NEEDED: [&str; 3] = ["prometheus", "prometheus-node-exporter", "setpriv"];

/// Starts a run, which has its own network, so that several do not disturb each other's figures of the loopback.
fn start(only: &str, seconds: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bench-host"))
        .args([
            "--machines",
            "3",
            "--seconds",
            seconds,
            "--warm-up",
            "1",
            "-o",
            "json",
        ])
        .args(["--only", only, "--rondo", env!("CARGO_BIN_EXE_rondo-of-tests")])
        // On a disk, which the directory for temporary files may not be.
        .args(["--work", env!("CARGO_TARGET_TMPDIR")])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(run: Child) -> Vec<Value> {
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    if may_leave_the_network() {
        assert_eq!(report["is_private_network"], true);
    }
    report["cases"].as_array().unwrap().clone()
}

/// Whether whoever runs the test may have a network of their own.
fn may_leave_the_network() -> bool {
    let arguments = ["--map-root-user", "--net", "ip", "link", "set", "lo", "up"];
    let status = Command::new("unshare").args(arguments).status();
    status.is_ok_and(|status| status.success())
}

fn is_above_zero(window: &Value, pointer: &str) -> bool {
    window.pointer(pointer).unwrap().as_f64().unwrap() > 0.0
}

/// What people read of rondo and its peers is only as good as the program that measures them.
#[test]
fn every_figure_of_every_arrangement_is_there() {
    if let Some(missing) = NEEDED.into_iter().find(|command| !has(command)) {
        return skip(
            "every_figure_of_every_arrangement_is_there",
            &format!("no {missing}"),
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let (page, plot) = (
        directory.path().join("page.md"),
        directory.path().join("plot.svg"),
    );
    std::fs::write(&page, "Head\n<!-- begin: host -->\n<!-- end: host -->\nFoot\n").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let files = ["--page", &path(&page), "--plot", &path(&plot)];
    // Long enough that a collector, which reads ten seconds at a time, and the slowest scrape come by once, also if they are late.
    let runs = [
        start("rondo,node-exporter-1s", "21", &files),
        start("small-exporter-1s", "21", &[]),
        start("node-exporter-15s", "31", &[]),
        start("small-exporter-15s", "31", &[]),
    ];
    let cases: Vec<_> = runs.into_iter().flat_map(finish).collect();
    let names: Vec<_> = cases
        .iter()
        .map(|case| case["arrangement"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "rondo",
            "node-exporter-1s",
            "small-exporter-1s",
            "node-exporter-15s",
            "small-exporter-15s"
        ]
    );
    for (case, name) in cases.iter().zip(names) {
        let window = &case["windows"][0];
        for part in ["server", "clients"] {
            for figure in ["cpu_s", "private_bytes", "anonymous_bytes", "wake_ups"] {
                assert!(
                    is_above_zero(window, &format!("/{part}/{figure}")),
                    "{name}: {part} {figure}: {window}"
                );
            }
        }
        for figure in ["/loopback_bytes", "/read/points", "/read/values"] {
            assert!(is_above_zero(window, figure), "{name}: {figure}: {window}");
        }
        let is_rondo = name == "rondo";
        for figure in ["/slab_bytes", "/rest/cpu_s", "/receiver/cpu_s"] {
            assert_eq!(
                is_above_zero(window, figure),
                is_rondo,
                "{name}: {figure}: {window}"
            );
        }
        // What it put off is stored when it ends; the log of a Prometheus may not get anything in so short a time.
        if is_rondo {
            assert!(is_above_zero(window, "/server/written_bytes"), "{window}");
        }
    }
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("Head\n") && page.ends_with("Foot\n"), "{page}");
    for text in [
        "| 3 machines ",
        "| rondo / … ",
        "S5, 3 machines",
        "What each side does not do",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let plot = std::fs::read_to_string(&plot).unwrap();
    assert!(plot.contains("node_exporter, 1 s") && plot.contains("<circle"));
}
