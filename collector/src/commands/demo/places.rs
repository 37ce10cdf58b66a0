//! Where the demo's slabs and its store are: where the user wants to keep them, or in directories that go with the demo.

use crate::collect::settings::STORE_BUDGET_MIN;
use crate::show;
use crate::store::{Archives, StoreError};
use anyhow::{Context, ensure};
use nix::sys::statvfs::statvfs;
use std::path::{Path, PathBuf, absolute};
use tempfile::TempDir;

/// Shared memory, where a bus of the demo's own is made.
const SHARED_MEMORY: &str = "/dev/shm";

/// What a new store takes, at least.
const NEW_STORE_BYTES: u64 = 64 << 20;

/// The two directories. What is temporary is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Places {
    bus: Place,
    store: Place,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    fn kept(path: &Path) -> anyhow::Result<Self> {
        let path = absolute(path).with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Self {
            path,
            temporary: None,
        })
    }

    fn temporary_in(parent: &Path) -> anyhow::Result<Self> {
        let made = tempfile::Builder::new().prefix("rondo-demo-").tempdir_in(parent);
        let made = made.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        Ok(Self {
            path: made.path().to_owned(),
            temporary: Some(made),
        })
    }

    fn leave(self) -> anyhow::Result<Option<PathBuf>> {
        match self.temporary {
            Some(made) => {
                let left = || format!("cannot remove {}, which was temporary", self.path.display());
                made.close().with_context(left).map(|()| None)
            }
            None => Ok(Some(self.path)),
        }
    }
}

impl Places {
    /// Uses the directories that are given, and makes those that are not.
    pub(super) fn make(bus: Option<&Path>, store: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(bus) = bus {
            ensure!(
                bus.is_dir(),
                "bus directory {} does not exist; create it, or leave --bus out",
                bus.display()
            );
        }
        Ok(Self {
            bus: match bus {
                Some(bus) => Place::kept(bus)?,
                None => Place::temporary_in(Path::new(SHARED_MEMORY))?,
            },
            store: match store {
                Some(store) => Place::kept(store)?,
                None => Place::temporary_in(&std::env::temp_dir())?,
            },
        })
    }

    pub(super) fn bus(&self) -> &Path {
        &self.bus.path
    }

    pub(super) fn store(&self) -> &Path {
        &self.store.path
    }

    /// The budget with which the collector is to open the store. One that is there keeps its size, so that
    /// a demo never cuts what others have stored.
    pub(super) fn budget_bytes(&self, machines: u32, seconds: u64) -> anyhow::Result<u64> {
        let (store, needed) = (self.store(), needed_bytes(machines, seconds));
        match Archives::open_read_only(store) {
            Ok(archives) => {
                let budget = budget_of(&archives);
                ensure!(
                    budget >= needed,
                    "the store {} takes {}, and these machines may need {}: ask for fewer machines or seconds, or for another --store",
                    store.display(),
                    show::size(budget),
                    show::size(needed)
                );
                Ok(budget)
            }
            Err(StoreError::Missing { .. }) => {
                let budget = needed.max(NEW_STORE_BYTES);
                let there = store.ancestors().find_map(|there| statvfs(there).ok());
                let free = there.map(|stat| stat.blocks_available() * stat.fragment_size());
                ensure!(
                    free.is_none_or(|free| free > budget),
                    "the store takes {}, and the file system of {} has {} left: make room, or name a directory elsewhere with --store",
                    show::size(budget),
                    store.display(),
                    show::size(free.unwrap_or(0))
                );
                Ok(budget)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is temporary, and says where the bus and the store are that stay.
    pub(super) fn leave(self) -> anyhow::Result<(Option<PathBuf>, Option<PathBuf>)> {
        Ok((self.bus.leave()?, self.store.leave()?))
    }
}

/// More than the rows of so many machines take: a kilobyte for each second in the half of the store that is tier 0's, and a
/// few windows in the quarters of the others.
fn needed_bytes(machines: u32, seconds: u64) -> u64 {
    u64::from(machines) * ((16 << 10) + (seconds << 10))
}

/// The least budget, of those that a collector takes, that leaves the files of a store as they are: tier 0 gets half of it, the others a quarter each.
fn budget_of(archives: &Archives) -> u64 {
    let shares = archives.usage().into_iter();
    let budgets = shares.map(|archive| archive.file_bytes * if archive.tier == 0 { 2 } else { 4 });
    budgets.fold(STORE_BUDGET_MIN, u64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ArchiveSettings;

    fn settings(budget_bytes: u64) -> ArchiveSettings {
        ArchiveSettings {
            budget_bytes,
            ..ArchiveSettings::default()
        }
    }

    /// Otherwise a demo that is pointed at a store of 2 GiB would throw most of it away.
    #[test]
    fn a_store_that_is_there_keeps_its_size() {
        let sizes = |archives: &Archives| {
            let usage = archives.usage().into_iter();
            usage.map(|archive| archive.file_bytes).collect::<Vec<_>>()
        };
        for budget in [16 << 20, (33 << 20) + 4_097, 100 << 20] {
            let store = tempfile::tempdir().unwrap();
            let before = sizes(&Archives::open(store.path(), &settings(budget)).unwrap());
            let places = Places::make(None, Some(store.path())).unwrap();
            let kept = places.budget_bytes(3, 45).unwrap();
            let after = sizes(&Archives::open(store.path(), &settings(kept)).unwrap());
            assert_eq!(after, before, "{budget}");
        }
    }

    #[test]
    fn a_store_that_is_too_small_is_refused_before_anything_starts() {
        let store = tempfile::tempdir().unwrap();
        Archives::open(store.path(), &settings(16 << 20)).unwrap();
        let places = Places::make(None, Some(store.path())).unwrap();
        let error = places.budget_bytes(1_000, 600).unwrap_err().to_string();
        assert!(error.contains("ask for fewer machines"), "{error}");
    }

    #[test]
    fn only_what_is_temporary_is_removed() {
        let given = tempfile::tempdir().unwrap();
        let places = Places::make(Some(given.path()), None).unwrap();
        let store = places.store().to_owned();
        std::fs::write(store.join("x"), "y").unwrap();
        assert_eq!(places.leave().unwrap(), (Some(given.path().to_owned()), None));
        assert!(given.path().exists() && !store.exists());
    }
}
