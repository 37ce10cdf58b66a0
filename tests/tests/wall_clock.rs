//! Steps of the wall clock while a machine is collected.
//!
//! The machine's clock is everybody's, so a few lines of C, loaded before the C library, shift it for a child process by as
//! many seconds as a file says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Selector;
use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::query::{Answer, Plan, Request, Tier};
use rondo_tests::simulation::{ALL, Host, pass, stored};
use rondo_tests::skip::skip;
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, t);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        char text[32] = {0};
        int file = open(getenv("RONDO_TEST_STEP"), O_RDONLY);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) t->tv_sec += atol(text);
            close(file);
        }
    }
    return result;
}
"#;

const STEP: &str = "RONDO_TEST_STEP";
const INTERVAL: Duration = Duration::from_millis(20);

/// Rows are told apart by slab time, which no step changes; queries ask by the present wall clock, and find them where a
/// clock that had always been right would have put them.
#[test]
fn a_step_of_the_wall_clock_leaves_no_seam_and_no_double() {
    const NAME: &str = "a_step_of_the_wall_clock_leaves_no_seam_and_no_double";
    if let Some(step) = std::env::var_os(STEP) {
        return collect_through_steps(Path::new(&step));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("shim.c"), SHIM).unwrap();
    let mut compile = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    compile
        .args(["-shared", "-fPIC", "-o"])
        .args([path("shim.so"), path("shim.c")]);
    match compile.arg("-ldl").output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => return skip(NAME, &format!("no C compiler: {error}")),
    }
    std::fs::write(path("step"), "0").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", NAME, "--nocapture"]);
    child.env("LD_PRELOAD", path("shim.so")).env(STEP, path("step"));
    let output = child.output().unwrap();
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat();
    if text.contains("the shim is not loaded") {
        return skip(NAME, "the C library is linked statically");
    }
    assert!(
        output.status.success() && text.contains("without a seam"),
        "{text}"
    );
}

fn unix_ns() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
        .cast_signed()
}

fn set(step: &Path, seconds: i64) {
    // Whole at any moment: the shim reads it at any moment.
    let new = step.with_extension("new");
    std::fs::write(&new, seconds.to_string()).unwrap();
    std::fs::rename(new, step).unwrap();
}

fn query(collector: &Collector, tier: u8, range: std::ops::Range<i128>) -> Answer {
    let live = collector.live(|_| true);
    let request = Request {
        tier: Tier::Number(tier),
        range,
        ..Request::new("gauge".parse::<Selector>().unwrap())
    };
    Plan::new(&live, collector.archives(), request).unwrap().answer()
}

fn collect_through_steps(step: &Path) {
    let before = unix_ns();
    set(step, 3_600);
    if unix_ns() < before + 3_000_000_000_000 {
        return println!("the shim is not loaded");
    }
    set(step, 0);
    let host = Host::new();
    let mut collector = Collector::open(
        CollectorSettings {
            keep: Duration::ZERO,
            ..host.settings()
        },
        host.start,
    )
    .unwrap();
    let tiers = [
        TierConfig::new(INTERVAL, 600).with(&ALL),
        TierConfig::new(5 * INTERVAL, 600).with(&ALL),
    ];
    let builder = Writer::builder("vm").schema(SchemaConfig::default().tiers(&tiers));
    let mut writer = builder.bus(host.bus.path()).create().unwrap();
    let gauge = writer.gauge("gauge").held().unwrap();
    let began = Instant::now();
    let mut written = Vec::new();
    for (phase, seconds) in [0, 3_600, -1_800, 600].into_iter().enumerate() {
        set(step, seconds);
        while began.elapsed() < Duration::from_millis(400) * (phase as u32 + 1) {
            // One moment for both: the interval must not end in between.
            let now = writer.now();
            writer.record(gauge, written.len() as f64, now);
            writer.tick_at(now);
            written.push(writer.ticked_ns());
            if written.len() % 3 == 0 {
                pass(&mut collector, Instant::now());
            }
            std::thread::sleep(writer.until_next_tick());
        }
        // What a range of the wall clock finds is what happened in it by the clock as it is now.
        is_found(&collector, &written, seconds);
    }
    writer.close();
    for _ in 0..3 {
        pass(&mut collector, Instant::now());
    }
    assert_eq!(collector.slabs().count(), 0);
    is_found(&collector, &written, 600);
    // `stored` refuses a window that is there twice.
    let points = stored(collector.archives(), "vm", 0, "gauge");
    let values: Vec<f64> = points.values().filter_map(|point| point.last).collect();
    assert_eq!(values, (0..written.len()).map(|n| n as f64).collect::<Vec<_>>());
    let known: u32 = stored(collector.archives(), "vm", 1, "gauge")
        .values()
        .map(|row| row.known)
        .sum();
    assert_eq!(known as usize, written.len());
    println!("without a seam");
}

/// All of it is there now, and nothing was there at the times that the clock showed before it was stepped.
fn is_found(collector: &Collector, written: &[u64], step_s: i64) {
    const S: i128 = 1_000_000_000;
    let now = unix_ns();
    let answer = query(collector, 0, now - 10 * S..now + S);
    let found: Vec<u64> = answer.series[0].points.iter().map(|point| point.t).collect();
    assert_eq!(found, written, "with the clock {step_s} s ahead");
    for other in [0, 3_600, -1_800, 600]
        .into_iter()
        .filter(|other| *other != step_s)
    {
        let then = now + S * i128::from(other - step_s);
        let points = |tier| {
            let answer = query(collector, tier, then - 10 * S..then + S);
            answer
                .series
                .iter()
                .map(|series| series.points.len())
                .sum::<usize>()
        };
        assert_eq!(
            (points(0), points(1)),
            (0, 0),
            "{other} s, with the clock {step_s} s ahead"
        );
    }
}
