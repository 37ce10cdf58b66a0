//! What is known for certain of one destination: how far it has come, and which batch is on its way.
//!
//! A file of records, each with its length and checksum, that only grows until it is written anew: a *snapshot*; then
//! for each batch that it *begins*, before the first byte of it leaves, and that it, or one of its requests, is *done*. So after a kill at any moment it
//! is known which batch may or may not have arrived, and that very one goes again. Records are not synchronised
//! one by one: after a power cut the newest may be missing, and what they stood for leaves once more.

use crate::export::cursor::replace;
use crate::export::regular;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `RONDOJNL`, and the version.
const MAGIC: [u8; 9] = *b"RONDOJNL\x01";
/// A journal gets so long, or four times its snapshot, before it is written anew.
const LENGTH_MIN: u64 = 4 << 20;
/// No record is longer: a batch of the largest size, or a cursor of a million slices.
const RECORD_MAX: usize = 256 << 20;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordHead {
    length: U32,
    /// CRC32C of the kind and what follows.
    crc: U32,
    kind: u8,
}

const SNAPSHOT: u8 = 1;
const BEGIN: u8 = 2;
const DONE: u8 = 3;
const PART: u8 = 4;

/// The journal of a destination.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    snapshot_length: u64,
    /// Whether the last write failed, so that part of a record may stand at the end.
    is_torn: bool,
}

