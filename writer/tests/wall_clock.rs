//! A step of the wall clock, seen by this process alone.
//!
//! The machine's clock is everybody's, so a few lines of C, loaded before the C library, set it back
//! an hour for the child, at once after the slab was made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, SECOND, bus, child, path, schema, skip, told};
use nix::time::{ClockId, clock_gettime};
use rondo_writer::{TierConfig, TimeSource, Writer};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
long shim_step_s;
long shim_asked;
int clock_gettime(clockid_t clock, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, t);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        shim_asked++;
        t->tv_sec += shim_step_s;
    }
    return result;
}
void shim_set(long step_s) { shim_step_s = step_s; }
long shim_get(void) { return shim_asked; }
"#;

/// The shim's functions, if it is loaded.
fn shim() -> Option<(extern "C" fn(i64), extern "C" fn() -> i64)> {
    use nix::libc::{RTLD_DEFAULT, dlsym};
    // SAFETY: a name that ends with a zero.
    let set = unsafe { dlsym(RTLD_DEFAULT, c"shim_set".as_ptr()) };
    // SAFETY: as above.
    let get = unsafe { dlsym(RTLD_DEFAULT, c"shim_get".as_ptr()) };
    if set.is_null() || get.is_null() {
        return None;
    }
    // SAFETY: what these names stand for in the source above, on Linux of 64 bits.
    Some(unsafe { std::mem::transmute::<(_, _), (extern "C" fn(i64), extern "C" fn() -> i64)>((set, get)) })
}

/// Slab time goes on at the pace of the monotonic clock: a step back would make all samples stale for an
/// hour, a step forward would let a later step back overwrite what is newer.
#[test]
fn a_step_of_the_wall_clock_goes_unnoticed() {
    const NAME: &str = "a_step_of_the_wall_clock_goes_unnoticed";
    if let Some(bus) = told() {
        return record_through_steps(bus.as_ref());
    }
    let bus = bus();
    let (source, library) = (bus.path().join("shim.c"), bus.path().join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut compile = Command::new(compiler);
    match compile
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
    {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => return skip(NAME, &format!("no C compiler: {error}")),
    }
    let output = child(NAME, bus.path().to_str().unwrap())
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("not loaded") {
        return skip(NAME, "the C library is linked statically");
    }
    assert!(output.status.success() && text.contains("unnoticed"), "{text}");
}

fn record_through_steps(bus: &std::path::Path) {
    let Some((set, asked)) = shim() else {
        return println!("not loaded");
    };
    let unix = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let create = |name: &str, source| {
        Writer::builder(name)
            .bus(bus)
            .schema(schema(8))
            .time_source(source)
    };
    for (name, source) in [("coarse", TimeSource::Coarse), ("tick", TimeSource::Tick)] {
        set(0);
        let made = unix();
        let mut writer = create(name, source).create().unwrap();
        let mut counter = writer.counter("counter").owned().unwrap();
        let mut histogram = writer.histogram("histogram").owned().unwrap();
        let shared = writer.counter("shared").shared().unwrap();
        let held = writer.gauge("held").held().unwrap();
        for (step_s, round) in [(0, 1), (-3600, 2), (7200, 3), (0, 4)] {
            set(step_s);
            // The control: the step is there for whoever looks at the wall clock.
            let off = unix().as_secs().cast_signed() - made.as_secs().cast_signed();
            assert!((step_s - 1..step_s + 60).contains(&off), "{off}");
            let before = asked();
            for _ in 0..100 {
                counter.add(1);
                histogram.record(1.0);
                shared.add(1);
                writer.record(held, round as f64, writer.now());
                writer.tick();
                assert!(writer.until_next_tick() <= Duration::from_secs(2));
            }
            assert_eq!(asked(), before, "who records does not ask for the wall clock");
            let slab = Copy::of(path(&writer));
            assert_eq!(slab.newest("counter"), 100 * round);
            assert_eq!(slab.newest("histogram"), 100 * round);
            assert_eq!(slab.newest("shared"), 100 * round);
            assert_eq!(slab.newest("held"), (round as f64).to_bits());
            assert_eq!(slab.refusals(), [0; 4]);
            let cursor = slab.live().cursor_ns.load(Ordering::Relaxed);
            let made_ns = made.as_nanos() as u64;
            assert!(
                (made_ns - SECOND..made_ns + 60 * SECOND).contains(&cursor),
                "{cursor}"
            );
        }
        set(-3600);
        let before = asked();
        writer.close();
        assert_eq!(asked(), before, "nor does who closes");
    }
    println!("unnoticed");
}

/// The loop that the docs ask for, with timers as late as they are here.
#[test]
fn a_loop_that_sleeps_until_the_next_tick_ticks_each_interval_once() {
    const INTERVAL: Duration = Duration::from_millis(50);
    let bus = bus();
    let monotonic = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    for source in [TimeSource::Coarse, TimeSource::Tick] {
        let schema = schema(8).tiers(&[TierConfig::new(INTERVAL, 100)]);
        let builder = Writer::builder("vm-1")
            .bus(bus.path())
            .schema(schema)
            .time_source(source);
        let mut writer = builder.create().unwrap();
        let shared = writer.gauge("gauge").shared().unwrap();
        shared.set(1.0);
        let (mut last, mut was_in_time) = (0, false);
        for _ in 0..20 {
            let due = writer.next_tick();
            std::thread::sleep(writer.until_next_tick());
            writer.tick();
            let is_in_time = monotonic().saturating_sub(due) < INTERVAL / 3;
            let ticked = writer.ticked_ns();
            assert!(ticked > last, "an interval twice");
            if was_in_time && is_in_time {
                assert_eq!(ticked - last, INTERVAL.as_nanos() as u64);
            }
            (last, was_in_time) = (ticked, is_in_time);
        }
        assert_eq!(Copy::of(path(&writer)).slots("gauge").len(), 20);
    }
}
