//! What the store costs: bytes and time for each point by kind of data, and opening and reading a full one:
//! `cargo bench -p rondo-collector --bench archive`. Makes a store of 2 GiB in the temporary directory (about 2 min).
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use rondo_collector::store::archive::{ArchiveSettings, Archives};
use rondo_collector::store::{Layout, Run, Source, StoredSeries};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::Functions;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;
const START_NS: u64 = 1_700_000_000 * SECOND_NS;

/// Numbers that look random, always the same ones.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn layout(tier: u8, interval_s: u64, kinds: &[Kind]) -> Arc<Layout> {
    let series = kinds.iter().enumerate().map(|(index, &kind)| StoredSeries {
        kind,
        unit: Unit::Bytes,
        name: format!("vmm_{}_number_{index}", kind.as_str()),
        help: "One sentence for people, as long as they mostly are.".to_owned(),
        labels: vec![("device".to_owned(), format!("vd{index}"))],
        buckets: None,
    });
    let series: Vec<_> = series.collect();
    Arc::new(Layout::new(
        tier,
        interval_s * SECOND_NS,
        Functions::default(),
        &[],
        series.into(),
    ))
}

fn source(number: u64) -> Arc<Source> {
    let mut dice = Dice(number);
    let mut incarnation = [0; 16];
    incarnation
        .chunks_mut(8)
        .for_each(|half| half.copy_from_slice(&dice.roll().to_le_bytes()));
    Arc::new(Source {
        incarnation,
        boot_id: [1; 16],
        instance: format!("vm-{number:06}"),
        schema: "vmm".to_owned(),
        part: 0,
        uid: 1000,
        labels: vec![("tenant".to_owned(), "blue".to_owned())],
        created_ns: START_NS,
        interval_ns: 1_000_000_000,
        simulated_time: false,
    })
}

/// The 30 series of the promises.
fn thirty() -> Vec<Kind> {
    [(Kind::Gauge, 20), (Kind::Counter, 6), (Kind::Distribution, 4)]
        .into_iter()
        .flat_map(|(kind, count)| std::iter::repeat_n(kind, count))
        .collect()
}

/// A run whose words are those of `word(row, index)`.
fn run_of(
    source: &Arc<Source>,
    layout: &Arc<Layout>,
    first_row: u64,
    rows: u64,
    mut word: impl FnMut(u64, usize) -> u64,
) -> Run {
    let mut run = Run::new(
        source.clone(),
        layout.clone(),
        0,
        START_NS + first_row * layout.interval_ns(),
    );
    let known = vec![if layout.tier() == 0 { 1 } else { 10 }; layout.series().len()];
    for row in first_row..first_row + rows {
        let words: Vec<u64> = (0..layout.width()).map(|index| word(row, index)).collect();
        run.push(&known, &words, []);
    }
    run
}

/// What machines mostly look like: a third constant, a third whole numbers that wander, a third decimals; counters
/// at nearly steady rates.
fn ordinary(layout: &Layout, dice: &mut Dice, row: u64, index: usize) -> u64 {
    let is_integer = (0..layout.series().len())
        .find(|&series| layout.words(series).contains(&index))
        .and_then(|series| {
            layout
                .columns(series)
                .iter()
                .nth(index - layout.words(series).start)
        })
        .is_some_and(|column| column.is_integer());
    if is_integer {
        return row * 1_000 * (1 + index as u64) + dice.roll() % 50;
    }
    match index % 3 {
        0 => 4_096.0f64,
        1 => 1_000_000.0 + (dice.roll() % 5_000) as f64,
        _ => (dice.roll() % 1_000) as f64 / 10.0,
    }
    .to_bits()
}

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

/// Fills a store: short machines in tier 0, 200 machines that live for days in the others.
fn fill(dir: &Path) -> (f64, Duration) {
    let mut archives = open(dir, 2 << 30);
    let begin = Instant::now();
    let mut dice = Dice(7);
    let mut points = 0.0;
    let layouts = [(0, 1), (1, 10), (2, 300)].map(|(tier, interval_s)| layout(tier, interval_s, &thirty()));
    // The words of many runs, made once: it is not the dice that is measured.
    let templates: Vec<Vec<Run>> = layouts
        .iter()
        .zip([45, 30, 12])
        .map(|(layout, rows)| {
            let make = |n| {
                run_of(&source(n), layout, 0, rows, |row, index| {
                    ordinary(layout, &mut dice, row, index)
                })
            };
            (0..64).map(make).collect()
        })
        .collect();
    let full = |archives: &Archives, tier: usize| {
        let usage = &archives.usage()[tier];
        usage.used_extent_count == usage.extent_count
    };
    for (tier, frame_runs) in [(0usize, 100u64), (1, 40), (2, 40)] {
        let mut n = 0;
        // Once round, and then some.
        let mut more = 500;
        while more > 0 {
            let mut run = templates[tier][n as usize % 64].clone();
            let (machine, round) = if tier == 0 {
                (1_000 + n, n / 140)
            } else {
                (n % 200, n / 200)
            };
            run.source = source(machine);
            run.start_ns = START_NS + round * run.rows() as u64 * run.layout.interval_ns();
            points += (run.rows() * 30) as f64;
            archives.append(&run).expect("room");
            n += 1;
            if n % frame_runs == 0 {
                archives.sync().expect("room");
                more -= u64::from(full(&archives, tier));
            }
            archives.retain_progress(|_| n % 1000 != 0);
        }
    }
    archives.sync().expect("room");
    (points, begin.elapsed())
}

/// What attaching to a slab asks: how far it is stored. New machines, old ones that are not there, and old ones that are.
fn ask_for_progress(archives: &mut Archives) {
    let far = START_NS + 1_000 * 86_400 * SECOND_NS;
    for (name, first, created_ns) in [
        ("new", 1 << 40, far),
        ("unknown", 1 << 41, START_NS),
        ("known", 0, START_NS),
    ] {
        for tier in 0..3 {
            let machines = (0..200).map(|n| Source {
                created_ns,
                ..(*source(
                    first
                        + if tier == 0 && first == 0 {
                            1_000 + 3_000 * n
                        } else {
                            n
                        },
                ))
                .clone()
            });
            let machines: Vec<_> = machines.collect();
            let begin = Instant::now();
            let known = machines
                .iter()
                .filter(|machine| archives.progress(machine, 0, tier).is_some())
                .count();
            println!(
                "progress of a {name} machine in tier {tier}: {:?} ({known} of 200 known)",
                begin.elapsed() / 200
            );
        }
    }
}

/// Memory that no file stands behind.
fn anonymous_kib() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// In a process of its own, whose memory is nobody else's.
fn open_full_store(dir: &Path) {
    let settings = ArchiveSettings::default();
    let before = anonymous_kib();
    for attempt in 1..=3 {
        let begin = Instant::now();
        let mut archives = Archives::open(dir, &settings).expect("a store");
        let opened = begin.elapsed();
        let usage = archives.usage();
        let runs: u64 = usage.iter().map(|usage| usage.runs).sum();
        let bytes: u64 = usage.iter().map(|usage| usage.frame_bytes).sum();
        println!(
            "open {attempt}: {opened:?} for {runs} runs in {} MiB; {} KiB of anonymous memory more",
            bytes >> 20,
            anonymous_kib().saturating_sub(before)
        );
        if attempt == 3 {
            ask_for_progress(&mut archives);
        }
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
            fill(Path::new(dir));
            return;
        }
        _ => {}
    }
    by_kind_of_data();
    worst_case();
    let directory = tempfile::tempdir().expect("a directory");
    let (points, took) = fill(directory.path());
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
