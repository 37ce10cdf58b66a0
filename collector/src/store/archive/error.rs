//! What can go wrong with a store, for the person who has to mend it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// One process at a time writes.
    #[error("another process ({holder}) has the store {path}: stop it, or use another directory")]
    Locked {
        /// The directory.
        path: PathBuf,
        /// `pid N`, as far as known.
        holder: String,
    },
    /// Nothing was ever stored there.
    #[error("{path} is not a store: it has no {file}")]
    Missing {
        /// The directory.
        path: PathBuf,
        /// What it should have.
        file: String,
    },
    /// Foreign or badly damaged.
    #[error("{path} is not an archive that this version can use: {why}; move it away to start an empty one")]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// There would be no ring.
    #[error("a budget of {budget_bytes} bytes is too small: {least_bytes} are the least")]
    BudgetTooSmall {
        /// What was asked for.
        budget_bytes: u64,
        /// What would do.
        least_bytes: u64,
    },
    /// All of the budget is allocated when the store is made, so that it cannot run out later.
    #[error(
        "no room for the store {path}: it takes {needed_bytes} bytes more, and {free_bytes} are free; make room, or give it a smaller budget"
    )]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// What its files are short of.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// Outside what the format allows.
    #[error("extents cannot be {extent_bytes} bytes: a power of two from 16384 to 16777216 can")]
    ExtentSize {
        /// What was asked for.
        extent_bytes: u32,
    },
    /// The bytes are not what was written. Other runs are not concerned.
    #[error("{path} is damaged at byte {offset}: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the block or frame starts.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// The ring came round since the run was found.
    #[error("the run was overwritten by newer ones")]
    Overwritten,
    /// Not even one row of it fits into an extent.
    #[error("a row of {instance} and its layout need {needed_bytes} bytes, but an extent has {extent_bytes}")]
    TooLarge {
        /// Whose row.
        instance: String,
        /// What it takes.
        needed_bytes: usize,
        /// What there is.
        extent_bytes: u32,
    },
    /// A mistake of the caller, or a name that no slab could have.
    #[error("cannot store the run of {instance}: {why}")]
    Unfit {
        /// Whose run.
        instance: String,
        /// What is wrong.
        why: String,
    },
    /// Opened with `open_read_only`.
    #[error("{path} is open for reading only")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether the same run would be refused again, however often it is tried.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Unfit { .. })
    }

    /// Whether it says that the disk is full, or the user's share of it, or that it has no files of that size.
    pub(super) fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), FileTooLarge | StorageFull | QuotaExceeded))
    }

    /// Turns an error of the system into one that says what was tried with which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
