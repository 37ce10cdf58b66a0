//! What the store costs: bytes and time for each point by kind of data, and opening and reading a full one:
//! `cargo bench -p rondo-collector --bench archive`. Makes a store of 2 GiB in the temporary directory (about 2 min).
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use rondo_collector::commands::bench::anonymous_bytes;
use rondo_collector::commands::bench::synthetic::{Dice, SECOND_NS, fill, layout, run_of, source, thirty};
use rondo_collector::store::Run;
use rondo_collector::store::archive::{ArchiveSettings, Archives};
use rondo_reader::Kind;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

fn open(dir: &Path, budget_bytes: u64) -> Archives {
    let settings = ArchiveSettings {
        budget_bytes,
        ..ArchiveSettings::default()
    };
    Archives::open(dir, &settings).expect("a store")
}

/// Bytes and nanoseconds for each point, one kind of data after the other.
fn by_kind_of_data() {
    type Word = fn(&mut Dice, &mut f64, u64) -> u64;
    let kinds: [(&str, Kind, Word); 9] = [
        ("constant", Kind::Gauge, |_, _, _| 42.5f64.to_bits()),
        ("counter, idle", Kind::Counter, |_, _, _| 123_456),
        ("counter, steady", Kind::Counter, |_, _, row| row * 1_500),
        ("counter, ±5 %", Kind::Counter, |dice, total, _| {
            *total += 1_425.0 + (dice.roll() % 150) as f64;
            *total as u64
        }),
        ("gauge, 0 to 100", Kind::Gauge, |dice, _, _| {
            ((dice.roll() % 101) as f64).to_bits()
        }),
        ("gauge, percent.1", Kind::Gauge, |dice, _, _| {
            ((dice.roll() % 1001) as f64 / 10.0).to_bits()
        }),
        ("walk of bytes", Kind::Gauge, |dice, value, _| {
            *value += ((dice.roll() % 200) * 4096) as f64 - 100.0 * 4096.0;
            (*value + 1e9).to_bits()
        }),
        ("walk of floats", Kind::Gauge, |dice, value, _| {
            *value += dice.share() - 0.5;
            (*value + 1000.0).to_bits()
        }),
        ("noise", Kind::Gauge, |dice, _, _| dice.share().to_bits()),
    ];
    println!(
        "{:<18} {:>5} {:>12} {:>12} {:>12}",
        "data", "rows", "bytes/point", "append ns", "read ns"
    );
    for (name, kind, word) in kinds {
        for rows in [30, 180] {
            let directory = tempfile::tempdir().expect("a directory");
            let mut archives = open(directory.path(), 256 << 20);
            let layout = layout(1, 10, &[kind; 30]);
            let mut dice = Dice(1);
            let mut values = [0.0; 30];
            let runs: Vec<Run> = (0..400)
                .map(|n| {
                    run_of(&source(n), &layout, 0, rows, |row, index| {
                        word(&mut dice, &mut values[index], row)
                    })
                })
                .collect();
            let points = (400 * rows * 30) as f64;
            let begin = Instant::now();
            runs.iter().for_each(|run| archives.append(run).expect("room"));
            let append = begin.elapsed();
            archives.flush().expect("room");
            let found: Vec<_> = archives.runs(1, None, i64::MIN..i64::MAX).flatten().collect();
            let begin = Instant::now();
            let read: Vec<Run> = found
                .iter()
                .map(|run| archives.read(run).expect("a run"))
                .collect();
            let reading = begin.elapsed();
            assert!(read == runs);
            println!(
                "{name:<18} {rows:>5} {:>12.2} {:>12.1} {:>12.1}",
                archives.usage()[1].frame_bytes as f64 / points,
                append.as_nanos() as f64 / points,
                reading.as_nanos() as f64 / points,
            );
        }
    }
}

/// What a run of the promised 30 series costs beyond its bare words, when nothing compresses.
fn worst_case() {
    println!("\n30 series of noise: bytes of a run and its share of all else, beyond 8 bytes a word");
    for (tier, rows) in [(0, 45), (1, 30), (2, 12), (2, 30)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut archives = open(directory.path(), 256 << 20);
        let layout = layout(tier, 10, &thirty());
        let mut dice = Dice(1);
        for n in 0..2_000 {
            archives
                .append(&run_of(&source(n), &layout, 0, rows, |_, _| dice.roll()))
                .expect("room");
        }
        archives.flush().expect("room");
        let usage = &archives.usage()[usize::from(tier)];
        let bare = 8 * layout.width() as u64 * rows;
        println!(
            "tier {tier}, {rows} rows: {} of {bare}",
            usage.frame_bytes / usage.runs - bare
        );
    }
}

/// In a process of its own, whose memory is nobody else's.
fn open_full_store(dir: &Path) {
    let settings = ArchiveSettings::default();
    let before = anonymous_bytes();
    for attempt in 1..=3 {
        let begin = Instant::now();
        let archives = Archives::open(dir, &settings).expect("a store");
        let opened = begin.elapsed();
        let usage = archives.usage();
        let runs: u64 = usage.iter().map(|usage| usage.runs).sum();
        let bytes: u64 = usage.iter().map(|usage| usage.frame_bytes).sum();
        println!(
            "open {attempt}: {opened:?} for {runs} runs in {} MiB; {} KiB of anonymous memory more",
            bytes >> 20,
            anonymous_bytes().saturating_sub(before) >> 10
        );
    }
}

fn read_full_store(dir: &Path) {
    let archives = Archives::open_read_only(dir).expect("a store");
    for (tier, days) in [(2u8, 7u64), (1, 1)] {
        for attempt in 1..=3 {
            let begin = Instant::now();
            let end = archives.usage()[usize::from(tier)]
                .wall_ns
                .clone()
                .map_or(0, |range| range.end);
            let range = end - (days * 86_400 * SECOND_NS).cast_signed()..end;
            let mut points = 0;
            let mut runs = 0;
            for run in archives.runs(tier, Some("vm-000123"), range).flatten() {
                let layout = archives.layout(&run).expect("a layout");
                let wanted = layout
                    .series()
                    .iter()
                    .position(|series| series.name == "vmm_gauge_number_17");
                let run = archives.read_series(&run, wanted.as_slice()).expect("a run");
                points += run.rows();
                runs += 1;
            }
            println!(
                "read {attempt}: {:?} for one series over {days} days of tier {tier}: {points} points from {runs} runs",
                begin.elapsed()
            );
        }
    }
    let begin = Instant::now();
    let bytes = Archives::bytes_of(&archives, "vm-000123").expect("directories");
    println!("bytes of one machine: {bytes:?} in {:?}", begin.elapsed());
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "--open", dir] => return open_full_store(Path::new(dir)),
        [_, "--read", dir] => return read_full_store(Path::new(dir)),
        [_, "--fill", dir] => {
            fill(Path::new(dir)).expect("room");
            return;
        }
        _ => {}
    }
    by_kind_of_data();
    worst_case();
    let directory = tempfile::tempdir().expect("a directory");
    let begin = Instant::now();
    let points = fill(directory.path()).expect("room");
    let took = begin.elapsed();
    println!(
        "\na full store of 2 GiB, filled at {:.1} ns a point in {took:?}",
        took.as_nanos() as f64 / points
    );
    let mut this = Command::new(std::env::current_exe().expect("this program"));
    let status = this
        .arg("--open")
        .arg(directory.path())
        .status()
        .expect("a process");
    assert!(status.success());
    read_full_store(directory.path());
}
