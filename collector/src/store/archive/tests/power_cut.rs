//! The power fails while writes are on their way: in any order, each block by itself, or not at all.

use super::disk::Disk;
use super::samples::{INTERVAL_NS, any_runs};
use super::{everything, open, open_read_only, read_all};
use crate::store::Run;
use crate::store::archive::ProgressKey;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What was synchronised is there, unless its extent was being overwritten; what is there was appended, in
    /// this order, and not twice; and the archive goes on, through the next cut too.
    #[test]
    fn what_was_synchronised_survives(
        lives in prop::collection::vec((any_runs(1..12), prop::collection::vec(0u8..4, 12), any::<bool>()), 1..5),
        seed: u64,
    ) {
        let extent_count = 4;
        let mut disk = Disk::default();
        // All that was ever appended, and of it what is sure to be there.
        let mut appended: Vec<Run> = Vec::new();
        for (life, (runs, steps, is_large)) in lives.into_iter().enumerate() {
            let mut archive = open(&disk, extent_count);
            let (found, _) = read_all(&archive);
            prop_assert!(is_part_of(&found, &appended), "{:?} of {:?}", brief(&found), brief(&appended));
            let mut synced = Vec::new();
            for (mut run, step) in runs.into_iter().zip(steps) {
                // Each life is later than the one before.
                run.start_ns += life as u64 * 1_000_000 * INTERVAL_NS;
                archive.append(&run).unwrap();
                appended.push(run);
                match step {
                    0 => archive.flush().unwrap(),
                    1 => {
                        archive.sync().unwrap();
                        let runs = archive.runs(0, everything(1)).flatten();
                        let read = runs.filter_map(|run| Some((run.extent_use.sequence, archive.read(&run).ok()?)));
                        synced = read.collect();
                    }
                    _ => {}
                }
            }
            let newest = archive.filling.as_ref().unwrap().extent_use.sequence;
            drop(archive);
            let block_bytes = if is_large { 4096 } else { 512 };
            disk = disk.cut(block_bytes, seed.wrapping_add(life as u64));

            // Extents that nothing was written over.
            let is_safe = |sequence: u64| sequence + extent_count as u64 > newest;
            let mut stored: Vec<Run> = synced.iter().map(|(_, run)| run.clone()).collect();
            let must_be: Vec<Run> = synced.into_iter().filter(|(sequence, _)| is_safe(*sequence)).map(|(_, run)| run).collect();
            for mut archive in [open_read_only(&disk), open(&disk, extent_count)] {
                let (served, _) = read_all(&archive);
                prop_assert!(is_part_of(&served, &appended), "{:?} of {:?}", brief(&served), brief(&appended));
                prop_assert!(is_part_of(&must_be, &served), "{:?} of {:?}", brief(&must_be), brief(&served));
                // Rows that did not make it do not count as stored.
                stored.extend(served);
                for run in &appended {
                    let ends = stored.iter().filter(|other| other.source == run.source).map(Run::end_ns);
                    let progress = archive.progress(&run.source, ProgressKey::new(&run.source, 0, 1));
                    prop_assert!(progress <= ends.max());
                }
            }
        }
    }
}

fn brief(runs: &[Run]) -> Vec<(u8, u64, usize)> {
    runs.iter()
        .map(|run| (run.source.incarnation[0], run.start_ns / INTERVAL_NS, run.rows()))
        .collect()
}

/// Whether `part` is what is left of `whole` when some are taken out: the same order, none twice, none changed.
fn is_part_of(part: &[Run], whole: &[Run]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|run| rest.any(|other| contains(other, run)))
}

/// Whether the rows of `part` are rows of `whole`, which may have been split.
fn contains(whole: &Run, part: &Run) -> bool {
    let interval_ns = whole.layout.interval_ns();
    let (Some(skip_ns), true) = (
        part.start_ns.checked_sub(whole.start_ns),
        part.source == whole.source,
    ) else {
        return false;
    };
    let from = (skip_ns / interval_ns) as usize;
    let to = from + part.rows();
    to <= whole.rows()
        && part.layout == whole.layout
        && part.known == whole.known[from * whole.layout.series().len()..to * whole.layout.series().len()]
        && part.words == whole.words[from * whole.layout.width()..to * whole.layout.width()]
        && part.buckets
            == whole.buckets[from * whole.layout.histograms().len()..to * whole.layout.histograms().len()]
}
