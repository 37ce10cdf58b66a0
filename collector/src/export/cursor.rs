//! How far an export has come in a tier: exactly, however it was interrupted.
//!
//! Rows leave while they still wait in memory to be stored, and come by once more in an archive. So a cursor has
//! two parts: the number of the archive's frame below which everything has left, and how far each slice of a slab has come
//! that has rows beyond. Only frames on stable storage are passed, since the number of one that was lost is given
//! to another.
//!
//! A cursor is 71 bytes for each machine that lives, or ended within about a minute; those that ended before are in the number of
//! the frame.

use super::progress::{Record, SliceProgress};
use super::regular;
use crate::store::ProgressKey;
use std::collections::{HashMap, VecDeque};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use zerocopy::little_endian::{I64, U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `RONDOCUR`.
const MAGIC: [u8; 8] = *b"RONDOCUR";
const VERSION: u16 = 1;
/// A cursor of a million slices; what claims more is none.
const SLICES_MAX: usize = 1 << 20;

/// How far an export has come in one tier.
///
/// ```
/// use rondo_collector::export::ExportCursor;
///
/// let cursor = ExportCursor::new(1);
/// assert_eq!(ExportCursor::from_bytes(&cursor.to_bytes())?, cursor);
/// # Ok::<(), rondo_collector::export::CursorError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExportCursor {
    pub(super) tier: u8,
    /// Of the archive in which frames are counted; zeros before the first look at one.
    pub(super) archive_id: [u8; 16],
    /// Everything in frames of lower numbers has left.
    pub(super) passed: u64,
    /// Rows that ended before this on the wall clock stay.
    pub(super) begin_ns: i64,
    pub(super) slices: HashMap<ProgressKey, SliceProgress>,
    /// Frames that were looked at and not passed: number, and points that have not left. Can be found out again.
    pub(super) ahead: VecDeque<(u64, u64)>,
    /// All runs in frames of lower numbers were taken, and so many of that frame itself. Can be found out again, from
    /// what was passed on.
    pub(super) scanned: (u64, usize),
    /// The slab at which the last drain stopped, counted in their order.
    pub(super) next_slab: usize,
    /// How many slabs had ended, and how many were there, when ends were told last.
    pub(super) ends_told: Option<(u64, usize)>,
}

/// Cursors that have come equally far.
impl PartialEq for ExportCursor {
    fn eq(&self, other: &Self) -> bool {
        let place = |cursor: &Self| (cursor.tier, cursor.archive_id, cursor.passed, cursor.begin_ns);
        place(self) == place(other) && self.slices == other.slices
    }
}

/// Why there is no cursor.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The bytes are something else, or of another version.
    #[error("this is no export cursor that this version of rondo reads")]
    Foreign,
    /// They are not what was written.
    #[error("the export cursor is damaged; without it the export begins anew")]
    Damaged,
    /// The file cannot be read or written.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What could not be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: std::io::Error,
    },
}

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    version: U16,
    tier: u8,
    archive_id: [u8; 16],
    passed: U64,
    begin_ns: I64,
}

impl ExportCursor {
    /// At the beginning of a tier.
    pub fn new(tier: u8) -> Self {
        Self::beginning_at(tier, i64::MIN)
    }

    /// At the rows that end at `wall_ns` (nanoseconds since the Unix epoch) or later.
    pub fn beginning_at(tier: u8, wall_ns: i64) -> Self {
        Self {
            tier,
            archive_id: [0; 16],
            passed: 0,
            begin_ns: wall_ns,
            slices: HashMap::new(),
            ahead: VecDeque::new(),
            scanned: (0, 0),
            next_slab: 0,
            ends_told: None,
        }
    }

    /// Which tier it is of.
    pub fn tier(&self) -> u8 {
        self.tier
    }

    /// Where the newest row ends that has left, on the wall clock, of slices that it knows; `None` if there are none.
    #[cfg(feature = "cli")]
    pub(super) fn newest_ns(&self) -> Option<i64> {
        let ends = self.slices.values().filter(|progress| progress.end_ns > 0);
        let ends = ends.map(|progress| i128::from(progress.end_ns) + i128::from(progress.clock_offset_ns));
        let newest = ends.max()?;
        Some(i64::try_from(newest).unwrap_or(i64::MAX - 1))
    }

