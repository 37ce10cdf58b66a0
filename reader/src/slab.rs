//! One slab: opened, checked, and asked what it is.

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::interner::{Common, Shared};
use crate::limits::Limits;
use crate::liveness::{Boot, Liveness, boot, is_locked};
use crate::mapping::Mapping;
use crate::series::Series;
use crate::view::View;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{Geometry, IdentityInfo, Image, Layout, LiveWords, Rule, Violation};
use std::path::Path;

/// A slab, mapped read-only, whose constant parts were checked.
///
/// Reading needs no `&mut`, so one slab can be read by several threads. It takes one descriptor and
/// one mapping; its memory is the page cache's, shared with the writer. What a [`Bus`](crate::Bus) of many
/// alike keeps beside that is some 50 bytes for each series, the slab's own among them.
#[derive(Debug)]
pub struct Slab {
    mapping: Mapping,
    identity: IdentityInfo,
    geometry: Shared<Geometry>,
    catalogue: Catalogue,
    /// Descriptors looked at, unknown kinds among them.
    seen: u32,
}

/// Several threads read one slab, or each its share of many, without a lock.
const _: () = {
    const fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Slab>();
    assert_shared::<View>();
    assert_shared::<Series>();
};

/// A slab's counters, each as it was at some moment of the call. All times are nanoseconds of slab time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Start of the newest interval that a slot was opened for; 0 before the first.
    pub cursor_ns: u64,
    /// Start of the interval of the writer's last tick; 0 before the first.
    pub ticked_ns: u64,
    /// Series descriptors in use.
    pub series_count: u64,
    /// Who holds the slab, in its own pid namespace.
    pub writer_pid: u64,
    /// How often it was reopened after a crash.
    pub reopen_count: u64,
    /// When it was closed; 0 if it was not.
    pub closed_ns: u64,
    /// Registrations refused.
    pub refused_count: u64,
    /// Samples refused because they were too old.
    pub stale_count: u64,
    /// Samples refused because they lay too far ahead.
    pub future_count: u64,
    /// Samples refused for their value.
    pub bad_count: u64,
}

impl Slab {
    /// Opens the slab at `path`, whatever the file is called, and reads its series.
    ///
    /// Costs some 10 µs for a slab of 30 series. Not even a hostile file makes it wait, panic, or
    /// allocate more than a few times the file's size.
    ///
    /// # Errors
    /// The system's refusal; [`Error::Rejected`] with the first rule of the format that the file
    /// breaks; [`Error::Lost`].
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, Error> {
        Self::open_among(path.as_ref(), limits, &Common::new())
    }

    /// Opens one that shares what it can with others.
    pub(crate) fn open_among(path: &Path, limits: &Limits, common: &Common) -> Result<Self, Error> {
        let mapping = Mapping::open(path, limits)?;
        let layout = Layout::validate(mapping.image());
        mapping.check()?;
        let Layout { identity, geometry } = layout.map_err(|violation| Error::rejected(path, violation))?;
        let mut slab = Self {
            mapping,
            identity,
            geometry: common.geometries.share(geometry),
            catalogue: Catalogue::new(common.series.clone()),
            seen: 0,
        };
        slab.refresh()?;
        Ok(slab)
    }

    /// Takes in the series that were registered since; true if there were any. Costs one load if not.
    ///
    /// # Errors
    /// [`Error::Rejected`] if a new series breaks a rule: the slab should be dropped then.
    /// [`Error::Lost`].
    pub fn refresh(&mut self) -> Result<bool, Error> {
        let before = self.catalogue.series().len();
        let read = self.read_new_series();
        self.check()?;
        read.map_err(|violation| Error::rejected(self.path(), violation))?;
        Ok(self.catalogue.series().len() > before)
    }

