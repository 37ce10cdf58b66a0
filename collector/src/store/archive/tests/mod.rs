//! Failure stories of archives, on a disk in memory that fails as it is told to.

mod bound;
mod corruption;
mod disk;
mod faults;
mod power_cut;
mod resize;
mod ring;
mod samples;
mod spec;

use super::error::StoreError;
use super::header::ArchiveHeader;
use super::read::Wanted;
use super::ring::Archive;
use crate::store::Run;
use disk::Disk;
use std::path::Path;

/// Size of the extents of these tests: the least.
const EXTENT_BYTES: u32 = 1 << 14;

/// Opens the archive on that disk, having made it if it is empty.
fn open(disk: &Disk, extent_count: usize) -> Archive {
    try_open(disk, extent_count).unwrap()
}

fn try_open(disk: &Disk, extent_count: usize) -> Result<Archive, StoreError> {
    if disk.bytes().is_empty() {
        let header = ArchiveHeader::new(1, EXTENT_BYTES).unwrap();
        disk.fill(header.size_of(extent_count));
        header.write(disk).unwrap();
    }
    Archive::open(Path::new("tier-1.archive"), Box::new(disk.clone()), |_| {
        Ok(extent_count)
    })
}

fn open_read_only(disk: &Disk) -> Archive {
    Archive::open_read_only(Path::new("tier-1.archive"), Box::new(disk.clone())).unwrap()
}

fn everything(tier: u8) -> Wanted {
    Wanted {
        tier: Some(tier),
        instance_hash: None,
        wall_ns: i64::MIN..i64::MAX,
    }
}

/// All runs that can be read, and how many cannot.
fn read_all(archive: &Archive) -> (Vec<Run>, usize) {
    let runs = archive.runs(0, everything(1));
    let read: Vec<_> = runs.map(|run| run.and_then(|run| archive.read(&run))).collect();
    let damaged = read.iter().filter(|run| run.is_err()).count();
    (read.into_iter().flatten().collect(), damaged)
}

/// All runs, none of which is damaged.
fn all(archive: &Archive) -> Vec<Run> {
    let (runs, damaged) = read_all(archive);
    assert_eq!(damaged, 0);
    runs
}
