//! The collector's place on its bus: the directory, watched, and locked against other collectors.
//!
//! The directory may come late, or go and come again. Only while it is there and ours may its files be looked at.

use crate::collect::lock::{BusLock, LockError};
use crate::collect::watch::{Presence, Watch};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// How the bus stands.
#[derive(Debug)]
pub enum Standing {
    /// It is there and ours.
    Ours,
    /// It is there and ours since this moment: everything on it may be new.
    Won,
    /// It is not there.
    Missing,
}

/// A bus directory that this process collects from.
#[derive(Debug)]
pub struct Place {
    bus: PathBuf,
    watch: Watch,
    lock: Option<BusLock>,
}

impl Place {
    /// Nothing is watched or locked before the first [`Self::check`].
    pub fn new(bus: &Path) -> Self {
        Self {
            bus: bus.to_owned(),
            watch: Watch::new(bus),
            lock: None,
        }
    }

    /// Looks whether the bus is there, and locks it if it is new.
    ///
    /// # Errors
    /// It is there, but not ours.
    pub fn check(&mut self) -> Result<Standing, LockError> {
        let presence = self.watch.check();
        if presence != Presence::Same || !self.lock.as_ref().is_some_and(BusLock::is_in_place) {
            self.lock = None;
        }
        if presence == Presence::Missing {
            return Ok(Standing::Missing);
        }
        if self.lock.is_some() {
            return Ok(Standing::Ours);
        }
        self.lock = Some(BusLock::take(&self.bus)?);
        Ok(Standing::Won)
    }

    /// Whether it was ours at the last check.
    pub fn is_ours(&self) -> bool {
        self.lock.is_some()
    }

    /// As [`Watch::is_blind`].
    pub fn is_blind(&self) -> bool {
        self.watch.is_blind()
    }

    /// As [`Watch::take_changes`].
    pub fn take_changes(&mut self) -> bool {
        self.watch.take_changes()
    }

    /// As [`Watch::fd`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_is_made_again_or_loses_its_lock_is_locked_again() {
        let parent = tempfile::tempdir().unwrap();
        let bus = parent.path().join("bus");
        let mut place = Place::new(&bus);
        assert!(matches!(place.check(), Ok(Standing::Missing)));
        assert!(!place.is_ours());
        std::fs::create_dir(&bus).unwrap();
        assert!(matches!(place.check(), Ok(Standing::Won)));
        assert!(matches!(place.check(), Ok(Standing::Ours)));
        std::fs::remove_file(bus.join(".collector.lock")).unwrap();
        assert!(matches!(place.check(), Ok(Standing::Won)));
        std::fs::remove_dir_all(&bus).unwrap();
        assert!(matches!(place.check(), Ok(Standing::Missing)));
        std::fs::create_dir(&bus).unwrap();
        let other = BusLock::take(&bus).unwrap();
        assert!(matches!(place.check(), Err(LockError::Held { .. })));
        assert!(!place.is_ours());
        drop(other);
        assert!(matches!(place.check(), Ok(Standing::Won)));
    }
}
