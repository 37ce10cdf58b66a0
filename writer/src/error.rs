//! What can go wrong before the first record. After it, nothing returns an error.

use rondo_shm_layout::Violation;
use std::io;
use std::path::PathBuf;

/// Why a slab could not be created. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The instance name is not allowed.
    #[error("instance name {0:?} is not of [A-Za-z0-9_.-]{{1,128}} without a leading dot")]
    InstanceName(String),
    /// A label of the instance is not allowed.
    #[error("instance labels: {0}")]
    Label(String),
    /// A schema is impossible.
    #[error("schema {name:?}: {why}")]
    Schema {
        /// The schema.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The bus directory does not exist.
    #[error("bus directory {0} does not exist; create it, or name one that does")]
    BusMissing(PathBuf),
    /// The bus directory refuses a new file.
    #[error("bus directory {path} is not writable for uid {uid}; see its owner and mode")]
    BusNotWritable {
        /// The directory.
        path: PathBuf,
        /// Who asked.
        uid: u32,
    },
    /// No space.
    #[error(
        "no space for a slab of {needed_bytes} bytes in {path}; free some with `rondo ls` and by removing slabs of dead machines, or enlarge the tmpfs"
    )]
    BusFull {
        /// The directory.
        path: PathBuf,
        /// What it would have taken.
        needed_bytes: u64,
    },
    /// A slab of that name is there, which a random incarnation makes unlikely: it was given.
    #[error("{0} exists already; use another incarnation or part")]
    Exists(PathBuf),
    /// Another process holds the given file.
    #[error("{0} is locked by a living writer")]
    Locked(PathBuf),
    /// The given descriptor is not of an empty regular file opened for reading and writing.
    #[error("the given descriptor is not of an empty regular file")]
    NotAnEmptyFile,
    /// A descriptor holds one slab; several schemas need a directory.
    #[error("a descriptor takes one slab, but {0} schemas were given")]
    OneSchema(usize),
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
    /// Our own mistake: the new slab does not follow the format.
    #[error("the new slab breaks its own rules")]
    Invalid(#[source] Violation),
}

/// Why a slab could not be reopened. It is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// Its writer lives.
    #[error("{0} is locked by a living writer")]
    Locked(PathBuf),
    /// It is of another uid.
    #[error("{path} belongs to uid {owner}, not to {uid}")]
    OtherUser {
        /// The slab.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asked.
        uid: u32,
    },
    /// Its clock is of another boot.
    #[error("{0} is from before the last boot; its time axis cannot be continued")]
    OtherBoot(PathBuf),
    /// The path is another file by now.
    #[error("{0} was replaced or removed while it was being opened")]
    Replaced(PathBuf),
    /// It does not follow the format.
    #[error("{path} is not a valid slab")]
    Invalid {
        /// The slab.
        path: PathBuf,
        /// The rule that it breaks.
        source: Violation,
    },
    /// It follows a later version of the format, with slots that this writer cannot fill.
    #[error("{0} was written by a later version; this one can read it, but not go on writing it")]
    Newer(PathBuf),
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
}

/// Why a series was not registered. Counted in the slab; use a `noop()` handle to go on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name is not allowed.
    #[error("{0:?} is not a metric name: [a-zA-Z_:][a-zA-Z0-9_:]*, at most 200 bytes")]
    Name(String),
    /// A label is not allowed.
    #[error("series {name}: {why}")]
    Label {
        /// The series.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Unit or help is too long or has control characters.
    #[error("series {0}: unit or help is too long (32 and 1,024 bytes) or has control characters")]
    Text(String),
    /// A histogram with an impossible resolution.
    #[error("series {0}: the precision of a histogram is 0 to 6")]
    Precision(String),
    /// No schema takes it.
    #[error("series {0} fits the matchers of no schema")]
    NoSchema(String),
    /// A pool of the slab is used up.
    #[error("series {name}: all {max} {what} of the slab are taken; raise `SchemaConfig::{field}`")]
    Full {
        /// The series.
        name: String,
        /// Of what.
        what: &'static str,
        /// How many there are.
        max: u32,
        /// The setting.
        field: &'static str,
    },
    /// It has a handle already.
    #[error("series {0} is owned by another handle")]
    AlreadyOwned(String),
    /// It exists with another kind, unit, access or resolution.
    #[error("series {name} exists with another {what}")]
    Mismatch {
        /// The series.
        name: String,
        /// What differs.
        what: &'static str,
    },
}
