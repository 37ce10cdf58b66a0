//! The writer: one machine's slabs, and the object that writes what has no handle of its own.

use crate::builder::Builder;
use crate::clock::Clock;
use crate::counter::Counter;
use crate::distribution::{Distribution, Histogram};
use crate::error::RegisterError;
use crate::gauge::Gauge;
use crate::held::{SeriesHandle, Tag};
use crate::register::Registration;
use crate::registry::Request;
use crate::slab::Slab;
use rondo_shm_layout::Kind;
use std::path::Path;
use std::time::Duration;

/// Something worth knowing that is no reason to go without metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The bus is not on a tmpfs: a record may now and then wait for the disk's page cache.
    NotTmpfs(std::path::PathBuf),
    /// The slab is larger than what readers take unless they are told otherwise, 16 MiB.
    Large(std::path::PathBuf, u64),
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotTmpfs(path) => {
                write!(
                    f,
                    "{} is not on a tmpfs; a record may have to wait for the disk",
                    path.display()
                )
            }
            Self::Large(path, size) => write!(
                f,
                "a slab of {size} bytes in {}; readers take 16 MiB unless told otherwise",
                path.display()
            ),
        }
    }
}

/// Writes one machine's slabs, one for each schema.
///
/// `Send`, not `Sync`: it lives in the thread that ticks. Handles taken from it may go to others
/// and keep the slab alive after it is gone; the slab is closed when the last of them is dropped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use rondo_writer::{Unit, Writer};
///
/// let mut writer = Writer::builder("vm-1").label("tenant", "blue").bus(dir.path()).create()?;
/// let mut exits = writer.counter("vcpu_exits_total").label("vcpu", "0").owned()?;
/// let mut exit_time = writer.histogram("vcpu_exit_duration_ns").unit(Unit::Nanoseconds).owned()?;
///
/// let now = writer.now();
/// exits.add_at(now, 1);
/// exit_time.record_at(now, 850.0);
/// writer.tick();
/// # Ok(())
/// # }
/// ```
pub struct Writer {
    // In place, so that a record through a `SeriesHandle` touches the writer and the slot only.
    primary: Slab,
    further: Vec<Slab>,
    warnings: Vec<Warning>,
}

impl Writer {
    /// A machine of that name: `[A-Za-z0-9_.-]{1,128}`, no leading dot.
    pub fn builder(instance: &str) -> Builder {
        Builder::new(instance)
    }

    pub(crate) fn new(primary: Slab, further: Vec<Slab>, warnings: Vec<Warning>) -> Self {
        Self {
            primary,
            further,
            warnings,
        }
    }

