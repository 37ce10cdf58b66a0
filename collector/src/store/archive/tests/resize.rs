//! Another budget: the newest extents stay, whenever the process is stopped on the way.

use super::disk::Disk;
use super::samples::{layout, run};
use super::{all, open, open_read_only, read_all};
use crate::store::Run;
use crate::store::archive::ring::Archive;
use proptest::prelude::*;
use rondo_reader::Kind;
use std::path::Path;

/// An archive of so many extents after so many runs, of which each fills more than half an extent.
fn filled(extent_count: usize, run_count: u64) -> (Disk, Vec<Run>) {
    let disk = Disk::default();
    let mut archive = open(&disk, extent_count);
    let layout = layout(1, &[Kind::Gauge; 40]);
    for n in 0..run_count {
        archive.append(&run(1, n * 40, 40, &layout)).unwrap();
    }
    archive.sync().unwrap();
    (disk, all(&archive))
}

#[test]
fn the_newest_extents_stay() {
    for (before, run_count, after) in [
        (6, 20, 2),
        (6, 20, 5),
        (6, 3, 4),
        (6, 9, 3),
        (2, 9, 7),
        (3, 0, 5),
        (5, 0, 2),
    ] {
        let (disk, runs) = filled(before, run_count);
        let mut archive = open(&disk, after);
        let kept = &runs[runs.len() - runs.len().min(after)..];
        assert_eq!(all(&archive), kept, "{before} to {after}");
        assert_eq!(disk.bytes().len(), 8192 + after * 16_384);
        // And it goes on as a ring of its new size.
        let layout = layout(1, &[Kind::Gauge; 40]);
        for n in 0..12 {
            archive
                .append(&run(1, (run_count + n) * 40, 40, &layout))
                .unwrap();
        }
        archive.sync().unwrap();
        assert_eq!(all(&archive).len(), after);
        assert_eq!(all(&open(&disk, after)), all(&archive));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Stopped after any number of bytes, by a power cut or without: the extents to keep are there, once.
    #[test]
    fn shrinking_can_be_interrupted(before in 3usize..8, run_count in 0u64..20, after in 2usize..6, room in 0usize..100_000, seed: u64, is_cut: bool) {
        let (disk, runs) = filled(before, run_count);
        disk.set_room(Some(room));
        let stopped = Archive::open(Path::new("a"), Box::new(disk.clone()), |_| Ok(after)).is_err();
        disk.set_room(None);
        let disk = if stopped && is_cut {
            disk.cut(512, seed)
        } else {
            disk
        };
        let kept = &runs[runs.len() - runs.len().min(after)..];
        let (served, _) = read_all(&open_read_only(&disk));
        prop_assert!(served.ends_with(kept));
        prop_assert_eq!(all(&open(&disk, after)), kept);
        prop_assert_eq!(all(&open(&disk, after)), kept);
    }
}
