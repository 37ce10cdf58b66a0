//! S3: what a machine takes, at most.
//!
//! 30 series × 3 tiers, 10 minutes of seconds, 6 hours of 10 s, 7 days of 5 minutes, at the default functions: below 2 MB,
//! slab and stored rows together, whatever the values are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::MachineBound;
use rondo_collector::store::{ArchiveSettings, Archives, Layout, Run, Source, StoredSeries};
use rondo_shm_layout::Functions;
use rondo_tests::simulation::{S, START};
use rondo_tests::thirty::thirty;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// What S3 promises.
const BYTES_MAX: u64 = 2_000_000;

/// What `rondo info` prints of a slab, added up.
#[test]
fn thirty_series_in_three_tiers_need_less_than_2_mb_even_if_nothing_compresses() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let (_writer, slab) = thirty(bus.path());
    let bound = MachineBound::of(&slab);
    assert_eq!(slab.series().len(), 30);
    assert_eq!(bound.slab_bytes, std::fs::metadata(slab.path()).unwrap().len());
    assert_eq!(
        bound.tiers.iter().map(|tier| tier.rows).collect::<Vec<_>>(),
        [2_160, 2_016]
    );
    // Of each row 26 words, and 4 of each distribution.
    let words = |tier: usize| bound.tiers[tier].rows * (26 + 4 * 4) * 8;
    assert!((0..2).all(|tier| bound.tiers[tier].run_bytes_max > words(tier)));
    println!("{bound:?}");
    assert!(bound.bytes_max < BYTES_MAX, "{bound:?}");
}

/// Rows of which nothing compresses, in runs of so many, the first of which may have fewer.
fn append_noise(
    archives: &mut Archives,
    source: &Arc<Source>,
    layout: &Arc<Layout>,
    rows: u64,
    (first_rows, run_rows): (u64, u64),
) {
    let mut state = u64::from(source.incarnation[0]) << 32;
    let mut roll = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    };
    let points = layout.interval_ns() / S;
    let starts = (first_rows > 0)
        .then_some(0)
        .into_iter()
        .chain((first_rows..rows).step_by(run_rows as usize));
    let starts: Vec<u64> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([rows]);
    for (&first_row, end_row) in starts.iter().zip(ends) {
        let start_ns = START + first_row * layout.interval_ns();
        let mut run = Run::new(source.clone(), layout.clone(), 0, start_ns);
        for _ in first_row..end_row {
            let known: Vec<u32> = layout
                .series()
                .iter()
                .map(|_| (roll() % (points + 1)) as u32)
                .collect();
            let words: Vec<u64> = (0..layout.width()).map(|_| roll()).collect();
            run.push(&known, &words, []);
        }
        archives.append(&run).unwrap();
    }
    archives.flush().unwrap();
}

/// Length of each file, all of which is allocated. (A file system may have a block more for its own map of a file.)
fn sizes(store: &Path) -> Vec<u64> {
    let size = |tier: u8| {
        let metadata = store.join(format!("tier-{tier}.archive")).metadata().unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len());
        metadata.len()
    };
    (0..3).map(size).collect()
}

/// Rows of random bits, for as long as the tiers ask for, own no more of the extents than the bound says, and what the bound
/// says is not much more. Meanwhile, and while other machines take their place, no file changes its size.
#[test]
fn stored_noise_stays_below_the_bound_and_files_keep_their_size() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let (_writer, slab) = thirty(bus.path());
    let bound = MachineBound::of(&slab);
    let series: Arc<[StoredSeries]> = slab.series().iter().map(StoredSeries::from).collect();
    let layouts = [1, 2].map(|tier| {
        let interval_ns = slab.layout().tiers[tier].interval_ns.get();
        Arc::new(Layout::new(
            tier as u8,
            interval_ns,
            Functions::default(),
            &[],
            series.clone(),
        ))
    });
    let settings = ArchiveSettings {
        budget_bytes: 16 << 20,
        ..ArchiveSettings::default()
    };
    // Runs as a collector makes them, and cut once more than they have to be, as when memory runs short.
    for first_rows in [0, 7] {
        let store = tempfile::tempdir().unwrap();
        let mut archives = Archives::open(store.path(), &settings).unwrap();
        let before = sizes(store.path());
        let append = |source: &Arc<Source>, archives: &mut Archives| {
            for ((layout, tier), run_rows) in layouts.iter().zip(&bound.tiers).zip([30, 24]) {
                append_noise(archives, source, layout, tier.rows, (first_rows, run_rows));
                assert_eq!(sizes(store.path()), before);
            }
        };
        let machine = Arc::new(Source::from(&slab));
        append(&machine, &mut archives);
        let owned = archives.bytes_of(&machine.instance).unwrap();
        for tier in &bound.tiers {
            let (owned, most) = (owned[&tier.tier], tier.run_bytes_max + tier.layout_bytes_max);
            assert!(owned <= most, "tier {}: {owned} of {most}", tier.tier);
            assert!(owned > most - most / 50, "tier {}: {owned} of {most}", tier.tier);
        }
        let all = slab.size_bytes() + owned.values().sum::<u64>();
        println!(
            "{first_rows} rows in the first run: {all} bytes of at most {}",
            bound.bytes_max
        );
        assert!(all < BYTES_MAX, "{all}");

        // Six others, of which five fill the ring of a quarter of the budget.
        for number in 1..=6u8 {
            let other = Source {
                incarnation: [number; 16],
                instance: format!("vm-{number}"),
                ..(*machine).clone()
            };
            append(&Arc::new(other), &mut archives);
        }
        assert!(
            archives.bytes_of(&machine.instance).unwrap().is_empty(),
            "the rings have come round"
        );
        assert_eq!(archives.bytes_of("vm-6").unwrap().len(), 2);
        drop(archives);
        drop(Archives::open(store.path(), &settings).unwrap());
        assert_eq!(sizes(store.path()), before);
    }
}
