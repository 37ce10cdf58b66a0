//! The archives of one store, by tier, and the lock that makes one process their writer.

use super::error::StoreError;
use super::frame::ENTRY_BYTES;
use super::header::{ArchiveHeader, EXTENTS_OFFSET, is_extent_size};
use super::medium::Medium;
use super::progress::ProgressKey;
use super::read::{RunRef, Wanted};
use super::ring::Archive;
use crate::store::{Layout, Run, Source};
use nix::sys::statvfs::statvfs;
use rondo_shm_layout::fnv1a_64;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of a store.
const ARCHIVE_COUNT: usize = 3;
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
    fn extent_count(&self, archive: usize, extent_bytes: u32) -> Result<usize, StoreError> {
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

/// What one archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveUsage {
    /// Tier that it keeps; the last one keeps all later ones too.
    pub tier: u8,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of an extent.
    pub extent_bytes: u32,
    /// How many extents there are.
    pub extent_count: usize,
    /// How many of them hold something.
    pub used_extent_count: usize,
    /// Start of the earliest row and end of the latest, on the wall clock.
    pub wall_ns: Option<Range<i64>>,
    /// Runs on disk.
    pub runs: u64,
    /// Their rows.
    pub rows: u64,
    /// Rows times series.
    pub points: u64,
    /// Bytes of the runs' blocks.
    pub run_bytes: u64,
    /// Bytes of all frames: runs, layouts, directories, headers, and what fills up their last blocks.
    pub frame_bytes: u64,
    /// Bytes of the frame that the next flush writes.
    pub pending_bytes: usize,
    /// Bytes written since the store was opened.
    pub written_bytes: u64,
}

/// All archives of a store.
pub struct Archives {
    archives: Vec<Archive>,
    /// Held as long as this process may write.
    _lock: Option<File>,
}

