//! A directory of slabs, and what of it is let in.
//!
//! Any user that may write into the directory can put files there, so a bus bounds what it takes
//! from each of them ([`Limits`]), and the name of an instance belongs to the first user that had it
//! for as long as that user has a slab of it there. The user is the owner of the file; what
//! the slab says of itself does not count. Of the files found by one scan, the older ones come first.

use crate::error::Error;
use crate::interner::Common;
use crate::limits::Limits;
use crate::mapping::birth;
use crate::slab::Slab;
use rondo_shm_layout::{Rule, Violation};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Refusals that are remembered with their reasons; more are only counted.
const REFUSED_MAX: usize = 1_000;

/// A file that was not let in.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub error: Error,
}

/// What a rescan found.
#[derive(Debug, Default)]
pub struct Changes {
    /// File names of the slabs that came.
    pub added: Vec<String>,
    /// The slabs whose file is gone or was replaced; they can still be read.
    pub removed: Vec<Slab>,
}

/// The slabs of a directory.
///
/// ```no_run
/// use rondo_reader::{Bus, Limits};
///
/// let bus = Bus::open("/dev/shm/rondo", &Limits::default())?;
/// for slab in bus.slabs() {
///     println!("{} {} {}", slab.identity().instance, slab.liveness()?, slab.series().len());
/// }
/// for refused in bus.refused() {
///     eprintln!("{}", refused.error);
/// }
/// # Ok::<(), rondo_reader::Error>(())
/// ```
#[derive(Debug)]
pub struct Bus {
    directory: PathBuf,
    limits: Limits,
    /// What the names of files have to start with to be looked at.
    prefix: String,
    /// By file name. In boxes, since nodes of the tree have room that is not used.
    slabs: BTreeMap<String, Box<Slab>>,
    refused: Vec<Refused>,
    refused_count: usize,
    /// What its slabs share.
    common: Common,
}

/// What one uid has on the bus.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    slabs: u64,
    bytes: u64,
    series: u64,
}

/// A file that may be a slab.
struct Candidate {
    birth: SystemTime,
    name: String,
    metadata: Metadata,
}

impl Bus {
    /// Opens all slabs of `directory`. Files whose names start with a dot or do not end in `.slab` are not looked at.
    /// Costs some 10 µs, one descriptor and one mapping for each slab.
    ///
    /// # Errors
    /// [`Error::BusMissing`], or the system's refusal to list the directory. Files that cannot be
    /// read are no error: see [`Self::refused`].
    pub fn open(directory: impl Into<PathBuf>, limits: &Limits) -> Result<Self, Error> {
        Self::open_prefix(directory.into(), limits, String::new())
    }

    /// Like [`Self::open`], but looks only at files that may be slabs of one instance: what it costs
    /// does not depend on how many others there are. Names that only start alike can be among them
    /// (`a` and `a.b`), so take the slabs from [`Self::find`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_instance(
        directory: impl Into<PathBuf>,
        instance: &str,
        limits: &Limits,
    ) -> Result<Self, Error> {
        Self::open_prefix(directory.into(), limits, format!("{instance}."))
    }

    fn open_prefix(directory: PathBuf, limits: &Limits, prefix: String) -> Result<Self, Error> {
        let (slabs, refused) = (BTreeMap::new(), Vec::new());
        let mut bus = Self {
            directory,
            limits: *limits,
            prefix,
            slabs,
            refused,
            refused_count: 0,
            common: Common::new(),
        };
        bus.rescan()?;
        Ok(bus)
    }

    /// Looks again: drops slabs whose file is gone or was replaced, and lets in new ones.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing has changed then.
    pub fn rescan(&mut self) -> Result<Changes, Error> {
        let (present, mut candidates) = self.list()?;
        let gone = self
            .slabs
            .extract_if(.., |name, slab| slab.is_lost() || !present.contains(name));
        let mut changes = Changes {
            removed: gone.map(|(_, slab)| *slab).collect(),
            added: Vec::new(),
        };
        candidates.sort_by(|a, b| (a.birth, &a.name).cmp(&(b.birth, &b.name)));
        self.refused.clear();
        self.refused_count = 0;
        if candidates.is_empty() {
            return Ok(changes);
        }
        let mut admission = Admission::of(&self.limits, self.slabs());
        for candidate in candidates {
            let path = self.directory.join(&candidate.name);
            match admission.open(&path, &candidate, &self.common) {
                Ok(slab) => {
                    changes.added.push(candidate.name.clone());
                    self.slabs.insert(candidate.name, Box::new(slab));
                }
                // Removed since the directory was listed.
                Err(Error::NotFound(_)) => {}
                Err(error) => {
                    // It takes a place on the bus and time to look at, whatever it is.
                    admission.usage.entry(candidate.metadata.uid()).or_default().slabs += 1;
                    self.refused_count += 1;
                    if self.refused.len() < REFUSED_MAX {
                        self.refused.push(Refused { path, error });
                    }
                }
            }
        }
        Ok(changes)
    }

    /// The names of slabs that are where they were, and the other files that may be slabs. Costs a system call for each
    /// of these, and for each few hundred entries.
    fn list(&self) -> Result<(HashSet<String>, Vec<Candidate>), Error> {
        let entries = std::fs::read_dir(&self.directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::BusMissing(self.directory.clone()),
            _ => Error::system("list", &self.directory, error),
        })?;
        let (mut present, mut candidates) = (HashSet::new(), Vec::new());
        for entry in entries {
            let entry = entry.map_err(|error| Error::system("list", &self.directory, error))?;
            // A name that is not UTF-8 cannot be that of any identity.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') || !name.ends_with(".slab") || !name.starts_with(&self.prefix) {
                continue;
            }
            // No other file of the directory has the inode of one that is open here.
            let is_known = |slab: &Slab| slab.file_id().1 == entry.ino() && !slab.is_lost();
            if self.slabs.get(&name).is_some_and(|slab| is_known(slab)) {
                present.insert(name);
                continue;
            }
            // Of the entry itself, if it is a symbolic link; gone already, if this fails.
            let Ok(metadata) = entry.metadata() else { continue };
            candidates.push(Candidate {
                birth: birth(&metadata),
                name,
                metadata,
            });
        }
        Ok((present, candidates))
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes other limits from the next scan on. Slabs that were let in stay.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.limits = *limits;
    }

    /// The file names of all slabs that were let in, in order.
    pub fn file_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.slabs.keys().map(String::as_str)
    }

    /// All slabs that were let in, by file name.
    pub fn slabs(&self) -> impl ExactSizeIterator<Item = &Slab> {
        self.slabs.values().map(Box::as_ref)
    }

    /// The same, for [`Slab::refresh`].
    pub fn slabs_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Slab> {
        self.slabs.values_mut().map(Box::as_mut)
    }

    /// All slabs, taken out of the bus.
    pub fn into_slabs(self) -> impl Iterator<Item = Slab> {
        self.slabs.into_values().map(|slab| *slab)
    }

    /// The slabs of one instance: its schemas, their further parts, and earlier incarnations.
    pub fn find<'b>(&'b self, instance: &'b str) -> impl Iterator<Item = &'b Slab> {
        self.slabs()
            .filter(move |slab| slab.identity().instance == instance)
    }

    /// The files that were not let in by the last scan, the first thousand of them.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// How many were not let in.
    pub fn refused_count(&self) -> usize {
        self.refused_count
    }
}

