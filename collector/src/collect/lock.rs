//! One collector for a bus: a lock on a file of the bus directory.
//!
//! The file has a dot name, so it is no slab to anyone, and mode 0600, so only its owner and root can
//! hold the lock against a collector. It is removed with the lock; after a crash it stays, unlocked.
//! On a bus that everyone may write to, another user can put a file of that name there: the error says whose it is.

use crate::ofd::{self, Lock};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file in the bus directory.
pub(crate) const FILE_NAME: &str = ".collector.lock";

/// Times that the file may be another one when it is looked at again.
const ATTEMPTS_MAX: u32 = 16;

/// Why the bus is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A collector holds it.
    #[error("another collector ({pid}) is on the bus {bus}", pid = shown(*pid), bus = bus.display())]
    Held {
        /// The bus directory.
        bus: PathBuf,
        /// Its process, as far as it said.
        pid: Option<u32>,
    },
    /// The file is another user's.
    #[error(
        "{path} belongs to uid {uid}: either a collector of that user is on the bus, or it left the file when it was killed; remove it then",
        path = path.display()
    )]
    Foreign {
        /// The lock's file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The file is not one.
    #[error("{} is not a regular file of one name; remove it", .0.display())]
    NotAFile(PathBuf),
    /// This user may not write to the bus.
    #[error("uid {uid} may not write to the bus {bus}, where the collector's lock and what it removes are; run it as the owner of the directory", bus = bus.display())]
    NotWritable {
        /// The bus directory.
        bus: PathBuf,
        /// This user.
        uid: u32,
    },
    /// The system refused.
    #[error("cannot lock the bus with {path}", path = path.display())]
    System {
        /// The lock's file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn shown(pid: Option<u32>) -> String {
    pid.map_or_else(|| "pid unknown".into(), |pid| format!("pid {pid}"))
}

/// The lock, for as long as it is kept.
#[derive(Debug)]
pub struct BusLock {
    file: File,
    path: PathBuf,
}

impl BusLock {
    /// Makes this process the collector of `bus`, a directory that exists.
    ///
    /// # Errors
    /// Another has the bus, or the system refused.
    pub fn take(bus: &Path) -> Result<Self, LockError> {
        let path = bus.join(FILE_NAME);
        let system = |source: io::Error| LockError::System {
            path: path.clone(),
            source,
        };
        for _ in 0..ATTEMPTS_MAX {
            let Some(file) = open(&path).map_err(|error| explain(error, bus, &path))? else {
                continue;
            };
            let metadata = file.metadata().map_err(system)?;
            // A second name: of a slab, say, which must not be written to.
            if !metadata.is_file() || metadata.nlink() > 1 {
                return Err(LockError::NotAFile(path));
            }
            let owners = [
                nix::unistd::geteuid().as_raw(),
                std::fs::metadata(bus).map_err(system)?.uid(),
            ];
            if !owners.contains(&metadata.uid()) {
                let uid = metadata.uid();
                return Err(LockError::Foreign { path, uid });
            }
            if !ofd::try_lock(&file, Lock::Exclusive).map_err(|errno| system(errno.into()))? {
                let (bus, pid) = (bus.to_owned(), read_pid(&file));
                return Err(LockError::Held { bus, pid });
            }
            let lock = Self {
                file,
                path: path.clone(),
            };
            // Who had it may have removed the file between our opening and locking it.
            if lock.is_in_place() {
                lock.write_pid().map_err(system)?;
                return Ok(lock);
            }
        }
        Err(system(io::Error::other("its file is replaced again and again")))
    }

    /// Whether the file is still there. If it is not, another collector may have locked its successor.
    pub fn is_in_place(&self) -> bool {
        let id = |metadata: io::Result<std::fs::Metadata>| metadata.ok().map(|m| (m.dev(), m.ino()));
        let at_path = id(std::fs::symlink_metadata(&self.path));
        at_path.is_some() && at_path == id(self.file.metadata())
    }

    fn write_pid(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{}\n", std::process::id()).as_bytes())
    }
}

impl Drop for BusLock {
    fn drop(&mut self) {
        // Still locked, so it is not yet anyone else's.
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the file, or makes it; `None` if it went, or came, in between.
fn open(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(flags.bits());
    match options.open(path) {
        Ok(file) => return Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Not O_CREAT on a file that may be there: the kernel refuses that in directories like /tmp
    // (fs.protected_regular).
    match options.create_new(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

fn explain(error: io::Error, bus: &Path, path: &Path) -> LockError {
    let (path, bus) = (path.to_owned(), bus.to_owned());
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => match std::fs::symlink_metadata(&path) {
            Ok(there) => LockError::Foreign {
                path,
                uid: there.uid(),
            },
            Err(_) => LockError::NotWritable {
                bus,
                uid: nix::unistd::geteuid().as_raw(),
            },
        },
        Some(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => LockError::NotAFile(path),
        _ => LockError::System { path, source: error },
    }
}

fn read_pid(file: &File) -> Option<u32> {
    let mut bytes = [0; 16];
    let count = file.read_at(&mut bytes, 0).ok()?;
    let pid = std::str::from_utf8(bytes.get(..count)?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    (pid != 0).then_some(pid)
}

/// Who collects from a bus, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// This process, if it could be read.
    Collector(Option<u32>),
    /// The file is another user's, and /proc does not tell of locks.
    Unknown,
}

/// Asks who collects from `bus`, without locking anything.
pub(crate) fn holder(bus: &Path) -> Holder {
    let path = bus.join(FILE_NAME);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    match OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(&path)
    {
        Ok(file) => match ofd::is_locked(&file) {
            Ok(true) => Holder::Collector(read_pid(&file)),
            Ok(false) => Holder::Nobody,
            Err(_) => Holder::Unknown,
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => listed_holder(&path),
        Err(_) => Holder::Nobody,
    }
}

/// The same from the list that the kernel shows to everyone.
fn listed_holder(path: &Path) -> Holder {
    let (Ok(metadata), Ok(locks)) = (std::fs::symlink_metadata(path), procfs::locks()) else {
        return Holder::Unknown;
    };
    let (dev, ino) = (metadata.dev(), metadata.ino());
    let is_held = locks.iter().any(|lock| {
        (u64::from(lock.devmaj), u64::from(lock.devmin), lock.inode) == (major(dev), minor(dev), ino)
    });
    if is_held {
        Holder::Collector(None)
    } else {
        Holder::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_collector_is_told_of_the_first_and_follows_it() {
        let bus = tempfile::tempdir().unwrap();
        for mode in [0o1777, 0o3770] {
            std::fs::set_permissions(bus.path(), PermissionsExt::from_mode(mode)).unwrap();
            let first = BusLock::take(bus.path()).unwrap();
            let path = bus.path().join(FILE_NAME);
            assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
            let error = BusLock::take(bus.path()).unwrap_err().to_string();
            let expected = format!(
                "another collector (pid {}) is on the bus {}",
                std::process::id(),
                bus.path().display()
            );
            assert_eq!(error, expected);
            assert_eq!(holder(bus.path()), Holder::Collector(Some(std::process::id())));
            assert_eq!(listed_holder(&path), Holder::Collector(None));
            drop(first);
            assert!(!path.exists());
            assert_eq!(holder(bus.path()), Holder::Nobody);
        }
    }

    /// A collector that was killed leaves the file; the lock went with it.
    #[test]
    fn a_file_without_a_lock_is_nobodys() {
        let bus = tempfile::tempdir().unwrap();
        std::fs::write(bus.path().join(FILE_NAME), "4000000000\n and more than a pid").unwrap();
        assert_eq!(holder(bus.path()), Holder::Nobody);
        let lock = BusLock::take(bus.path()).unwrap();
        assert!(lock.is_in_place());
        std::fs::remove_file(bus.path().join(FILE_NAME)).unwrap();
        assert!(!lock.is_in_place());
        let next = BusLock::take(bus.path()).unwrap();
        drop(lock);
        assert!(next.is_in_place(), "the file is the successor's");
    }

    /// A link must not make root truncate what it points to, nor a pipe make it wait.
    #[test]
    fn what_is_no_file_is_refused() {
        let bus = tempfile::tempdir().unwrap();
        let (path, target) = (bus.path().join(FILE_NAME), bus.path().join("target"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(BusLock::take(bus.path()), Err(LockError::NotAFile(_))));
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(BusLock::take(bus.path()), Err(LockError::NotAFile(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(BusLock::take(bus.path()), Err(LockError::NotAFile(_))));
        std::fs::remove_dir(&path).unwrap();
        std::fs::hard_link(&target, &path).unwrap();
        assert!(matches!(BusLock::take(bus.path()), Err(LockError::NotAFile(_))));
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }
}