    fn read_new_series(&mut self) -> Result<(), Violation> {
        let image = self.mapping.image();
        let Some(live) = self.geometry.live(image) else {
            return Ok(());
        };
        let capacity = self.geometry.header.series_capacity.get();
        let count = u32::try_from(live.directory().published())
            .ok()
            .filter(|&count| count <= capacity);
        let count = count.ok_or_else(|| {
            Violation::new(
                Rule::SeriesCount,
                format!("more than the {capacity} that there is room for"),
            )
        })?;
        for index in self.seen..count {
            if let Some(series) = rondo_shm_layout::Series::read(image, &self.geometry, index)? {
                self.catalogue.admit(series)?;
            }
            self.seen = index + 1;
        }
        self.catalogue.settle();
        Ok(())
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        self.mapping.path()
    }

    /// Who writes it, as it says itself. Only the lock and [`Self::owner_uid`] cannot be forged.
    pub fn identity(&self) -> &IdentityInfo {
        &self.identity
    }

    /// Where everything is in it.
    pub fn layout(&self) -> &Geometry {
        &self.geometry
    }

    /// Its series of known kinds in the order of their registration, as of the last [`Self::refresh`].
    pub fn series(&self) -> &[Series] {
        self.catalogue.series()
    }

    /// Bytes of the file.
    pub fn size_bytes(&self) -> u64 {
        self.mapping.len()
    }

    /// The owner of the file.
    pub fn owner_uid(&self) -> u32 {
        self.mapping.owner_uid()
    }

    /// Device and inode of the file: which one it is, whatever is at its path by now.
    pub fn file_id(&self) -> (u64, u64) {
        self.mapping.file_id()
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Whether its file was cut short. From then on all reads are [`Error::Lost`].
    pub fn is_lost(&self) -> bool {
        self.mapping.is_lost()
    }

    /// The slab's counters. Ten loads: enough to see without a system call that nothing happened, if cursor,
    /// tick and number of series are still those of before.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn live(&self) -> Result<Counters, Error> {
        let live = self.live_words()?;
        let load = |word: &rondo_shm_layout::sync::AtomicU64| word.load(Ordering::Relaxed);
        let counters = Counters {
            cursor_ns: load(live.cursor_ns),
            ticked_ns: load(live.ticked_ns),
            series_count: live.directory().published(),
            writer_pid: load(live.writer_pid),
            reopen_count: load(live.reopen_count),
            closed_ns: load(live.closed_ns),
            refused_count: load(live.refused_count),
            stale_count: load(live.stale_count),
            future_count: load(live.future_count),
            bad_count: load(live.bad_count),
        };
        self.check().map(|()| counters)
    }

    /// Slab time at which what `series` measures went away, or `None` while it is there. One load.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn ended_ns(&self, series: &Series) -> Result<Option<u64>, Error> {
        let ended = series.ended_ns(self.image());
        self.check().map(|()| ended)
    }

    /// Whether its writer lives. One system call.
    ///
    /// # Errors
    /// The system's refusal, or [`Error::Lost`].
    pub fn liveness(&self) -> Result<Liveness, Error> {
        // No writer outlives its boot; the lock is another process's that reads or removes the file.
        if boot(&self.identity().boot_id) != Boot::Other && is_locked(&self.mapping)? {
            return Ok(Liveness::Live);
        }
        let closed_ns = self.live()?.closed_ns;
        Ok(if closed_ns == 0 {
            Liveness::Dead
        } else {
            Liveness::Closed
        })
    }

    /// Fixes what holds for the values that are read next. Take a new view for each round of
    /// reading. Costs two system calls and two readings of the clock.
    ///
    /// # Errors
    /// The system's refusal, or [`Error::Lost`].
    pub fn view(&self) -> Result<View, Error> {
        self.mapping.check_size()?;
        let liveness = self.liveness()?;
        let view = View::take(&self.live_words()?, self.geometry.axis, self.identity(), liveness);
        self.check().map(|()| view)
    }

    fn live_words(&self) -> Result<LiveWords<'_>, Error> {
        // Checked when it was opened; the image has not changed its length since.
        self.geometry
            .live(self.image())
            .ok_or_else(|| Error::Lost(self.path().to_owned()))
    }

    pub(crate) fn image(&self) -> Image<'_> {
        self.mapping.image()
    }

    /// What was read since the last check is as the file had it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.mapping.check()
    }
}
