//! Bytes that are not what was written: an error or nothing, never a panic, never a wrong row.

use super::disk::Disk;
use super::samples::{layout, run};
use super::{all, open, open_read_only, read_all, try_open};
use crate::store::Run;
use crate::store::archive::error::StoreError;
use crate::store::archive::header::EXTENTS_OFFSET;
use crate::store::archive::medium::Medium;
use crate::store::archive::ring::Archive;
use proptest::prelude::*;
use rondo_reader::Kind;
use std::path::Path;

/// Several frames in several extents, one of them in its second lap: all runs that were ever appended, and
/// those that are still there.
fn small() -> (Disk, Vec<Run>, Vec<Run>) {
    let disk = Disk::default();
    let mut archive = open(&disk, 3);
    let layout = layout(1, &Kind::ALL);
    let appended: Vec<Run> = (0..14).map(|n| run(n as u8 % 2, n * 20, 20, &layout)).collect();
    for run in &appended {
        archive.append(run).unwrap();
        archive.sync().unwrap();
    }
    let runs = all(&archive);
    assert!(runs.len() < 14 && runs.len() > 6);
    (disk, appended, runs)
}

fn try_read_only(disk: &Disk) -> Result<Archive, StoreError> {
    Archive::open_read_only(Path::new("tier-1.archive"), Box::new(disk.clone()))
}

/// What a changed bit costs is at most what is in one frame, or what needs the layout in it.
#[test]
fn every_byte_flipped_is_skipped_or_said() {
    let (disk, appended, runs) = small();
    let size = disk.bytes().len();
    let mut harmless = 0;
    for at in 0..size {
        disk.flip(at);
        let (served, damaged) = read_all(&open_read_only(&disk));
        disk.flip(at);
        assert!(served.iter().all(|run| appended.contains(run)), "byte {at}");
        let lost = runs.iter().filter(|run| !served.contains(run)).count();
        assert!(lost <= 4, "byte {at}: {lost} lost, {damaged} damaged");
        harmless += usize::from(lost == 0);
    }
    // Both copies of the head and what fills up blocks, but no frame.
    assert!(
        harmless > EXTENTS_OFFSET as usize && harmless < size * 3 / 4,
        "{harmless}"
    );
}

/// A damaged head is mended from its copy, and an archive without any is refused, not overwritten.
#[test]
fn a_damaged_head_is_mended() {
    let (disk, _, runs) = small();
    for broken in [&[3usize][..], &[4096 + 20], &[3, 4096 + 20]] {
        let mut bytes = disk.bytes();
        broken.iter().for_each(|&at| bytes[at] ^= 1);
        let disk = Disk::of(bytes.clone());
        if broken.len() == 2 {
            assert!(matches!(try_open(&disk, 3), Err(StoreError::NotAnArchive { .. })));
            assert_eq!(disk.bytes(), bytes);
        } else {
            assert_eq!(all(&open(&disk, 3)), runs);
            assert_eq!(disk.bytes()[..36], disk.bytes()[4096..4096 + 36]);
        }
    }
}

#[test]
fn truncated_files_serve_what_is_left_and_are_made_whole() {
    let (disk, appended, runs) = small();
    let bytes = disk.bytes();
    for length in (0..bytes.len()).step_by(1000) {
        let disk = Disk::of(bytes[..length].to_vec());
        match try_read_only(&disk) {
            Ok(archive) => {
                let (served, _) = read_all(&archive);
                assert!(served.iter().all(|run| appended.contains(run)));
            }
            Err(error) => assert!(
                length < 36 && matches!(error, StoreError::NotAnArchive { .. }),
                "{length}: {error}"
            ),
        }
        if length >= 36 {
            drop(open(&disk, 3));
            assert_eq!(disk.size().unwrap() as usize, bytes.len());
        }
    }
    // One extent more, or part of one.
    for more in [1, 4096, 16_384, 20_000] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0xAB);
        let disk = Disk::of(longer);
        assert_eq!(all(&open_read_only(&disk)), runs);
        assert_eq!(all(&open(&disk, 3)), runs);
        assert_eq!(disk.size().unwrap() as usize, bytes.len());
    }
}

/// An extent of another archive passes for nothing, though all its checksums are right.
#[test]
fn extents_of_another_archive_are_not_served() {
    let (one, ..) = small();
    let (other, _, runs) = small();
    let (start, end) = (EXTENTS_OFFSET as usize, EXTENTS_OFFSET as usize + 16_384);
    let mut bytes = other.bytes();
    bytes[start..end].copy_from_slice(&one.bytes()[start..end]);
    let served = all(&open_read_only(&Disk::of(bytes)));
    assert!(!served.is_empty() && served.len() < runs.len());
    assert!(served.iter().all(|run| runs.contains(run)));
}

/// Zeroed stretches, as a file with holes has.
#[test]
fn holes_are_skipped() {
    let (disk, appended, _) = small();
    let bytes = disk.bytes();
    for start in (EXTENTS_OFFSET as usize..bytes.len()).step_by(2048) {
        let mut bytes = bytes.clone();
        let end = (start + 5000).min(bytes.len());
        bytes[start..end].fill(0);
        let disk = Disk::of(bytes);
        for archive in [open_read_only(&disk), open(&disk, 3)] {
            let (served, _) = read_all(&archive);
            assert!(served.iter().all(|run| appended.contains(run)));
        }
    }
}

proptest! {
    /// Anything at all after a head.
    #[test]
    fn any_damage_is_survived(patches in prop::collection::vec((0usize..60_000, prop::collection::vec(any::<u8>(), 1..600)), 1..8)) {
        let (disk, appended, _) = small();
        let mut bytes = disk.bytes();
        for (at, patch) in patches {
            let at = EXTENTS_OFFSET as usize + at % (bytes.len() - EXTENTS_OFFSET as usize);
            let end = (at + patch.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&patch[..end - at]);
        }
        let disk = Disk::of(bytes);
        let mut archive = open(&disk, 3);
        let (served, _) = read_all(&archive);
        prop_assert!(served.iter().all(|run| appended.contains(run)));
        let more = run(9, 0, 5, &layout(1, &[Kind::Gauge]));
        archive.append(&more).unwrap();
        archive.sync().unwrap();
        let (served, _) = read_all(&open(&disk, 3));
        prop_assert_eq!(served.last(), Some(&more));
    }
}
