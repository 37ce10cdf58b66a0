//! A store in a real directory: who may open it, what it takes, and what others see while it is written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::store::archive::{ArchiveSettings, Archives, StoreError};
use rondo_collector::store::{Layout, Run, Source, StoredSeries};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::Functions;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;
const EVER: std::ops::Range<i64> = i64::MIN..i64::MAX;

fn settings(budget_bytes: u64) -> ArchiveSettings {
    ArchiveSettings {
        budget_bytes,
        extent_bytes: 64 << 10,
    }
}

fn source(instance: &str) -> Arc<Source> {
    Arc::new(Source {
        incarnation: std::array::from_fn(|index| instance.as_bytes()[index % instance.len()]),
        boot_id: [1; 16],
        instance: instance.to_owned(),
        schema: "vmm".to_owned(),
        part: 0,
        uid: 1000,
        labels: vec![("tenant".to_owned(), "blue".to_owned())],
        created_ns: 0,
        interval_ns: 1_000_000_000,
        simulated_time: false,
    })
}

fn layout(tier: u8, interval_s: u64, kinds: &[(Kind, usize)]) -> Arc<Layout> {
    let kinds = kinds
        .iter()
        .flat_map(|&(kind, count)| std::iter::repeat_n(kind, count));
    let series = kinds.enumerate().map(|(index, kind)| StoredSeries {
        kind,
        unit: Unit::None,
        name: format!("series_{index}"),
        help: String::new(),
        labels: Vec::new(),
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

/// Rows of which nothing can be packed.
fn noise(source: &Arc<Source>, layout: &Arc<Layout>, first_row: u64, rows: u64) -> Run {
    let mut run = Run::new(
        source.clone(),
        layout.clone(),
        0,
        (1_000 + first_row) * layout.interval_ns(),
    );
    let mut state = first_row;
    let mut roll = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    };
    let points = [2, 11, 301][usize::from(layout.tier())];
    for _ in 0..rows {
        let known: Vec<u32> = layout.series().iter().map(|_| (roll() % points) as u32).collect();
        let words: Vec<u64> = (0..layout.width()).map(|_| roll()).collect();
        run.push(&known, &words, []);
    }
    run
}

fn all(archives: &Archives, tier: u8) -> Vec<Run> {
    archives
        .runs(tier, None, EVER)
        .map(|run| archives.read(&run.unwrap()).unwrap())
        .collect()
}

fn sizes(dir: &Path) -> Vec<u64> {
    (0..3)
        .map(|tier| {
            std::fs::metadata(dir.join(format!("tier-{tier}.archive")))
                .unwrap()
                .len()
        })
        .collect()
}

#[test]
fn one_process_at_a_time_writes() {
    let dir = tempfile::tempdir().unwrap();
    let archives = Archives::open(dir.path(), &settings(4 << 20)).unwrap();
    let error = Archives::open(dir.path(), &settings(4 << 20)).err().unwrap();
    let expected = format!("another process (pid {}) has the store", std::process::id());
    assert!(error.to_string().starts_with(&expected), "{error}");
    Archives::open_read_only(dir.path()).unwrap();
    drop(archives);
    Archives::open(dir.path(), &settings(4 << 20)).unwrap();
}

#[test]
fn what_is_no_store_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Archives::open_read_only(dir.path()).err().unwrap();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    let small = Archives::open(dir.path(), &settings(300_000)).err().unwrap();
    assert!(
        matches!(
            small,
            StoreError::BudgetTooSmall {
                least_bytes: 557_056,
                ..
            }
        ),
        "{small}"
    );
    drop(Archives::open(dir.path(), &settings(557_056)).unwrap());
    let odd = ArchiveSettings {
        extent_bytes: 100_000,
        ..settings(1 << 20)
    };
    assert!(matches!(
        Archives::open(dir.path(), &odd).err(),
        Some(StoreError::ExtentSize { .. })
    ));
    std::fs::write(dir.path().join("tier-1.archive"), "something else").unwrap();
    let foreign = Archives::open(dir.path(), &settings(1 << 20)).err().unwrap();
    assert!(matches!(foreign, StoreError::NotAnArchive { .. }), "{foreign}");
    assert_eq!(
        std::fs::read(dir.path().join("tier-1.archive")).unwrap(),
        b"something else"
    );
}

/// The files have their size from the start, all of it allocated, within the budget; only another budget changes it.
#[test]
fn files_have_their_size_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let layouts = [(0, 1), (1, 10), (2, 300), (3, 3_600)]
        .map(|(tier, interval_s)| layout(tier, interval_s.max(1), &[(Kind::Gauge, 50)]));
    let mut archives = Archives::open(dir.path(), &settings(2 << 20)).unwrap();
    let before = sizes(dir.path());
    assert!(before.iter().sum::<u64>() <= 2 << 20 && before.iter().sum::<u64>() > (2 << 20) - 4 * (72 << 10));
    for tier in 0..3 {
        let metadata = std::fs::metadata(dir.path().join(format!("tier-{tier}.archive"))).unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len());
    }
    for n in 0..200 {
        for layout in &layouts[..3] {
            archives
                .append(&noise(&source("vm-1"), layout, n * 30, 30))
                .unwrap();
        }
        archives.flush().unwrap();
        assert_eq!(sizes(dir.path()), before);
    }
    let newest = all(&archives, 1).pop().unwrap();
    drop(archives);
    for budget in [1 << 20, 3 << 20] {
        let archives = Archives::open(dir.path(), &settings(budget)).unwrap();
        assert!(sizes(dir.path()).iter().sum::<u64>() <= budget);
        assert_eq!(all(&archives, 1).last(), Some(&newest));
        assert!(!all(&archives, 2).is_empty());
    }
}

