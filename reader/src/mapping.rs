//! The room with the reader's memory: a stranger's file, mapped read-only.
//!
//! Before anything is mapped, the file has to be a regular one, of a size within the limit, without
//! holes (a hole that a reader touches is memory that the reader is charged for). Opening neither
//! follows a symbolic link nor waits for the other end of a pipe. The mapping is watched for SIGBUS.
#![allow(unsafe_code)]

use crate::error::Error;
use crate::limits::Limits;
use crate::sigbus::{MAPPINGS_MAX, Watch};
use memmap2::{MmapOptions, MmapRaw};
use nix::libc;
use rondo_shm_layout::{Image, Rule, Violation};
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::time::SystemTime;

/// A file, open and mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    // Dropped in this order: the watch ends before the memory goes.
    watch: Watch,
    // Invariants, from `open`:
    // 1. `memory` is a shared, read-only mapping of `len` > 0 bytes that starts on a page and stays
    //    where it is until dropped; pages that fault become zero pages (`watch`), so all of it
    //    is readable at any moment;
    // 2. only `image` hands out access to it, and an `Image` accesses it as `AtomicU64` only.
    memory: MmapRaw,
    len: usize,
    file: File,
    path: Box<Path>,
    owner_uid: u32,
    file_id: (u64, u64),
}

impl Mapping {
    /// Opens and maps `path`. Costs four system calls and one descriptor.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let broken = |rule, detail: String| Error::rejected(path, Violation::new(rule, detail));
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        // O_CLOEXEC is set by the standard library.
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => broken(Rule::FileType, "it is a symbolic link".into()),
            Some(libc::ENXIO) => broken(Rule::FileType, "it is a socket".into()),
            _ => Error::system("open", path, error),
        })?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::system("look at", path, error))?;
        if !metadata.is_file() {
            return Err(broken(Rule::FileType, "it is not a regular file".into()));
        }
        let size = metadata.len();
        if size < 4096 {
            return Err(broken(
                Rule::FileSize,
                format!("{size} bytes are too few for a slab"),
            ));
        }
        if size > limits.slab_bytes_max {
            let max = limits.slab_bytes_max;
            return Err(broken(
                Rule::FileSize,
                format!("{size} bytes are more than the limit of {max}"),
            ));
        }
        let occupied = metadata.blocks().saturating_mul(512);
        if occupied < size {
            return Err(broken(
                Rule::FileSparse,
                format!("it has {size} bytes but occupies {occupied}"),
            ));
        }
        let len = usize::try_from(size).map_err(|_| broken(Rule::FileSize, format!("{size} bytes")))?;
        let memory = MmapOptions::new().len(len).map_raw_read_only(&file);
        let memory = memory.map_err(|error| Error::system("map", path, error))?;
        // SAFETY: the mapping is ours, new and untouched; fields are dropped in the order of their
        // declaration, the watch before the memory; and nothing here relies on a byte's value.
        let watch = unsafe { Watch::new(memory.as_ptr().addr(), len) };
        let watch = watch.ok_or_else(|| Error::TooManyMappings {
            path: path.to_owned(),
            max: MAPPINGS_MAX,
        })?;
        Ok(Self {
            watch,
            memory,
            len,
            file,
            path: path.into(),
            owner_uid: metadata.uid(),
            file_id: file_id(&metadata),
        })
    }

    /// The mapped bytes. What is read from them counts only if [`Self::check`] passes afterwards.
    pub(crate) fn image(&self) -> Image<'_> {
        let base = NonNull::new(self.memory.as_mut_ptr()).unwrap_or(NonNull::dangling());
        // SAFETY: a page is aligned to 128 bytes, and its rest after `len` readable (1); and no
        // access but through this type (2). A mapping never starts at address 0.
        unsafe { Image::new(base, self.len) }
    }

    /// Whether the file has shrunk under the mapping, as far as this was noticed.
    pub(crate) fn is_lost(&self) -> bool {
        self.watch.is_lost()
    }

    /// What was read since the last check is as the file had it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_lost() {
            Err(Error::Lost(self.path.to_path_buf()))
        } else {
            Ok(())
        }
    }

    /// Asks the kernel for the file's size as well: what is missing of its last page reads as zeros,
    /// without a fault. Costs a system call.
    pub(crate) fn check_size(&self) -> Result<(), Error> {
        let metadata = self
            .file
            .metadata()
            .map_err(|error| Error::system("look at", &self.path, error))?;
        if metadata.len() < self.len as u64 {
            self.watch.mark_lost();
        }
        self.check()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    /// The file's owner, which its writer cannot forge.
    pub(crate) fn owner_uid(&self) -> u32 {
        self.owner_uid
    }

    /// Device and inode: which file it is, whatever is at the path now.
    pub(crate) fn file_id(&self) -> (u64, u64) {
        self.file_id
    }
}

/// Device and inode.
fn file_id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// When the file was made: a time that its owner cannot set, where the file system knows one.
pub(crate) fn birth(metadata: &Metadata) -> SystemTime {
    let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
    metadata
        .created()
        .unwrap_or(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(changed))
}
