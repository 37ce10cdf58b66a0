//! What could go: files of the bus that no writer owns.
//!
//! Looks at one file at a time, so that neither the limit on open files nor what one user may have on a bus keeps
//! it from seeing all of them.

use crate::commands::age::{ended_ago, is_of_present_boot};
use crate::commands::gc::leftover;
use rondo_reader::{Error, Limits, Liveness, Slab};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why nobody owns a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// The writer closed the slab.
    Closed,
    /// The writer is gone without having done so.
    Dead,
    /// The host was rebooted since.
    OtherBoot,
    /// The writer died while it made the slab.
    Unfinished,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Dead => "dead",
            Self::OtherBoot => "other boot",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A file that could go.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) path: PathBuf,
    /// Device and inode.
    pub(crate) file_id: (u64, u64),
    pub(crate) reason: Reason,
    pub(crate) size_bytes: u64,
    /// How long its writer has been gone, as far as can be told.
    pub(crate) age: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    /// Why files cannot be judged, and so stay: the first of them.
    pub(crate) unreadable: Vec<Error>,
    /// How many these are.
    pub(crate) unreadable_count: usize,
}

/// Anyone can put any number of files on a bus.
const UNREADABLE_MAX: usize = 20;

/// Looks at every file of `bus`.
pub(crate) fn find(bus: &Path, slab_bytes_max: u64) -> Result<Found, Error> {
    let system = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::BusMissing(bus.to_owned()),
        _ => Error::System {
            action: "list",
            path: bus.to_owned(),
            source,
        },
    };
    let mut found = Found::default();
    for entry in std::fs::read_dir(bus).map_err(system)? {
        let entry = entry.map_err(system)?;
        let looked = match entry.file_name().to_str() {
            Some(name) if leftover::is_name(name) => leftover::look(&entry.path()),
            Some(name) if name.ends_with(".slab") && !name.starts_with('.') => look(&entry, slab_bytes_max),
            _ => Ok(None),
        };
        match looked {
            Ok(candidate) => found.candidates.extend(candidate),
            Err(Error::NotFound(_)) => {}
            Err(error) => {
                found.unreadable_count += 1;
                if found.unreadable.len() < UNREADABLE_MAX {
                    found.unreadable.push(error);
                }
            }
        }
    }
    Ok(found)
}

/// Of a single slab only its size is limited.
pub(crate) fn limits(slab_bytes_max: u64) -> Limits {
    Limits {
        slab_bytes_max,
        ..Limits::default()
    }
}

fn look(entry: &DirEntry, slab_bytes_max: u64) -> Result<Option<Candidate>, Error> {
    let slab = Slab::open(entry.path(), &limits(slab_bytes_max))?;
    let (view, counters) = (slab.view()?, slab.live()?);
    let reason = match view.liveness {
        Liveness::Live => return Ok(None),
        _ if is_of_another_boot(&slab.identity().boot_id) => Reason::OtherBoot,
        Liveness::Closed => Reason::Closed,
        Liveness::Dead => Reason::Dead,
    };
    Ok(Some(Candidate {
        path: slab.path().to_owned(),
        file_id: slab.file_id(),
        reason,
        size_bytes: slab.size_bytes(),
        age: ended_ago(&slab, &view, &counters),
    }))
}

fn is_of_another_boot(boot_id: &[u8; 16]) -> bool {
    *boot_id != [0; 16] && !is_of_present_boot(boot_id)
}
