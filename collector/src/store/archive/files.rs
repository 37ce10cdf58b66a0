//! The files of a store: how large they are, how they come to be, and the lock that makes one process their writer.

use super::error::StoreError;
use super::header::{ArchiveHeader, EXTENTS_OFFSET};
use super::medium::Medium;
use nix::sys::statvfs::statvfs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Files of a store.
pub(super) const ARCHIVE_COUNT: usize = 3;
/// Least extents of a ring: one to fill, and one to keep.
const EXTENTS_MIN: usize = 2;

/// How much room a store takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// Of all files together. Half of it goes to tier 0, a quarter to each of the others.
    pub budget_bytes: u64,
    /// A power of two from 16 KiB to 16 MiB. An archive that is there already keeps its own.
    pub extent_bytes: u32,
}

impl Default for ArchiveSettings {
    fn default() -> Self {
        Self {
            budget_bytes: 2 << 30,
            extent_bytes: 1 << 20,
        }
    }
}

impl ArchiveSettings {
    /// How many extents of that size an archive gets.
    pub(super) fn extent_count(&self, archive: usize, extent_bytes: u32) -> Result<usize, StoreError> {
        let parts = if archive == 0 { 2 } else { 4 };
        let room = (self.budget_bytes / parts).saturating_sub(EXTENTS_OFFSET);
        let count = usize::try_from(room / u64::from(extent_bytes)).unwrap_or(usize::MAX);
        if count < EXTENTS_MIN {
            return Err(StoreError::BudgetTooSmall {
                budget_bytes: self.budget_bytes,
                least_bytes: 4 * (EXTENTS_OFFSET + EXTENTS_MIN as u64 * u64::from(extent_bytes)),
            });
        }
        Ok(count)
    }
}

/// By number.
pub(super) fn file_name(number: usize) -> String {
    format!("tier-{number}.archive")
}

/// By number.
pub(super) fn path_of(dir: &Path, number: usize) -> PathBuf {
    dir.join(file_name(number))
}

/// A file that is there, for writing.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// What is missing, as of now.
pub(super) fn no_room(dir: &Path, settings: &ArchiveSettings) -> StoreError {
    let sizes = (0..ARCHIVE_COUNT).filter_map(|number| path_of(dir, number).metadata().ok());
    let there: u64 = sizes.map(|file| file.len()).sum();
    let free_bytes = statvfs(dir).map_or(0, |disk| {
        disk.blocks_available().saturating_mul(disk.fragment_size())
    });
    StoreError::NoRoom {
        path: dir.to_owned(),
        needed_bytes: settings.budget_bytes.saturating_sub(there),
        free_bytes,
    }
}

/// Makes an empty archive. It has its name only when it is whole.
pub(super) fn create(dir: &Path, number: usize, settings: &ArchiveSettings) -> Result<File, StoreError> {
    let path = path_of(dir, number);
    let unfinished = dir.join(format!(".{}.new", file_name(number)));
    let extent_count = settings.extent_count(number, settings.extent_bytes)?;
    let make = || {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&unfinished)?;
        let header = ArchiveHeader::new(number as u16, settings.extent_bytes)?;
        Medium::resize(&file, header.size_of(extent_count))?;
        header.write(&file)?;
        std::fs::rename(&unfinished, &path)?;
        File::open(dir)?.sync_all()?;
        io::Result::Ok(file)
    };
    make().map_err(|error| {
        // What was allocated is not left behind on a full disk.
        let _ = std::fs::remove_file(&unfinished);
        StoreError::io("make", &path)(error)
    })
}

/// Takes the store's lock, and writes down who has it.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("store.lock");
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = file.map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
            return Err(StoreError::Locked {
                path: dir.to_owned(),
                holder: if known {
                    format!("pid {}", pid.trim())
                } else {
                    "pid unknown".to_owned()
                },
            });
        }
        Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
    }
    let mut write = || {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    write().map_err(StoreError::io("write", &path))?;
    Ok(file)
}