/// What a journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The batches that were done since.
    pub done: Vec<Vec<u8>>,
    /// The batch that was not.
    pub in_flight: Option<Vec<u8>>,
    /// How many of its requests were done with.
    pub parts_done: usize,
    /// Bytes behind the last whole record, which were cut off. A kill leaves a part of one record; more is damage, or what a
    /// power cut left.
    pub cut_bytes: usize,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system says no.
    #[error("cannot {what} the journal {path}: {error}")]
    Io {
        /// What could not be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The file is something else.
    #[error("{path} is no journal that this version of rondo reads; move it away to begin anew")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its snapshot, which is made durable before anything is acted upon, is not what was written.
    #[error(
        "the journal {path} is damaged, so how far its destination has come is not known; move it away to begin anew, with \
         samples that the server may have already"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Journal {
    /// Opens the journal at `path`, or begins one. What stands behind the last whole record was never acted upon, and is cut off.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(path: &Path) -> Result<(Self, Recovered), JournalError> {
        let io = |what| io_error(what, path);
        let foreign = || JournalError::Foreign {
            path: path.to_owned(),
        };
        // A directory, a link or a pipe is somebody's, as another's file is.
        let is_file = |meta: std::fs::Metadata| meta.is_file();
        if !path.symlink_metadata().map_or(true, is_file) {
            return Err(foreign());
        }
        let mut file = open(path).map_err(io("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        if bytes.len() < MAGIC.len() {
            // Cut off before it was begun.
            replace(path, &MAGIC).map_err(io("write"))?;
            file = open(path).map_err(io("open"))?;
            bytes = MAGIC.to_vec();
        }
        let Some(records) = bytes.strip_prefix(&MAGIC) else {
            return Err(foreign());
        };
        let (mut recovered, whole) = recover(records);
        if recovered.snapshot.is_none() && !records.is_empty() {
            return Err(JournalError::Damaged {
                path: path.to_owned(),
            });
        }
        recovered.cut_bytes = records.len() - whole;
        let length = (MAGIC.len() + whole) as u64;
        file.set_len(length).map_err(io("cut"))?;
        file.seek(SeekFrom::Start(length)).map_err(io("seek in"))?;
        let journal = Self {
            path: path.to_owned(),
            file,
            length,
            snapshot_length: recovered
                .snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.len() as u64),
            is_torn: false,
        };
        Ok((journal, recovered))
    }

    /// A batch is about to leave.
    ///
    /// # Errors
    /// The system's. The batch must not leave then.
    pub fn begin(&mut self, batch: &[u8]) -> Result<(), JournalError> {
        self.write(&[(BEGIN, batch)])
    }

    /// The batch that was begun is done with.
    ///
    /// # Errors
    /// The system's. The batch may leave once more then.
    pub fn done(&mut self) -> Result<(), JournalError> {
        self.write(&[(DONE, &[])])
    }

    /// One of the requests of the batch that was begun is done with, and others are not.
    ///
    /// # Errors
    /// The system's. The request may leave once more then.
    pub fn part_done(&mut self) -> Result<(), JournalError> {
        self.write(&[(PART, &[])])
    }

    /// A batch of which nothing leaves.
    ///
    /// # Errors
    /// The system's.
    pub fn pass(&mut self, batch: &[u8]) -> Result<(), JournalError> {
        self.write(&[(BEGIN, batch), (DONE, &[])])
    }

    /// Whether it is time for a snapshot.
    pub fn is_long(&self) -> bool {
        self.length > LENGTH_MIN.max(4 * self.snapshot_length)
    }

    /// Begins anew with a snapshot, in which all that is done is contained. Made durable.
    ///
    /// # Errors
    /// The system's; the journal goes on as it was.
    pub fn begin_anew(&mut self, snapshot: &[u8]) -> Result<(), JournalError> {
        let mut bytes = MAGIC.to_vec();
        push(&mut bytes, SNAPSHOT, snapshot);
        replace(&self.path, &bytes).map_err(io_error("write", &self.path))?;
        self.file = open(&self.path).map_err(io_error("open", &self.path))?;
        self.length = bytes.len() as u64;
        self.snapshot_length = snapshot.len() as u64;
        self.is_torn = false;
        self.file
            .seek(SeekFrom::End(0))
            .map_err(io_error("seek in", &self.path))?;
        Ok(())
    }

    fn write(&mut self, records: &[(u8, &[u8])]) -> Result<(), JournalError> {
        if self.is_torn {
            let mended = self
                .file
                .set_len(self.length)
                .and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            mended.map_err(io_error("cut", &self.path))?;
            self.is_torn = false;
        }
        let mut bytes = Vec::with_capacity(records.iter().map(|(_, record)| 9 + record.len()).sum());
        records
            .iter()
            .for_each(|(kind, record)| push(&mut bytes, *kind, record));
        if let Err(error) = self.file.write_all(&bytes) {
            self.is_torn = true;
            return Err(io_error("write", &self.path)(error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    regular::own(path, OpenOptions::new().read(true).write(true).create(true))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |error| JournalError::Io { what, path, error }
}

fn push(bytes: &mut Vec<u8>, kind: u8, record: &[u8]) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), record);
    let head = RecordHead {
        length: (record.len() as u32).into(),
        crc: crc.into(),
        kind,
    };
    bytes.extend(head.as_bytes());
    bytes.extend(record);
}

/// What the records say, and how many bytes of them are whole.
fn recover(records: &[u8]) -> (Recovered, usize) {
    let mut recovered = Recovered::default();
    let mut rest = records;
    while let Some((kind, record, behind)) = next(rest) {
        match kind {
            SNAPSHOT => {
                recovered = Recovered {
                    snapshot: Some(record.to_vec()),
                    ..Recovered::default()
                };
            }
            BEGIN => {
                // The word that the one before was done may have found no room; it was, or this one would not have begun.
                recovered.done.extend(recovered.in_flight.take());
                recovered.in_flight = Some(record.to_vec());
                recovered.parts_done = 0;
            }
            PART => recovered.parts_done += 1,
            DONE => recovered.done.extend(recovered.in_flight.take()),
            // Of a later version: what it means is not known, and so not what comes behind it.
            _ => break,
        }
        rest = behind;
    }
    (recovered, records.len() - rest.len())
}

/// The first record, and what stands behind it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = RecordHead::ref_from_prefix(bytes).ok()?;
    let length = head.length.get() as usize;
    if length > RECORD_MAX || length > rest.len() {
        return None;
    }
    let (record, behind) = rest.split_at(length);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[head.kind]), record);
    (crc == head.crc.get()).then_some((head.kind, record, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovered(snapshot: Option<&str>, done: &[&str], in_flight: Option<&str>) -> Recovered {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Recovered {
            snapshot: snapshot.map(bytes),
            done: done.iter().map(|text| bytes(text)).collect(),
            in_flight: in_flight.map(bytes),
            parts_done: 0,
            cut_bytes: 0,
        }
    }

    /// Wherever a kill cuts the last write, what was acted upon is there, and what was not is not.
    #[test]
    fn a_journal_that_is_cut_anywhere_says_what_was_begun_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found, Recovered::default());
        journal.begin_anew(b"s").unwrap();
        let mut states = vec![(journal.length, recovered(Some("s"), &[], None))];
        journal.begin(b"first").unwrap();
        states.push((journal.length, recovered(Some("s"), &[], Some("first"))));
        journal.done().unwrap();
        states.push((journal.length, recovered(Some("s"), &["first"], None)));
        journal.pass(b"empty").unwrap();
        states.push((journal.length, recovered(Some("s"), &["first", "empty"], None)));
        journal.begin(b"last").unwrap();
        states.push((
            journal.length,
            recovered(Some("s"), &["first", "empty"], Some("last")),
        ));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, journal.length);
        for cut in states[0].0 as usize..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (_, mut found) = Journal::open(&path).unwrap();
            found.cut_bytes = 0;
            let (_, expected) = states
                .iter()
                .rev()
                .find(|(length, _)| *length <= cut as u64)
                .unwrap();
            if cut as u64 > states[2].0 && (cut as u64) < states[3].0 && found != *expected {
                // Begun, but not done.
                assert_eq!(found, recovered(Some("s"), &["first"], Some("empty")));
                continue;
            }
            assert_eq!(found, *expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_journal_goes_on_behind_what_was_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.begin_anew(b"s").unwrap();
        journal.pass(b"a").unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend([7; 100]);
        std::fs::write(&path, &bytes).unwrap();
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found.cut_bytes, 100);
        journal.begin(b"b").unwrap();
        assert_eq!(
            Journal::open(&path).unwrap().1,
            recovered(Some("s"), &["a"], Some("b"))
        );
    }

    /// To begin anew without a word would send again what the server has.
    #[test]
    fn a_journal_whose_beginning_is_damaged_is_not_taken_for_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.begin_anew(b"snapshot").unwrap();
        journal.pass(b"a").unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in MAGIC.len()..MAGIC.len() + size_of::<RecordHead>() + b"snapshot".len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let error = Journal::open(&path).unwrap_err();
            assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is evidence");
        }
    }

    #[test]
    fn what_was_followed_by_another_batch_was_done_even_if_there_was_no_room_to_say_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.begin_anew(b"s").unwrap();
        journal.begin(b"a").unwrap();
        journal.begin(b"b").unwrap();
        let (_, found) = Journal::open(&path).unwrap();
        assert_eq!(found, recovered(Some("s"), &["a"], Some("b")));
    }

    #[test]
    fn another_file_is_not_taken_for_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, "precious notes of somebody").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious notes of somebody");
    }

    /// Nobody may be at the other end of a pipe, and what a link leads to may be precious.
    #[test]
    fn what_is_no_regular_file_is_no_journal_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("link")).unwrap();
        for name in ["pipe", "directory", "link"] {
            let error = Journal::open(&at(name)).unwrap_err();
            assert!(matches!(error, JournalError::Foreign { .. }), "{name}: {error}");
        }
        assert!(!at("elsewhere").exists());
    }

    #[test]
    fn an_error_says_its_cause_once() {
        let directory = tempfile::tempdir().unwrap();
        let error = Journal::open(&directory.path().join("missing/journal")).unwrap_err();
        let error = format!("{:#}", anyhow::Error::new(error));
        assert_eq!(error.matches("No such file").count(), 1, "{error}");
    }

    #[test]
    fn a_journal_is_nobody_elses_to_read() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.begin_anew(b"s").unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn it_is_long_only_after_much_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(&directory.path().join("journal")).unwrap();
        journal.begin_anew(&[0; 1 << 20]).unwrap();
        for _ in 0..3 {
            assert!(!journal.is_long());
            journal.pass(&[1; 1 << 20]).unwrap();
        }
        journal.pass(&[]).unwrap();
        journal.pass(&[1; 1 << 20]).unwrap();
        assert!(journal.is_long());
        journal.begin_anew(b"s").unwrap();
        assert!(!journal.is_long());
    }
}
