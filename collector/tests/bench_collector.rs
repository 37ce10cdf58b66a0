//! `rondo bench --collector` measures, and leaves nothing behind however it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn bench(bus: &Path, store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rondo"));
    command
        .args([
            "bench",
            "--collector",
            "--machines",
            "3",
            "--seconds",
            "10",
            "-o",
            "json",
        ])
        .arg("--dir")
        .arg(bus)
        .arg("--store")
        .arg(store);
    command.stdout(Stdio::piped());
    command
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn every_sample_of_the_bench_is_read_and_its_directories_go() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = tempfile::tempdir().unwrap();
    let output = bench(bus.path(), store.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let case = &report["cases"][0];
    assert_eq!(
        (case["machines"].as_u64(), case["series"].as_u64()),
        (Some(3), Some(90))
    );
    assert_eq!((case["lost"].as_u64(), case["torn"].as_u64()), (Some(0), Some(0)));
    assert!(case["pass_cpu_max_ms"].as_f64() >= case["pass_cpu_median_ms"].as_f64());
    assert!(case["anonymous_bytes"].as_u64() > Some(0));
    // At least one window of ten seconds fell due for each machine.
    assert!(case["samples"].as_u64() >= Some(3 * 30 * 8), "{case}");
    assert!(report["first_row"]["median_ms"].as_f64() > Some(0.0));
    // 45 points of tier 0, five windows of ten seconds and one of five minutes, of each of 30 series.
    assert_eq!(
        report["short_machines"]["stored_points"].as_f64(),
        Some(51.0 * 30.0)
    );
    assert_eq!((entries(bus.path()), entries(store.path())), (0, 0));
}

#[test]
fn a_bench_that_is_interrupted_removes_its_slabs_and_its_store() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = tempfile::tempdir().unwrap();
    let mut child = bench(bus.path(), store.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let slabs = |directory: &Path| {
        let directories = std::fs::read_dir(directory).unwrap();
        directories
            .flatten()
            .map(|entry| entries(&entry.path()))
            .sum::<usize>()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while slabs(bus.path()) < 3 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!((entries(bus.path()), entries(store.path())), (0, 0));
}
