//! A file or block device of the host, opened as a disk.

use nix::sys::stat::{major, minor};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Bytes of a sector, virtio's unit whatever the disk's is.
pub const SECTOR_SIZE: u64 = 512;

/// Length of the identification that a guest can ask for.
pub(super) const ID_SIZE: usize = virtio_bindings::bindings::virtio_blk::VIRTIO_BLK_ID_BYTES as usize;

/// Which file, and whether the guest may change it: `PATH` or `PATH,ro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskConfig {
    /// A regular file or a block device.
    pub path: PathBuf,
    /// The guest may not write.
    pub is_read_only: bool,
}

impl FromStr for DiskConfig {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, is_read_only) = match text.strip_suffix(",ro") {
            Some(path) => (path, true),
            None => (text, false),
        };
        Ok(Self {
            path: path.into(),
            is_read_only,
        })
    }
}

/// Why a file cannot be a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no such file.
    #[error("the disk {0} does not exist; make one with `truncate -s 64M {0}`")]
    Missing(PathBuf),
    /// The kernel says no.
    #[error("the disk {path} may not be opened for {access}; {advice}")]
    Forbidden {
        /// Which.
        path: PathBuf,
        /// Reading, or reading and writing.
        access: &'static str,
        /// What may help.
        advice: &'static str,
    },
    /// A directory, a pipe, a terminal.
    #[error("the disk {0} is neither a regular file nor a block device; give one of these with --disk")]
    NotADisk(PathBuf),
    /// The end would be out of the guest's reach.
    #[error(
        "the disk {path} has {size_bytes} bytes, which is not a multiple of 512; `truncate -s %512 {path}` fills it up"
    )]
    Size {
        /// Which.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },
    /// No sector.
    #[error("the disk {0} is empty; give it a size with `truncate -s 64M {0}`")]
    Empty(PathBuf),
    /// Two machines that write to one disk destroy it.
    #[error(
        "the disk {0} is in use, by another machine or as another disk of this one; end that one, give this one a copy, or share it as {0},ro with both"
    )]
    InUse(PathBuf),
    /// Something else.
    #[error("cannot open the disk {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A disk that is open and locked, for as long as this lives.
///
/// The lock is `flock(2)`'s: of any number of machines that share a disk none may write. It holds between machines
/// of this VMM, and whoever else asks for it.
#[derive(Debug)]
pub struct Disk {
    pub(super) file: File,
    sectors: u64,
    is_read_only: bool,
    pub(super) id: [u8; ID_SIZE],
}

impl Disk {
    /// Opens and locks it. `name` is what a guest that asks is told, cut off after 20 bytes.
    ///
    /// # Errors
    /// See [`DiskError`].
    pub fn open(config: &DiskConfig, name: &str) -> Result<Self, DiskError> {
        let path = &config.path;
        let failed = |source| DiskError::Open {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(!config.is_read_only)
            // A pipe would wait here for a writer.
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| opening(error, config))?;
        let metadata = file.metadata().map_err(failed)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(DiskError::NotADisk(path.clone()));
        }
        if kind.is_block_device() && !config.is_read_only && takes_no_writes(metadata.rdev()) {
            return Err(opening(io::ErrorKind::ReadOnlyFilesystem.into(), config));
        }
        lock(&file, config)?;
        // Of a block device, the metadata has no size.
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let sectors = sectors(path, size_bytes)?;
        let mut id = [0; ID_SIZE];
        for (to, from) in id.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Ok(Self {
            file,
            sectors,
            is_read_only: config.is_read_only,
            id,
        })
    }

    /// How large it is.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether the guest may not write.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }
}

fn opening(error: io::Error, config: &DiskConfig) -> DiskError {
    let path = config.path.clone();
    let (access, advice) = match config.is_read_only {
        true => ("reading", "see its permissions (`ls -l`)"),
        false => (
            "reading and writing",
            "see its permissions (`ls -l`), or add `,ro` for a disk that the guest only reads",
        ),
    };
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::Missing(path),
        io::ErrorKind::IsADirectory => DiskError::NotADisk(path),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DiskError::Forbidden { path, access, advice }
        }
        // A socket, or a device that is not there.
        _ if error.raw_os_error() == Some(nix::libc::ENXIO) => DiskError::NotADisk(path),
        _ => DiskError::Open { path, source: error },
    }
}

/// Linux opens such a block device for writing all the same, and then refuses each write.
fn takes_no_writes(device: u64) -> bool {
    let (major, minor) = (major(device), minor(device));
    let flag = std::fs::read(format!("/sys/dev/block/{major}:{minor}/ro"));
    flag.is_ok_and(|flag| flag.starts_with(b"1"))
}

fn lock(file: &File, config: &DiskConfig) -> Result<(), DiskError> {
    let locked = match config.is_read_only {
        true => file.try_lock_shared(),
        false => file.try_lock(),
    };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => DiskError::InUse(config.path.clone()),
        TryLockError::Error(source) => DiskError::Open {
            path: config.path.clone(),
            source,
        },
    })
}

/// Half a sector would be a place that the guest never sees, so there is none.
fn sectors(path: &Path, size_bytes: u64) -> Result<u64, DiskError> {
    match (size_bytes / SECTOR_SIZE, size_bytes % SECTOR_SIZE) {
        (0, 0) => Err(DiskError::Empty(path.to_owned())),
        (sectors, 0) => Ok(sectors),
        _ => Err(DiskError::Size {
            path: path.to_owned(),
            size_bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, is_read_only: bool) -> Result<Disk, DiskError> {
        let path = path.to_owned();
        Disk::open(&DiskConfig { path, is_read_only }, "vda")
    }

    #[test]
    fn only_the_end_of_the_text_is_an_option() {
        let parse = |text: &str| text.parse::<DiskConfig>().unwrap();
        assert_eq!(parse("/a,b,ro").path, Path::new("/a,b"));
        assert!(parse("/a,ro").is_read_only);
        assert!(!parse("/a,rw").is_read_only);
        assert_eq!(parse("/a,rw").path, Path::new("/a,rw"));
    }

    /// Each mistake of a person's gets an answer of its own, with what to do.
    #[test]
    fn what_is_no_disk_is_refused_and_said_why() {
        let directory = tempfile::tempdir().unwrap();
        let of_size = |name: &str, size| {
            let path = directory.path().join(name);
            File::create(&path).unwrap().set_len(size).unwrap();
            path
        };
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, is_read_only, says) in [
            (directory.path().join("none"), false, "does not exist"),
            (directory.path().to_owned(), false, "neither a regular file"),
            (directory.path().to_owned(), true, "neither a regular file"),
            (pipe.clone(), true, "neither a regular file"),
            (PathBuf::from("/dev/null"), false, "neither a regular file"),
            (of_size("empty", 0), false, "is empty"),
            (of_size("odd", 513), false, "has 513 bytes"),
        ] {
            let error = open(&path, is_read_only).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_disk_has_one_writer_or_any_number_of_readers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024).unwrap();
        let writer = open(file.path(), false).unwrap();
        assert_eq!(writer.sectors(), 2);
        for is_read_only in [false, true] {
            assert!(matches!(
                open(file.path(), is_read_only),
                Err(DiskError::InUse(_))
            ));
        }
        drop(writer);
        let readers = [open(file.path(), true).unwrap(), open(file.path(), true).unwrap()];
        assert!(matches!(open(file.path(), false), Err(DiskError::InUse(_))));
        drop(readers);
        assert!(open(file.path(), false).is_ok());
    }
}
