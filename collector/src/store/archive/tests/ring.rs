//! What is stored comes back, and the oldest goes first.

use super::disk::Disk;
use super::samples::{INTERVAL_NS, any_runs, layout, run, source};
use super::{EXTENT_BYTES, all, everything, open, open_read_only};
use crate::store::archive::ProgressKey;
use crate::store::archive::error::StoreError;
use crate::store::{Column, Run, Source};
use proptest::prelude::*;
use rondo_reader::Kind;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    Append,
    Flush,
    Sync,
    /// The process is killed, and another one goes on.
    Kill,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append),
        2 => Just(Step::Flush),
        1 => Just(Step::Sync),
        1 => Just(Step::Kill),
    ]
}

/// Those of `runs` that go on with one another, joined: what was split looks as before.
fn joined(runs: Vec<Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        if let Some(last) = joined.last_mut()
            && last.source == run.source
            && last.layout == run.layout
            && last.ended_ns == 0
            && last.end_ns() == run.start_ns
            && last.clock_offset_ns == run.clock_offset_ns
        {
            last.known.extend(run.known);
            last.words.extend(run.words);
            last.buckets.extend(run.buckets);
            last.ended_ns = run.ended_ns;
        } else {
            joined.push(run);
        }
    }
    joined
}

/// Takes so many rows from the end.
fn forget(runs: &mut Vec<Run>, mut rows: usize) {
    while let Some(last) = runs.last_mut().filter(|_| rows > 0) {
        if last.rows() <= rows {
            rows -= last.rows();
            runs.pop();
            continue;
        }
        let kept = last.rows() - rows;
        last.known.truncate(kept * last.layout.series().len());
        last.words.truncate(kept * last.layout.width());
        last.buckets.truncate(kept * last.layout.histograms().len());
        last.ended_ns = 0;
        rows = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Against a list of all that was appended: what is there is always the newest part of it, in order; a kill costs
    /// exactly what was not flushed; the file is as large as ever, and progress is that of the newest row.
    #[test]
    fn the_newest_runs_come_back_in_order(
        runs in any_runs(1..60),
        steps in prop::collection::vec(any_step(), 1..120),
        extent_count in 2usize..5,
    ) {
        let disk = Disk::default();
        let mut archive = open(&disk, extent_count);
        let size = disk.bytes().len();
        let mut appended: Vec<Run> = Vec::new();
        let mut runs = runs.into_iter();
        for step in steps {
            match step {
                Step::Append => {
                    let Some(run) = runs.next() else { continue };
                    archive.append(&run).unwrap();
                    appended.push(run);
                }
                Step::Flush => archive.flush().unwrap(),
                Step::Sync => archive.sync().unwrap(),
                Step::Kill => {
                    let mut found = all(&archive);
                    let pending = archive.filling.as_ref().unwrap().pending.entries.len();
                    let lost = found.split_off(found.len() - pending);
                    drop(archive);
                    archive = open(&disk, extent_count);
                    prop_assert_eq!(all(&archive), found);
                    forget(&mut appended, lost.iter().map(Run::rows).sum());
                }
            }
            let found = joined(all(&archive));
            let expected = joined(appended.clone());
            prop_assert!(found.len() <= expected.len());
            let newest = &expected[expected.len() - found.len()..];
            if let (Some(first), Some(newest_first)) = (found.first(), newest.first()) {
                // Of the oldest run its first rows may be gone already.
                prop_assert_eq!(first.end_ns(), newest_first.end_ns());
                prop_assert_eq!(&found[1..], &newest[1..]);
            }
            if archive.order.len() < extent_count {
                prop_assert_eq!(&found, &expected);
            }
            prop_assert_eq!(disk.bytes().len(), size);

            let mut ends = HashMap::new();
            for run in &found {
                ends.insert(run.source.incarnation[0], run.end_ns());
            }
            archive.retain_progress(&|_| false);
            for number in 0..4 {
                let source = source(number);
                let progress = archive.progress(&source, ProgressKey::new(&source, 0, 1));
                prop_assert_eq!(progress, ends.get(&number).copied());
            }
        }
        prop_assert!(disk.resizes() == 0);
    }

    #[test]
    fn some_series_are_those_of_the_whole(runs in any_runs(1..8), pick in prop::collection::vec(any::<bool>(), 6)) {
        let mut archive = open(&Disk::default(), 8);
        for run in &runs {
            archive.append(run).unwrap();
        }
        archive.flush().unwrap();
        for found in archive.runs(0, everything(1)) {
            let found = found.unwrap();
            let whole = archive.read(&found).unwrap();
            let count = whole.layout.series().len();
            let wanted: Vec<usize> = (0..count).filter(|&index| pick[index]).collect();
            let some = archive.read_series(&found, &wanted).unwrap();
            prop_assert_eq!(some.layout.series().len(), wanted.len());
            for (at, &index) in wanted.iter().enumerate() {
                prop_assert_eq!(&some.layout.series()[at], &whole.layout.series()[index]);
                for row in 0..whole.rows() {
                    // By bits: a sample may be any NaN.
                    let of = |run: &Run, series| {
                        let value = run.value(row, series);
                        let bits = [value.sum, value.min, value.max, value.last].map(|value| value.map(f64::to_bits));
                        (value.known, value.total, bits, run.buckets(row, series).cloned())
                    };
                    prop_assert_eq!(of(&some, at), of(&whole, index));
                }
            }
        }
    }
}

/// Exactly: with 3 extents of which each takes 2 runs, the 6 newest are there, and while the next one waits in
/// memory nothing is overwritten.
#[test]
fn the_oldest_extent_is_overwritten() {
    let disk = Disk::default();
    let mut archive = open(&disk, 3);
    let layout = layout(1, &[Kind::Gauge; 26]);
    let rows = 30;
    for n in 0..20u64 {
        archive.append(&run(1, n * rows, rows, &layout)).unwrap();
        let before = all(&archive).len();
        archive.flush().unwrap();
        assert_eq!(
            before - all(&archive).len(),
            usize::from(n >= 6 && n % 2 == 0) * 2,
            "run {n}"
        );
    }
    let found = all(&archive);
    let starts: Vec<u64> = found
        .iter()
        .map(|run| run.start_ns / INTERVAL_NS - 1_000)
        .collect();
    assert_eq!(starts, [14, 15, 16, 17, 18, 19].map(|n| n * rows));
    assert_eq!(found.last(), Some(&run(1, 19 * rows, rows, &layout)));
    assert_eq!(all(&open_read_only(&disk)), found);
}

#[test]
fn a_run_larger_than_an_extent_is_split_by_rows() {
    let mut archive = open(&Disk::default(), 6);
    let layout = layout(1, &[Kind::Counter; 20]);
    let long = run(1, 0, 300, &layout);
    archive.append(&long).unwrap();
    let found = all(&archive);
    assert!(found.len() > 2);
    assert_eq!(joined(found), [long]);
}

/// Only what could never be stored is refused: a row that alone is larger than an extent.
#[test]
fn a_row_larger_than_an_extent_is_refused() {
    let mut archive = open(&Disk::default(), 2);
    let layout = layout(1, &[Kind::Distribution; 512]);
    assert!(layout.columns(0).has(Column::Max));
    assert!(matches!(
        archive.append(&run(1, 0, 1, &layout)),
        Err(StoreError::TooLarge { .. })
    ));
    assert_eq!(all(&archive), []);
}

/// An append that is repeated because it failed half-way must not store a row twice.
#[test]
fn rows_that_are_stored_are_left_out() {
    let disk = Disk::default();
    let mut archive = open(&disk, 6);
    let layout = layout(1, &[Kind::Gauge, Kind::Histogram]);
    archive.append(&run(1, 0, 10, &layout)).unwrap();
    archive.append(&run(1, 0, 10, &layout)).unwrap();
    archive.append(&run(1, 5, 10, &layout)).unwrap();
    archive.append(&run(2, 5, 10, &layout)).unwrap();
    archive.flush().unwrap();
    drop(archive);
    let mut archive = open(&disk, 6);
    archive.append(&run(1, 12, 5, &layout)).unwrap();
    let found: Vec<_> = all(&archive)
        .iter()
        .map(|run| (run.source.incarnation[0], run.rows()))
        .collect();
    assert_eq!(found, [(1, 10), (1, 5), (2, 10), (1, 2)]);
}

#[test]
fn runs_are_found_by_instance_and_time() {
    let mut archive = open(&Disk::default(), 4);
    let layout = layout(1, &[Kind::Gauge]);
    for n in 0..30 {
        archive.append(&run((n % 3) as u8, n * 10, 10, &layout)).unwrap();
        if n % 7 == 0 {
            archive.flush().unwrap();
        }
    }
    let find = |instance: Option<&str>, rows: std::ops::Range<i64>| {
        let wanted = super::Wanted {
            tier: Some(1),
            instance_hash: instance.map(|name| rondo_shm_layout::fnv1a_64(name.as_bytes())),
            wall_ns: (1_000 + rows.start) * INTERVAL_NS.cast_signed()
                ..(1_000 + rows.end) * INTERVAL_NS.cast_signed(),
        };
        let runs = archive.runs(0, wanted);
        runs.map(|run| (run.unwrap().start_ns() / INTERVAL_NS - 1_000) / 10)
            .collect::<Vec<_>>()
    };
    assert_eq!(find(None, 0..300).len(), 30);
    assert_eq!(find(None, 45..60), [4, 5]);
    assert_eq!(find(Some("vm-1"), 0..300), [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]);
    assert_eq!(find(Some("vm-1"), 100..110), [10]);
    assert!(find(Some("vm-9"), 0..300).is_empty());
}

/// Layouts are stored once in an extent, also after a restart.
#[test]
fn equal_layouts_share_a_block() {
    let disk = Disk::default();
    let mut places = Vec::new();
    for n in 0..3 {
        let mut archive = open(&disk, 2);
        // A new object each time.
        archive
            .append(&run(1, n * 5, 5, &layout(1, &[Kind::Counter])))
            .unwrap();
        archive.flush().unwrap();
        places = archive
            .runs(0, everything(1))
            .map(|run| archive.layout(&run.unwrap()).unwrap())
            .collect();
    }
    assert_eq!(places.len(), 3);
    assert!(std::sync::Arc::ptr_eq(&places[0], &places[2]));
    let text = b"counter_0";
    assert_eq!(
        disk.bytes()
            .windows(text.len())
            .filter(|window| window == text)
            .count(),
        1
    );
    assert_eq!(EXTENT_BYTES, 16_384);
}

/// A name is used again and again. Extents from before a machine's creation are not searched, and must not have been needed.
#[test]
fn progress_is_found_among_the_past_lives_of_a_name() {
    let disk = Disk::default();
    let layout = layout(1, &[Kind::Gauge; 20]);
    let life = |number: u8| {
        let mut run = run(number, u64::from(number) * 40, 40, &layout);
        let created_ns = run.start_ns + 1;
        run.source = Arc::new(Source {
            instance: "vm".into(),
            created_ns,
            ..(*run.source).clone()
        });
        run
    };
    let mut archive = open(&disk, 64);
    (0..40).for_each(|number| archive.append(&life(number)).unwrap());
    archive.flush().unwrap();
    assert!(archive.order.len() > 4, "all of it is in a few extents");
    let mut archive = open(&disk, 64);
    let mut progress = |run: &Run| archive.progress(&run.source, ProgressKey::new(&run.source, 0, 1));
    for number in 0..40 {
        assert_eq!(progress(&life(number)), Some(life(number).end_ns()));
    }
    assert_eq!(progress(&life(40)), None);
}
