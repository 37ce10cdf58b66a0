//! One process that measures itself and keeps what it measures: a writer and a collector in one.
//!
//! A [`Store`] is a directory. In `slabs/` is the slab that the process writes; beside it are the archives of
//! `spec/store.md`. What other time-series files keep in an index of their own (`meta.json`, `series_index.bin`) is in the slab's
//! descriptors and in the archives' layouts. There are no threads and no sockets here: call [`Store::consolidate`]
//! about once a second, from wherever you like.
//!
//! Opening a store again begins a new incarnation. What the last one left is sealed and stored first; queries see both.

use crate::collector::{Collector, CollectorSettings};
use crate::export::{Drained, ExportCursor};
use crate::query::{Answer, Plan, QueryError, Request, Tier, Value};
use crate::selector::Selector;
use crate::store::{ArchiveSettings, StoreError};
use rondo_reader::{Kind, Labels, Limits};
use rondo_writer::{CreateError, RegisterError, Registration, SchemaConfig, SeriesHandle, Writer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One process fills an extent slowly, and loses the oldest of each archive as a whole.
const EXTENT_BYTES: u32 = 64 << 10;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The archives cannot be used.
    #[error(transparent)]
    Archives(#[from] StoreError),
    /// The slab cannot be made.
    #[error(transparent)]
    Slab(#[from] CreateError),
    /// The directory cannot be made.
    #[error("cannot make {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What the last incarnation left could not be stored.
    #[error("cannot store what the last incarnation left: {0}")]
    Recovery(String),
}

/// Why rows could not be made or kept. All of it is tried again by the next call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConsolidateError(String);

/// Why rows could not be drained.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// A cursor is good for one tier.
    #[error("the cursor is of tier {cursor}, not {asked}")]
    Tier {
        /// What was asked for.
        asked: u8,
        /// What the cursor is of.
        cursor: u8,
    },
    /// The archives cannot be read.
    #[error(transparent)]
    Archives(#[from] StoreError),
}

/// What a store is made of, and how large it is; made by [`Store::builder`].
#[derive(Debug, Clone)]
pub struct StoreBuilder {
    path: PathBuf,
    schemas: Vec<SchemaConfig>,
    instance: String,
    budget_bytes: u64,
    simulated_start_ns: Option<u64>,
}

impl StoreBuilder {
    /// The name under which other programs see the process; `self` without it.
    #[must_use]
    pub fn instance(mut self, name: &str) -> Self {
        self.instance = name.to_owned();
        self
    }

    /// Disk space of the archives, for ever; 64 MiB without it.
    #[must_use]
    pub fn budget_bytes(mut self, bytes: u64) -> Self {
        self.budget_bytes = bytes;
        self
    }

    /// Time is what timestamps say, from `start_ns` on.
    #[must_use]
    pub fn simulated_time(mut self, start_ns: u64) -> Self {
        self.simulated_start_ns = Some(start_ns);
        self
    }

    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(self) -> Result<Store, OpenError> {
        let bus = self.path.join("slabs");
        let mut builder = Writer::builder(&self.instance).bus(&bus);
        for schema in self.schemas {
            builder = builder.schema(schema);
        }
        if let Some(start_ns) = self.simulated_start_ns {
            builder = builder.simulated_time(start_ns);
        }
        // What is wrong with names and schemas is found before anything is made.
        drop(builder.clone().create_private()?);
        std::fs::create_dir_all(&bus).map_err(|source| OpenError::Directory {
            path: bus.clone(),
            source,
        })?;
        let settings = CollectorSettings {
            bus: bus.clone(),
            store: self.path,
            archives: ArchiveSettings {
                budget_bytes: self.budget_bytes,
                extent_bytes: EXTENT_BYTES,
            },
            keep: Duration::ZERO,
            limits: Limits::default(),
        };
        let mut collector = Collector::open(settings, Instant::now())?;
        // Before there is a new slab, so that all that are there are old.
        let report = collector.pass(Instant::now(), true);
        if let Some(error) = report.errors.first() {
            return Err(OpenError::Recovery(format!("{error:#}")));
        }
        Ok(Store {
            writer: builder.create()?,
            collector,
            series: HashMap::new(),
            is_simulated: self.simulated_start_ns.is_some(),
            newest_ns: self.simulated_start_ns.unwrap_or(0),
        })
    }
}

/// Metrics of one process, recorded in nanoseconds and kept in a space fixed in advance.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use rondo_collector::Store;
///
/// let mut store = Store::open(dir.path(), &[])?;
/// let load = store.register("load_ratio", &[("cpu", "0")])?;
/// store.record(load, 0.5, store.now());
/// store.consolidate()?;
/// let points: Vec<(u64, f64)> = store.query_auto(load, 0, u64::MAX)?.collect();
/// assert_eq!(points[0].1, 0.5);
/// # Ok(())
/// # }
/// ```
pub struct Store {
    writer: Writer,
    collector: Collector,
    series: HashMap<SeriesHandle, Registered>,
    is_simulated: bool,
    /// The newest timestamp of [`Self::consolidate_at`].
    newest_ns: u64,
}

/// What a handle stands for.
struct Registered {
    kind: Kind,
    name: String,
    labels: Labels,
}

impl Store {
    /// A store to be opened at `path`.
    pub fn builder(path: impl AsRef<Path>, schemas: &[SchemaConfig]) -> StoreBuilder {
        StoreBuilder {
            path: path.as_ref().to_owned(),
            schemas: schemas.to_vec(),
            instance: "self".into(),
            budget_bytes: 64 << 20,
            simulated_start_ns: None,
        }
    }

    /// Opens the store at `path`, or makes it. Without schemas, there is [`SchemaConfig::default`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>, schemas: &[SchemaConfig]) -> Result<Self, OpenError> {
        Self::builder(path, schemas).open()
    }

    /// Registers a gauge; the first schema that takes it has it.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register(&mut self, name: &str, labels: &[(&str, &str)]) -> Result<SeriesHandle, RegisterError> {
        self.register_as(Kind::Gauge, name, labels)
    }

    /// Registers a series of any kind. [`Self::record`] takes over a counter's total, and adds a sample to a
    /// distribution or histogram.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register_as(
        &mut self,
        kind: Kind,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<SeriesHandle, RegisterError> {
        fn with<H>(
            mut series: Registration<'_, H>,
            labels: &[(&str, &str)],
        ) -> Result<SeriesHandle, RegisterError> {
            for (name, value) in labels {
                series = series.label(name, value);
            }
            series.held()
        }
        let handle = match kind {
            Kind::Gauge => with(self.writer.gauge(name), labels),
            Kind::Counter => with(self.writer.counter(name), labels),
            Kind::Distribution => with(self.writer.distribution(name), labels),
            Kind::Histogram => with(self.writer.histogram(name), labels),
        }?;
        let mut labels: Labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        labels.sort();
        let name = name.to_owned();
        self.series.insert(handle, Registered { kind, name, labels });
        Ok(handle)
    }

    /// The writer, for everything that this type does not show: owned and shared handles, units, helps, ticks.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Records a value as of `now_ns`, from [`Self::now`]: a few stores, no lock, no system call, no allocation. What is
    /// refused is counted in the slab.
    #[inline]
    pub fn record(&self, handle: SeriesHandle, value: f64, now_ns: u64) {
        self.writer.record(handle, value, now_ns);
    }

    /// [`Self::record`] for several series at one time.
    #[inline]
    pub fn record_batch(&self, entries: &[(SeriesHandle, f64)], now_ns: u64) {
        self.writer.record_batch(entries, now_ns);
    }

    /// The present as timestamps show it. Where time is simulated, that of the last [`Self::consolidate_at`].
    pub fn now(&self) -> u64 {
        if self.is_simulated {
            self.newest_ns
        } else {
            self.writer.now()
        }
    }

    /// Makes rows of the windows that have ended since, and keeps them: in memory for a few minutes, then in the archives. Returns how many rows. Made for once a second; costs
    /// microseconds then, and about once a minute the time of an fdatasync.
    ///
    /// # Errors
    /// The disk's, mostly. Nothing is lost as long as the slab holds it.
    pub fn consolidate(&mut self) -> Result<u64, ConsolidateError> {
        self.consolidate_at(self.now())
    }

    /// [`Self::consolidate`] as of `now_ns`, which is the present where time is simulated.
    ///
    /// # Errors
    /// As there.
    pub fn consolidate_at(&mut self, now_ns: u64) -> Result<u64, ConsolidateError> {
        self.newest_ns = now_ns;
        self.writer.tick_at(now_ns);
        let rows = |collector: &Collector| collector.totals().tally.rows.iter().skip(1).sum::<u64>();
        let before = rows(&self.collector);
        let is_attached = self.collector.slabs().next().is_some();
        let report = self.collector.pass(Instant::now(), !is_attached);
        match report.errors.first() {
            Some(error) => Err(ConsolidateError(format!("{error:#}"))),
            None => Ok(rows(&self.collector) - before),
        }
    }

    /// Makes durable what is complete.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&mut self) -> Result<(), ConsolidateError> {
        match self.collector.finish(Instant::now()).errors.first() {
            Some(error) => Err(ConsolidateError(format!("{error:#}"))),
            None => Ok(()),
        }
    }

    /// The points of a series in one tier, by the start of their intervals, from `start_ns` on and before `end_ns`; oldest
    /// first. Of a gauge its value or average, of a counter the total at the end of the interval, of a distribution the mean
    /// of the interval's samples.
    ///
    /// # Errors
    /// If the range has more points than one answer may have.
    pub fn query(
        &self,
        handle: SeriesHandle,
        tier: u8,
        start_ns: u64,
        end_ns: u64,
    ) -> Result<impl Iterator<Item = (u64, f64)> + use<>, QueryError> {
        self.points(handle, Tier::Number(tier), start_ns, end_ns)
    }

    /// The points of a series from the finest tier that covers each part of the range.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn query_auto(
        &self,
        handle: SeriesHandle,
        start_ns: u64,
        end_ns: u64,
    ) -> Result<impl Iterator<Item = (u64, f64)> + use<>, QueryError> {
        self.points(handle, Tier::Auto, start_ns, end_ns)
    }

    fn points(
        &self,
        handle: SeriesHandle,
        tier: Tier,
        start_ns: u64,
        end_ns: u64,
    ) -> Result<std::vec::IntoIter<(u64, f64)>, QueryError> {
        let Some(series) = self.series.get(&handle) else {
            return Ok(Vec::new().into_iter());
        };
        // The mean of a distribution's interval is a difference of totals, the first of which lies before the range.
        let from_ns = if series.kind.is_distribution() {
            0
        } else {
            start_ns
        };
        let selector = Selector::all().and("__name__", &series.name);
        let request = Request {
            range: i128::from(from_ns)..i128::from(end_ns),
            tier,
            ..Request::new(
                series
                    .labels
                    .iter()
                    .fold(selector, |all, (name, value)| all.and(name, value)),
            )
        };
        let answer = self.answer(request)?;
        let same = answer
            .series
            .iter()
            .filter(|found| found.series.labels == series.labels);
        let mut points: Vec<(u64, f64)> = same.flat_map(numbers).filter(|(t, _)| *t >= start_ns).collect();
        points.sort_by_key(|(t, _)| *t);
        // Where a restart cut a window in two, the newer half stands for it.
        points.reverse();
        points.dedup_by_key(|(t, _)| *t);
        points.reverse();
        Ok(points.into_iter())
    }

    /// Every row of a tier that the cursor has not passed, and moves the cursor behind them: all series, as they are
    /// kept, oldest first within a slice. A row leaves once it is final, wherever it is kept, and exactly once, however
    /// often the store is opened anew, as long as the cursor is saved with what was made of the rows.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// use rondo_collector::{Store, export::ExportCursor};
    ///
    /// # let mut store = Store::open(dir.path(), &[])?;
    /// let file = dir.path().join("cursor");
    /// let mut cursor = ExportCursor::load(&file)?.unwrap_or(ExportCursor::new(1));
    /// for rows in store.drain(1, &mut cursor)? {
    ///     for row in rows.first_row..rows.run.rows() {
    ///         println!("{} {:?}", rows.run.row_ns(row), rows.run.value(row, 0));
    ///     }
    /// }
    /// cursor.save(&file)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The cursor is of another tier, or part of the store is damaged; the cursor has then passed what is damaged, and what
    /// was read is lost unless the cursor is put back.
    pub fn drain(&self, tier: u8, cursor: &mut ExportCursor) -> Result<Vec<Drained>, DrainError> {
        if cursor.tier() != tier {
            return Err(DrainError::Tier {
                asked: tier,
                cursor: cursor.tier(),
            });
        }
        let drain = self.collector.drain(cursor, usize::MAX);
        match drain.errors.into_iter().next() {
            Some(error) => Err(DrainError::Archives(error)),
            None => Ok(drain.drained.into_iter().filter(|rows| !rows.is_end).collect()),
        }
    }

    /// Everything that is known of the series that a selector takes: all columns, flags, tiers.
    ///
    /// # Errors
    /// If the answer would be larger than the request allows.
    pub fn answer(&self, request: Request) -> Result<Answer, QueryError> {
        let live = self.collector.live(|_| true);
        Ok(Plan::new(&live, self.collector.archives(), request)?.answer())
    }
}

/// What is complete is stored. A program that has to know whether that worked calls [`Store::sync`] first.
impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.sync();
    }
}

/// One number for each point.
fn numbers(series: &crate::query::SeriesAnswer) -> Vec<(u64, f64)> {
    let kind = series.series.kind;
    let mut numbers = Vec::new();
    let mut before = (0, 0.0);
    for (part, points) in series.points_by_part() {
        for point in points {
            let number = match point.value(kind, part) {
                Value::Whole(total) => Some(total as f64),
                Value::Float(value) => Some(value),
                Value::None if kind.is_distribution() => {
                    let totals = (
                        point.row.total.unwrap_or(before.0),
                        point.row.sum.unwrap_or(before.1),
                    );
                    let (count, sum) = (totals.0.wrapping_sub(before.0), totals.1 - before.1);
                    before = totals;
                    (count > 0).then(|| sum / count as f64)
                }
                Value::None => None,
            };
            numbers.extend(number.map(|number| (point.t, number)));
        }
    }
    numbers
}