#[test]
fn the_last_archive_takes_all_later_tiers() {
    let dir = tempfile::tempdir().unwrap();
    let mut archives = Archives::open(dir.path(), &settings(1 << 20)).unwrap();
    let machine = source("vm-1");
    let runs: Vec<Run> = [(2u8, 300), (5, 86_400), (2, 300)]
        .into_iter()
        .enumerate()
        .map(|(n, (tier, interval_s))| {
            let layout = layout(tier, interval_s, &[(Kind::Counter, 1)]);
            let mut run = Run::new(
                machine.clone(),
                layout,
                0,
                (n as u64 + 1) * interval_s * SECOND_NS,
            );
            run.push(&[1], &[n as u64], []);
            run
        })
        .collect();
    runs.iter().for_each(|run| archives.append(run).unwrap());
    assert_eq!(all(&archives, 2), [runs[0].clone(), runs[2].clone()]);
    assert_eq!(all(&archives, 5), [runs[1].clone()]);
    assert_eq!(archives.progress(&machine, 0, 2), Some(runs[2].end_ns()));
    assert_eq!(archives.progress(&machine, 0, 5), Some(runs[1].end_ns()));
    assert_eq!(archives.progress(&machine, 1, 5), None);
    assert_eq!(archives.progress(&source("vm-2"), 0, 5), None);
}

/// A query may look while the collector writes: what it found stays right, or is left out when it is overwritten.
#[test]
fn readers_see_no_wrong_row_while_the_ring_goes_round() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(1, 10, &[(Kind::Gauge, 50)]);
    let mut archives = Archives::open(dir.path(), &settings(1 << 20)).unwrap();
    for n in 0..40 {
        archives
            .append(&noise(&source("vm-1"), &layout, n * 30, 30))
            .unwrap();
        archives.flush().unwrap();
    }
    let reader = Archives::open_read_only(dir.path()).unwrap();
    let found: Vec<_> = reader.runs(1, None, EVER).map(Result::unwrap).collect();
    assert!(matches!(
        Archives::open_read_only(dir.path())
            .unwrap()
            .append(&noise(&source("vm-1"), &layout, 0, 1)),
        Err(StoreError::ReadOnly { .. })
    ));
    let mut overwritten = 0;
    for n in 40..80 {
        archives
            .append(&noise(&source("vm-1"), &layout, n * 30, 30))
            .unwrap();
        archives.flush().unwrap();
        overwritten = 0;
        for run in &found {
            let first_row = run.start_ns() / layout.interval_ns() - 1_000;
            match reader.read(run) {
                Ok(read) => assert_eq!(read, noise(&source("vm-1"), &layout, first_row, 30)),
                Err(StoreError::Overwritten) => overwritten += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(reader.runs(1, None, EVER).all(|run| run.is_ok()));
    }
    assert_eq!(overwritten, found.len());
    assert_eq!(reader.runs(1, None, EVER).count(), 0);
}

/// What the promise of 2 MB a machine stands on: 20 gauges, 6 counters and 4 distributions cost no more than 300
/// bytes and its name and labels for each run beyond their words and packed counts, even if nothing compresses.
#[test]
fn a_run_costs_little_beyond_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut archives = Archives::open(
        dir.path(),
        &ArchiveSettings {
            budget_bytes: 64 << 20,
            extent_bytes: 1 << 20,
        },
    )
    .unwrap();
    let machine = source("vm-000001");
    let thirty = [(Kind::Gauge, 20), (Kind::Counter, 6), (Kind::Distribution, 4)];
    let texts = "vm-000001".len() + "vmm".len() + "tenant".len() + "blue".len();
    let mut bounds = 0;
    for (tier, interval_s, rows, run_rows, known_bits) in [
        (0u8, 1, 600, 30, 1u64),
        (1, 10, 2_160, 30, 4),
        (2, 300, 2_016, 12, 9),
    ] {
        let layout = layout(tier, interval_s, &thirty);
        for n in 0..rows / run_rows {
            archives
                .append(&noise(&machine, &layout, n * run_rows, run_rows))
                .unwrap();
        }
        archives.flush().unwrap();
        let usage = &archives.usage()[usize::from(tier)];
        let words = 8 * layout.width() as u64 * rows;
        let counts = 30 * (run_rows * known_bits).div_ceil(8) * (rows / run_rows);
        let bound = words + counts + (rows / run_rows) * (300 + texts as u64);
        let owned = archives.bytes_of("vm-000001").unwrap()[&tier];
        assert!(owned <= bound, "tier {tier}: {owned} of {bound}");
        assert_eq!((usage.rows, usage.points), (rows, 30 * rows));
        // Nothing but heads, ends of blocks, and ends of extents is on top of that.
        assert!(
            usage.frame_bytes >= owned && usage.frame_bytes < owned + owned / 50 + 16_384,
            "{usage:?}"
        );
        bounds += if tier == 0 { 0 } else { owned };
    }
    // With the slab itself, about 410,000 bytes, below 2 MB.
    assert!(bounds < 1_570_000, "{bounds}");
    assert!(archives.bytes_of("vm-2").unwrap().is_empty());
}