impl Archives {
    /// Opens the store in `dir` for writing, or makes it. Takes as long as it takes to read all directories: under
    /// a second for 2 GiB. Another budget than before makes the files larger or smaller; the newest extents stay.
    ///
    /// # Errors
    /// Another process has it, the budget is too small, the disk is full, or a file is no archive.
    pub fn open(dir: &Path, settings: &ArchiveSettings) -> Result<Self, StoreError> {
        if !is_extent_size(settings.extent_bytes) {
            return Err(StoreError::ExtentSize {
                extent_bytes: settings.extent_bytes,
            });
        }
        std::fs::create_dir_all(dir).map_err(StoreError::io("make", dir))?;
        let lock = lock(dir)?;
        let mut made = Vec::new();
        let open = |number: usize| {
            let path = path_of(dir, number);
            let file = match open_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let file = create(dir, number, settings)?;
                    made.push(path.clone());
                    file
                }
                file => file.map_err(StoreError::io("open", &path))?,
            };
            Archive::open(&path, Box::new(file), |extent_bytes| {
                settings.extent_count(number, extent_bytes)
            })
        };
        match (0..ARCHIVE_COUNT).map(open).collect::<Result<_, _>>() {
            Ok(archives) => Ok(Self {
                archives,
                _lock: Some(lock),
            }),
            Err(error) => {
                // All or nothing: what was allocated is not left behind on a full disk.
                for path in &made {
                    let _ = std::fs::remove_file(path);
                }
                Err(if error.is_full() {
                    no_room(dir, settings)
                } else {
                    error
                })
            }
        }
    }

    /// Opens the store in `dir` to read what it holds at this moment, whoever may be writing.
    ///
    /// # Errors
    /// There is none, or a file is no archive.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let open = |number: usize| {
            let path = path_of(dir, number);
            let file = File::open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => StoreError::Missing {
                    path: dir.to_owned(),
                    file: file_name(number),
                },
                _ => StoreError::io("open", &path)(error),
            })?;
            Archive::open_read_only(&path, Box::new(file))
        };
        let archives = (0..ARCHIVE_COUNT).map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            archives,
            _lock: None,
        })
    }

    fn archive_of(tier: u8) -> usize {
        usize::from(tier).min(ARCHIVE_COUNT - 1)
    }

    /// Adds a run, which is in memory until the next flush, or until its extent is full. Rows of the slice that
    /// are stored already are left out, so that an append that failed may simply be repeated.
    ///
    /// # Errors
    /// The disk refuses a frame that had to be written first, or a row is larger than an extent.
    pub fn append(&mut self, run: &Run) -> Result<(), StoreError> {
        self.archives[Self::archive_of(run.layout.tier())].append(run)
    }

    /// Writes what is in memory to the files: it then survives this process, but not the machine.
    ///
    /// # Errors
    /// The disk refuses. All is still in memory, and the next flush tries again.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.each(Archive::flush)
    }

    /// Flushes, and waits until all is on stable storage.
    ///
    /// # Errors
    /// As with [`flush`](Self::flush).
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.each(Archive::sync)
    }

    /// Does it to all archives, whatever happens with one; the first error counts.
    fn each(
        &mut self,
        mut what: impl FnMut(&mut Archive) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let results: Vec<_> = self.archives.iter_mut().map(&mut what).collect();
        results.into_iter().collect()
    }

    /// Slab time up to which a slice of a slab is stored in a tier, rows in memory included. The first time
    /// it asks the directories; then it remembers.
    pub fn progress(&mut self, source: &Source, first_series: u32, tier: u8) -> Option<u64> {
        let key = ProgressKey::new(source, first_series, tier);
        self.archives[Self::archive_of(tier)].progress(source, key)
    }

    /// Forgets how far the slices are stored that are not to be kept, as those of machines that are gone. Nothing
    /// but time is lost: directories know it all.
    pub fn retain_progress(&mut self, keep: impl Fn(&ProgressKey) -> bool) {
        for archive in &mut self.archives {
            archive.retain_progress(&keep);
        }
    }

    /// The runs of a tier that overlap a range of the wall clock, of one instance or all, in order of writing. An
    /// error stands for a directory that is damaged; the others follow.
    ///
    /// Instances are told apart by a hash of 64 bits: who reads on compares the name.
    pub fn runs(
        &self,
        tier: u8,
        instance: Option<&str>,
        wall_ns: Range<i64>,
    ) -> impl Iterator<Item = Result<RunRef, StoreError>> {
        let number = Self::archive_of(tier);
        let wanted = Wanted {
            tier,
            instance_hash: instance.map(|name| fnv1a_64(name.as_bytes())),
            wall_ns,
        };
        self.archives[number].runs(number, wanted)
    }

    /// All of a run.
    ///
    /// # Errors
    /// It was overwritten, or is damaged, or cannot be read.
    pub fn read(&self, run: &RunRef) -> Result<Run, StoreError> {
        self.archives[run.archive].read(run)
    }

    /// Some series of a run, by their indices in its layout, ascending. The run's own layout is of these only.
    ///
    /// # Errors
    /// As with [`read`](Self::read).
    pub fn read_series(&self, run: &RunRef, series: &[usize]) -> Result<Run, StoreError> {
        self.archives[run.archive].read_series(run, series)
    }

    /// The layout of a run, without its rows. Runs of equal layouts mostly answer with the same object.
    ///
    /// # Errors
    /// As with [`read`](Self::read).
    pub fn layout(&self, run: &RunRef) -> Result<Arc<Layout>, StoreError> {
        self.archives[run.archive].layout(run)
    }

    /// What each archive holds.
    pub fn usage(&self) -> Vec<ArchiveUsage> {
        (0u8..)
            .zip(&self.archives)
            .map(|(tier, archive)| usage(tier, archive))
            .collect()
    }

    /// Bytes of a machine by tier: its runs, their directory entries, and its share of their layouts. What
    /// is not flushed yet does not count.
    ///
    /// # Errors
    /// A directory is damaged.
    pub fn bytes_of(&self, instance: &str) -> Result<BTreeMap<u8, u64>, StoreError> {
        let hash = fnv1a_64(instance.as_bytes());
        let mut bytes = BTreeMap::new();
        for archive in &self.archives {
            // Of each layout in each extent: all runs that have it, and the instance's by tier.
            let mut shares: HashMap<(usize, u32), (u64, BTreeMap<u8, u64>)> = HashMap::new();
            for directory in archive.directories(|extent| extent.may_hold(hash)) {
                let (place, _, entries) = directory?;
                for entry in &entries {
                    let share = shares.entry((place, entry.layout_offset.get())).or_default();
                    share.0 += 1;
                    if entry.instance_hash.get() == hash {
                        *bytes.entry(entry.tier).or_default() +=
                            u64::from(entry.run_length.get()) + ENTRY_BYTES as u64;
                        *share.1.entry(entry.tier).or_default() += u64::from(entry.layout_length.get());
                    }
                }
            }
            for (runs, owned) in shares.into_values() {
                for (tier, layout_bytes) in owned {
                    *bytes.entry(tier).or_default() += layout_bytes.div_ceil(runs);
                }
            }
        }
        Ok(bytes)
    }
}

fn usage(tier: u8, archive: &Archive) -> ArchiveUsage {
    let used = || archive.extents.iter().flatten();
    let mut totals = super::extent::Totals::default();
    used().for_each(|extent| totals += extent.totals);
    let earliest = used().map(|extent| extent.wall_ns.0).min();
    let latest = used().map(|extent| extent.wall_ns.1).max();
    ArchiveUsage {
        tier,
        file_bytes: archive.header.size_of(archive.extents.len()),
        extent_bytes: archive.header.extent_bytes.get(),
        extent_count: archive.extents.len(),
        used_extent_count: used().count(),
        wall_ns: earliest.zip(latest).map(|(earliest, latest)| earliest..latest),
        runs: totals.runs,
        rows: totals.rows,
        points: totals.points,
        run_bytes: totals.run_bytes,
        frame_bytes: used().map(|extent| extent.end as u64).sum(),
        pending_bytes: archive
            .filling
            .as_ref()
            .filter(|filling| !filling.pending.entries.is_empty())
            .map_or(0, |filling| filling.pending.len()),
        written_bytes: archive
            .filling
            .as_ref()
            .map_or(0, |filling| filling.written_bytes),
    }
}

fn file_name(number: usize) -> String {
    format!("tier-{number}.archive")
}

fn path_of(dir: &Path, number: usize) -> PathBuf {
    dir.join(file_name(number))
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// What is missing, as of now.
fn no_room(dir: &Path, settings: &ArchiveSettings) -> StoreError {
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
fn create(dir: &Path, number: usize, settings: &ArchiveSettings) -> Result<File, StoreError> {
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
fn lock(dir: &Path) -> Result<File, StoreError> {
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