/// Who has how much, and whose names are whose.
struct Admission<'l> {
    limits: &'l Limits,
    usage: HashMap<u32, Usage>,
    owners: HashMap<String, u32>,
}

impl<'l> Admission<'l> {
    fn of<'s>(limits: &'l Limits, slabs: impl Iterator<Item = &'s Slab>) -> Self {
        let mut admission = Self {
            limits,
            usage: HashMap::new(),
            owners: HashMap::new(),
        };
        for slab in slabs {
            admission.count(slab);
        }
        admission
    }

    fn count(&mut self, slab: &Slab) {
        let usage = self.usage.entry(slab.owner_uid()).or_default();
        usage.slabs += 1;
        usage.bytes += slab.size_bytes();
        usage.series += u64::from(slab.layout().header.series_capacity.get());
        self.owners
            .entry(slab.identity().instance.clone())
            .or_insert(slab.owner_uid());
    }

    fn open(&mut self, path: &Path, candidate: &Candidate, common: &Common) -> Result<Slab, Error> {
        // Before the file costs a descriptor: too many, too much.
        self.check(path, candidate.metadata.uid(), candidate.metadata.len(), 0)?;
        let slab = Slab::open_among(path, self.limits, common)?;
        let (uid, identity) = (slab.owner_uid(), slab.identity());
        let expected = identity.file_name();
        if expected != candidate.name {
            let violation = Violation::new(Rule::FileName, format!("it should be called {expected}"));
            return Err(Error::rejected(path, violation));
        }
        // The file may be another one than that which was listed.
        self.check(
            path,
            uid,
            slab.size_bytes(),
            u64::from(slab.layout().header.series_capacity.get()),
        )?;
        match self.owners.get(&identity.instance) {
            Some(&owner) if owner != uid => Err(Error::NameTaken {
                path: path.to_owned(),
                uid,
                instance: identity.instance.clone(),
                owner,
            }),
            _ => {
                self.count(&slab);
                Ok(slab)
            }
        }
    }

    /// Whether `uid` may have one more slab, of that size.
    fn check(&self, path: &Path, uid: u32, bytes: u64, series: u64) -> Result<(), Error> {
        let usage = self.usage.get(&uid).copied().unwrap_or_default();
        let limits = [
            (
                usage.slabs.saturating_add(1),
                self.limits.slabs_per_uid_max,
                "slabs",
            ),
            (
                usage.bytes.saturating_add(bytes),
                self.limits.bytes_per_uid_max,
                "bytes",
            ),
            (
                usage.series.saturating_add(series),
                self.limits.series_per_uid_max,
                "series",
            ),
        ];
        match limits.into_iter().find(|(wanted, max, _)| wanted > max) {
            Some((_, max, what)) => Err(Error::OverLimit {
                path: path.to_owned(),
                uid,
                what,
                max,
            }),
            None => Ok(()),
        }
    }
}
