//! What can go wrong, for the person who has to do something about it.

use rondo_shm_layout::{Rule, Violation};
use std::io;
use std::path::{Path, PathBuf};

/// Why a slab or bus could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing of that name.
    #[error("{0} does not exist; `rondo ls` shows what is on the bus")]
    NotFound(PathBuf),
    /// The bus directory is not there.
    #[error(
        "bus directory {0} does not exist; start a writer that creates it, or name another with --bus or RONDO_BUS"
    )]
    BusMissing(PathBuf),
    /// The file's mode forbids it.
    #[error(
        "{0} is not readable for this user; slabs have mode 0440, so join the group of the file or be its owner"
    )]
    NotReadable(PathBuf),
    /// The process has no descriptor left.
    #[error("cannot open {0}: too many open files; every slab takes one, so raise `ulimit -n`")]
    NoDescriptor(PathBuf),
    /// The table of mappings is full.
    #[error("cannot map {path}: this process has {max} slabs mapped already")]
    TooManyMappings {
        /// The slab.
        path: PathBuf,
        /// How many it may map.
        max: usize,
    },
    /// The system refused.
    #[error("cannot {action} {path}")]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It breaks a rule of the format that readers enforce.
    #[error("{path} is not a slab that can be read: {violation}")]
    Rejected {
        /// The file.
        path: PathBuf,
        /// The rule, and the values found.
        violation: Violation,
    },
    /// Its file shrank while it was mapped. Nothing that was read of it since can be trusted.
    #[error("{0} was cut short while it was being read; its writer is broken or hostile")]
    Lost(PathBuf),
    /// Its user has more on the bus than the limits allow.
    #[error("{path} is refused: uid {uid} has more than {max} {what} on the bus")]
    OverLimit {
        /// The slab.
        path: PathBuf,
        /// The file's owner.
        uid: u32,
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        max: u64,
    },
    /// The name of the instance is another user's.
    #[error(
        "{path} of uid {uid} is refused: instance {instance} belongs to uid {owner}, who has a slab of it on the bus"
    )]
    NameTaken {
        /// The slab.
        path: PathBuf,
        /// The file's owner.
        uid: u32,
        /// The name.
        instance: String,
        /// Whose it is.
        owner: u32,
    },
}

impl Error {
    /// Attaches the path to what the system said.
    pub(crate) fn system(action: &'static str, path: &Path, source: io::Error) -> Self {
        use nix::errno::Errno;
        let path = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Self::NotFound(path),
            Some(Errno::EACCES) => Self::NotReadable(path),
            Some(Errno::EMFILE | Errno::ENFILE) => Self::NoDescriptor(path),
            _ => Self::System { action, path, source },
        }
    }

    /// Attaches the path to a broken rule.
    pub(crate) fn rejected(path: &Path, violation: Violation) -> Self {
        Self::Rejected {
            path: path.to_owned(),
            violation,
        }
    }

    /// The rule of the format that the file breaks, if that is the reason.
    pub fn rule(&self) -> Option<Rule> {
        match self {
            Self::Rejected { violation, .. } => Some(violation.rule),
            _ => None,
        }
    }
}
