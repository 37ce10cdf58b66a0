//! All archives of a store, as one.

use super::error::StoreError;
use super::files::{ARCHIVE_COUNT, ArchiveSettings, create, file_name, lock, no_room, open_file, path_of};
use super::header::is_extent_size;
use super::progress::ProgressKey;
use super::read::{RunRef, Wanted};
use super::ring::Archive;
use crate::store::{Layout, Run, Source};
use rondo_shm_layout::fnv1a_64;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// All archives of a store.
pub struct Archives {
    pub(super) archives: Vec<Archive>,
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

    pub(super) fn archive_of(tier: u8) -> usize {
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
            tier: Some(tier),
            instance_hash: instance.map(|name| fnv1a_64(name.as_bytes())),
            wall_ns,
        };
        self.archives[number].runs(number, wanted)
    }

    /// The runs of all tiers and machines, archive after archive, each in order of writing. Reads all directories, as opening
    /// does.
    pub fn all_runs(&self) -> impl Iterator<Item = Result<RunRef, StoreError>> {
        let archives = self.archives.iter().enumerate();
        archives.flat_map(|(number, archive)| {
            let everything = Wanted {
                tier: None,
                instance_hash: None,
                wall_ns: i64::MIN..i64::MAX,
            };
            archive.runs(number, everything)
        })
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
}
