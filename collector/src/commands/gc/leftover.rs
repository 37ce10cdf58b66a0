//! Files that writers which died while making a slab left behind.
//!
//! A slab is made under a dot name and locked before anything is put into it (section 12 of the
//! specification), so one that nobody locks is nobody's: after a minute, as its writer has to open it first.

use crate::commands::age::since_change;
use crate::commands::gc::candidate::{Candidate, Reason};
use crate::ofd::{self, Lock};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use rondo_reader::Error;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How long a writer may take from opening the file to locking it.
const UNLOCKED_MAX: Duration = Duration::from_secs(60);

/// Whether `name` is one that a writer gives to a slab in the making: `.NAME.slab.PID`.
pub(crate) fn is_name(name: &str) -> bool {
    let is_pid = |pid: &str| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    name.starts_with('.')
        && name
            .rsplit_once(".slab.")
            .is_some_and(|(stem, pid)| stem.len() > 1 && is_pid(pid))
}

/// The file at `path`, if its writer is gone.
pub(crate) fn look(path: &Path) -> Result<Option<Candidate>, Error> {
    let file = open(path)?;
    let metadata = file
        .metadata()
        .map_err(|source| system("look at", path, source))?;
    let age = since_change(path);
    let is_locked =
        ofd::is_locked(&file).map_err(|errno| system("ask for the lock of", path, errno.into()))?;
    if !metadata.is_file() || is_locked || age < UNLOCKED_MAX {
        return Ok(None);
    }
    Ok(Some(Candidate {
        path: path.to_owned(),
        file_id: (metadata.dev(), metadata.ino()),
        reason: Reason::Unfinished,
        size_bytes: 512 * metadata.blocks(),
        age,
    }))
}

/// Removes what [`look`] found; false if it has a writer, or is another file, by now.
pub(crate) fn remove(candidate: &Candidate) -> Result<bool, Error> {
    let path = &candidate.path;
    let file = open(path)?;
    // As for a slab: first the lock, which a writer would have to wait for, then whether the path is still that file.
    if !ofd::try_lock(&file, Lock::Shared).map_err(|errno| system("lock", path, errno.into()))? {
        return Ok(false);
    }
    let at_path = std::fs::symlink_metadata(path).map_err(|source| system("look at", path, source))?;
    if (at_path.dev(), at_path.ino()) != candidate.file_id {
        return Ok(false);
    }
    std::fs::remove_file(path).map_err(|source| system("remove", path, source))?;
    Ok(true)
}

fn open(path: &Path) -> Result<File, Error> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    opened.map_err(|source| system("open", path, source))
}

fn system(action: &'static str, path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Error::NotFound(path),
        Some(Errno::EACCES) => Error::NotReadable(path),
        _ => Error::System { action, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn names_of_slabs_in_the_making() {
        assert!(is_name(".vm-1.vmm.0a1b2c3d.slab.4711"));
        for other in [
            ".collector.lock",
            "vm-1.vmm.0a1b2c3d.slab.4711",
            ".slab.1",
            ".a.slab.",
            ".a.slab.x",
            ".a.slab",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }

    /// Neither a file that is being made just now, nor one whose writer is slow but lives, may go.
    #[test]
    fn only_what_is_old_and_unlocked_is_left_over() {
        let bus = tempfile::tempdir().unwrap();
        let path = bus.path().join(".vm-1.vmm.0a1b2c3d.slab.4711");
        let file = File::create_new(&path).unwrap();
        assert!(look(&path).unwrap().is_none(), "young");
        file.set_modified(SystemTime::now() - Duration::from_secs(61))
            .unwrap();
        assert!(ofd::try_lock(&file, Lock::Exclusive).unwrap());
        assert!(look(&path).unwrap().is_none(), "locked");
        drop(file);
        let candidate = look(&path).unwrap().unwrap();
        assert_eq!(candidate.reason, Reason::Unfinished);
        let relocked = OpenOptions::new().write(true).open(&path).unwrap();
        assert!(ofd::try_lock(&relocked, Lock::Exclusive).unwrap());
        assert!(!remove(&candidate).unwrap());
        drop(relocked);
        let other = Candidate {
            file_id: (0, 0),
            ..candidate.clone()
        };
        assert!(!remove(&other).unwrap());
        assert!(remove(&candidate).unwrap() && !path.exists());
    }
}