    /// A gauge about to be registered.
    pub fn gauge(&mut self, name: &str) -> Registration<'_, Gauge> {
        Registration::new(self, name, Kind::Gauge)
    }

    /// A counter about to be registered.
    pub fn counter(&mut self, name: &str) -> Registration<'_, Counter> {
        Registration::new(self, name, Kind::Counter)
    }

    /// A distribution about to be registered.
    pub fn distribution(&mut self, name: &str) -> Registration<'_, Distribution> {
        Registration::new(self, name, Kind::Distribution)
    }

    /// A histogram about to be registered.
    pub fn histogram(&mut self, name: &str) -> Registration<'_, Histogram> {
        Registration::new(self, name, Kind::Histogram)
    }

    /// Records into a writer-held series as of `now_ns`, slab time from [`Self::now`]: sets a
    /// gauge, takes over a counter's total (its fraction is dropped; a falling one is refused), adds
    /// a sample to a distribution or histogram.
    ///
    /// Never fails: what is refused is counted in the slab; a handle of another writer does nothing.
    #[inline]
    pub fn record(&self, handle: SeriesHandle, value: f64, now_ns: u64) {
        if !self.primary.held.record_gauge(handle, value, now_ns) {
            // Not the handle as a whole, which would then have to be in memory.
            let SeriesHandle {
                tag,
                column_line,
                held_index,
            } = handle;
            self.record_other(tag, column_line, held_index, value, now_ns);
        }
    }

    /// All that is not a gauge of the first slab that has a value in this interval already.
    #[inline(never)]
    fn record_other(&self, tag: Tag, column_line: u32, held_index: u32, value: f64, now_ns: u64) {
        let handle = SeriesHandle {
            tag,
            column_line,
            held_index,
        };
        let held = if self.primary.held.has(tag) {
            &self.primary.held
        } else if let Some(slab) = self.further.iter().find(|slab| slab.held.has(tag)) {
            &slab.held
        } else {
            return;
        };
        held.record(handle, value, now_ns);
    }

    /// [`Self::record`] for several series at one time.
    #[inline]
    pub fn record_batch(&self, entries: &[(SeriesHandle, f64)], now_ns: u64) {
        for &(handle, value) in entries {
            self.record(handle, value, now_ns);
        }
    }

    /// Ends a writer-held series: what it measured has gone away. Registering it again takes that back.
    pub fn end(&self, handle: SeriesHandle) {
        if let Some(slab) = self.slabs().find(|slab| slab.held.has(handle.tag)) {
            slab.held.end(handle, slab.now());
        }
    }

    /// The present in slab time, as handles see it (see [`Clock::now`]).
    #[inline]
    pub fn now(&self) -> u64 {
        self.primary.clock.now()
    }

    /// The clock, for threads that pass one timestamp to several handles.
    pub fn clock(&self) -> Clock {
        self.primary.clock.clone()
    }

    /// Once in each interval, at [`Self::next_tick`]: copies shared cells into slots and says that the
    /// writer was there, from which readers conclude what absent slots mean. No system call, no
    /// allocation; some nanoseconds, and a few for each shared series.
    pub fn tick(&mut self) {
        for slab in self.slabs_mut() {
            let now = slab.fine_now();
            slab.tick_at(now);
        }
    }

    /// [`Self::tick`] at a given slab time: how simulated time moves on.
    pub fn tick_at(&mut self, now_ns: u64) {
        self.slabs_mut().for_each(|slab| slab.tick_at(now_ns));
    }

    /// When the next tick is due, on CLOCK_MONOTONIC: absolute, as `timerfd_settime` with
    /// `TFD_TIMER_ABSTIME` and `clock_nanosleep` with `TIMER_ABSTIME` take it. Past already if the
    /// present interval has no tick yet; such a timer fires at once. (A free-running one-second loop
    /// drifts until it skips or doubles an interval.)
    pub fn next_tick(&self) -> Duration {
        let due = self.slabs().map(|slab| {
            let anchor = slab.memory.layout.identity.anchor_ns();
            slab.next_tick_ns().wrapping_sub(anchor)
        });
        Duration::from_nanos(due.min().unwrap_or_default())
    }

    /// How long until [`Self::next_tick`], for a loop that just sleeps.
    pub fn until_next_tick(&self) -> Duration {
        self.next_tick()
            .saturating_sub(Duration::from_nanos(crate::clock::monotonic_ns()))
    }

    /// Start of the interval of the last tick in slab time; 0 before the first.
    pub fn ticked_ns(&self) -> u64 {
        self.primary
            .memory
            .live()
            .ticked_ns
            .load(rondo_shm_layout::sync::Ordering::Relaxed)
    }

    /// Length of the first schema's intervals.
    pub fn interval_ns(&self) -> u64 {
        self.primary.memory.axis().interval_ns()
    }

    /// The run's random id, for further parts (see [`Builder::part`]).
    pub fn incarnation(&self) -> [u8; 16] {
        self.primary.memory.layout.identity.incarnation
    }

    /// The files, one for each schema. Empty for slabs that are not in a directory.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.slabs().filter_map(|slab| slab.path.as_deref())
    }

    /// What was found on creation and is worth logging.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// A last tick, and the end of the writer. The slabs are closed when all handles are gone too: a
    /// process that exits while one of its threads has a handle looks as if it had been killed.
    pub fn close(mut self) {
        if !self.primary.memory.layout.identity.simulated_time {
            self.tick();
        }
    }

    fn slabs(&self) -> impl Iterator<Item = &Slab> {
        std::iter::once(&self.primary).chain(&self.further)
    }

    fn slabs_mut(&mut self) -> impl Iterator<Item = &mut Slab> {
        std::iter::once(&mut self.primary).chain(&mut self.further)
    }

    /// The slab of the first schema that takes a series.
    pub(crate) fn slab_for(&mut self, request: &Request) -> Result<&mut Slab, RegisterError> {
        let index = self
            .slabs()
            .position(|slab| slab.schema.takes(&request.name, &request.labels));
        match index {
            Some(0) => Ok(&mut self.primary),
            Some(further) => Ok(&mut self.further[further - 1]),
            None => {
                crate::admit::count::<()>(self.primary.memory.live().refused_count);
                Err(RegisterError::NoSchema(request.name.clone()))
            }
        }
    }
}
