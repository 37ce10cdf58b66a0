//! What attached slabs cost a reader: anonymous memory for each series, as the kernel counts it.
//!
//! A collector keeps 10,000 slabs of 30 series attached, so a few hundred bytes for each are gigabytes on a
//! host that has better uses for them. By default there are 1,000 slabs; the figures of the documentation
//! are of `RONDO_FOOTPRINT_SLABS=10000 cargo test --release -p rondo-reader --test footprint -- --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use rondo_reader::{Bus, Limits};
use rondo_writer::{Registration, SchemaConfig, TierConfig, Unit, Writer};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SERIES: u64 = 30;
/// Set for the process that writes: the directory.
const DIRECTORY: &str = "RONDO_FOOTPRINT_DIRECTORY";
/// Set as well if no series of one slab is called like one of another.
const UNLIKE: &str = "RONDO_FOOTPRINT_UNLIKE";

fn slab_count() -> u64 {
    std::env::var("RONDO_FOOTPRINT_SLABS").map_or(1_000, |count| count.parse().unwrap())
}

/// Few slots, since anonymous memory does not depend on them; otherwise a slab as by default.
fn write_slab(bus: &Path, number: u64, is_unlike: bool) {
    let tier = |seconds| TierConfig::new(Duration::from_secs(seconds), 4);
    let schema = SchemaConfig::default()
        .tiers(&[tier(1), tier(10), tier(300)])
        .capacity(26, 4);
    let mut writer = Writer::builder(&format!("vm-{number:05}"))
        .label("tenant", "blue")
        .schema(schema)
        .bus(bus)
        .create()
        .unwrap();
    let disk = if is_unlike {
        format!("disk-{number:05}")
    } else {
        "disk".to_owned()
    };
    for i in 0..SERIES {
        let name = format!("vmm_measure_{i}");
        match i {
            0..20 => describe(writer.gauge(&name).unit(Unit::Bytes), &disk, i),
            20..26 => describe(writer.counter(&name), &disk, i),
            _ => describe(writer.distribution(&name).unit(Unit::Nanoseconds), &disk, i),
        }
    }
}

fn describe<H>(series: Registration<'_, H>, disk: &str, i: u64) {
    let help = format!("What the machine does, aspect {i} of it.");
    let series = series.help(&help).label("device", disk);
    series.label("vcpu", &(i % 4).to_string()).held().unwrap();
}

/// One of the two parts, in a process of its own: what writing leaves on the heap must not hide what
/// reading takes, nor one measurement what the next one takes.
fn run(part: &str, directory: &Path, is_unlike: bool) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", part, "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(UNLIKE, if is_unlike { "1" } else { "" });
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "a part of a_series_costs_little_memory"]
fn part_write() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let is_unlike = std::env::var_os(UNLIKE).is_some_and(|unlike| !unlike.is_empty());
    for number in 0..slab_count() {
        write_slab(Path::new(&directory), number, is_unlike);
    }
}

#[test]
#[ignore = "a part of a_series_costs_little_memory"]
fn part_attach() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let (before, clock) = (anonymous_bytes(), Instant::now());
    let bus = Bus::open(directory, &Limits::default()).unwrap();
    let (after, took) = (anonymous_bytes(), clock.elapsed());
    assert_eq!(
        bus.slabs().len() as u64,
        slab_count(),
        "{:?}",
        bus.refused().first()
    );
    assert!(bus.slabs().all(|slab| slab.series().len() as u64 == SERIES));
    let slabs = slab_count() as f64;
    let (bytes, us) = ((after - before) as f64 / slabs, took.as_secs_f64() * 1e6 / slabs);
    println!("\n{} {us}", bytes / SERIES as f64);
}

fn anonymous_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let kibibytes: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// Bytes for each series of a bus of many machines.
fn bytes_per_series(is_unlike: bool) -> f64 {
    let directory = common::bus();
    run("part_write", directory.path(), is_unlike);
    let measured = run("part_attach", directory.path(), is_unlike);
    let figures = measured.lines().find_map(|line| {
        let (bytes, us) = line.split_once(' ')?;
        Some((bytes.parse::<f64>().ok()?, us.parse::<f64>().ok()?))
    });
    let (bytes, us) = figures.unwrap();
    let (slabs, what) = (slab_count(), if is_unlike { "unlike" } else { "alike" });
    println!("{slabs} slabs, {what}: {bytes:.1} bytes a series, attached in {us:.1} µs each");
    bytes
}

#[test]
fn a_series_costs_little_memory() {
    let (alike, unlike) = (bytes_per_series(false), bytes_per_series(true));
    assert!(alike < 80.0 && unlike < 700.0, "{alike} {unlike}");
}