    /// Points in the archive that have not left, as of the last drain. Those that wait in memory are not among them.
    pub fn points_ahead(&self) -> u64 {
        self.ahead.iter().map(|(_, points)| points).sum()
    }

    /// The cursor that a file holds; `None` if there is no file.
    ///
    /// # Errors
    /// See [`CursorError`].
    pub fn load(path: &Path) -> Result<Option<Self>, CursorError> {
        match std::fs::read(path) {
            Ok(bytes) => Self::from_bytes(&bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CursorError::io("read", path)(error)),
        }
    }

    /// Puts the cursor in the place of what the file held: all of it or nothing, also if the machine stops.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, path: &Path) -> Result<(), CursorError> {
        replace(path, &self.to_bytes()).map_err(CursorError::io("write", path))
    }

    /// As bytes: 71 for each slice, 43, and a checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = Head {
            magic: MAGIC,
            version: VERSION.into(),
            tier: self.tier,
            archive_id: self.archive_id,
            passed: self.passed.into(),
            begin_ns: self.begin_ns.into(),
        };
        let mut bytes = head.as_bytes().to_vec();
        for (key, progress) in &self.slices {
            bytes.extend(Record::new(key, progress).as_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// The cursor that such bytes stand for.
    ///
    /// # Errors
    /// They are something else, or not whole.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CursorError> {
        let (head, _) = Head::read_from_prefix(bytes).map_err(|_| CursorError::Foreign)?;
        if head.magic != MAGIC || head.version.get() != VERSION {
            return Err(CursorError::Foreign);
        }
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(CursorError::Damaged)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(CursorError::Damaged);
        }
        let records = body.get(size_of::<Head>()..).unwrap_or_default();
        let records = <[Record]>::ref_from_bytes(records).map_err(|_| CursorError::Damaged)?;
        if records.len() > SLICES_MAX {
            return Err(CursorError::Damaged);
        }
        Ok(Self {
            tier: head.tier,
            archive_id: head.archive_id,
            passed: head.passed.get(),
            begin_ns: head.begin_ns.get(),
            slices: records.iter().map(|record| record.parts(head.tier)).collect(),
            ahead: VecDeque::new(),
            scanned: (0, 0),
            next_slab: 0,
            ends_told: None,
        })
    }

    /// Forgets slices of which all that may still come by was passed, if `is_over` says that they get no further rows.
    pub(super) fn forget_passed(&mut self, is_over: impl Fn(&SliceProgress) -> bool) {
        let passed = self.passed;
        self.slices
            .retain(|_, progress| !is_over(progress) || progress.frame.is_some_and(|frame| frame >= passed));
    }
}

impl CursorError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { what, path, error }
    }
}

/// Puts bytes in the place of a file's, durably: all of them or nothing.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = regular::own(&new, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> ExportCursor {
        let mut cursor = ExportCursor::beginning_at(1, -5);
        cursor.passed = 7;
        for number in 0..3u8 {
            let key = ProgressKey {
                incarnation: [number; 16],
                schema_hash: 1,
                uid: 2,
                part: 3,
                first_series: 512,
                tier: 1,
            };
            let progress = SliceProgress {
                end_ns: 10,
                clock_offset_ns: -20,
                instance_hash: 30,
                series_count: 40,
                frame: (number > 0).then_some(6 + u64::from(number)),
                is_labelled: number == 1,
                is_ended: number < 2,
            };
            cursor.slices.insert(key, progress);
        }
        cursor
    }

    #[test]
    fn a_cursor_comes_back_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cursor");
        assert!(ExportCursor::load(&path).unwrap().is_none());
        cursor().save(&path).unwrap();
        assert_eq!(ExportCursor::load(&path).unwrap(), Some(cursor()));
        ExportCursor::new(2).save(&path).unwrap();
        assert_eq!(ExportCursor::load(&path).unwrap(), Some(ExportCursor::new(2)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn bytes_that_are_not_what_was_written_are_refused() {
        let bytes = cursor().to_bytes();
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(ExportCursor::from_bytes(&wrong).is_err(), "byte {at}");
            assert!(ExportCursor::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn only_slices_that_are_over_and_passed_are_forgotten() {
        let mut cursor = cursor();
        cursor.passed = 8;
        cursor.forget_passed(|progress| progress.is_ended);
        let left: Vec<u8> = cursor.slices.keys().map(|key| key.incarnation[0]).collect();
        assert_eq!(left, [2]);
    }
}
