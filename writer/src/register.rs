//! Registration: what a series is called and measures, and who will write it.

use crate::counter::{Counter, write_zero};
use crate::distribution::{Distribution, Histogram};
use crate::error::RegisterError;
use crate::gauge::Gauge;
use crate::held::SeriesHandle;
use crate::mapping::{Buckets, Column, Pinned, Slot};
use crate::registry::{Entry, IsNew, Request, publish};
use crate::shared::{SharedCounter, SharedGauge};
use crate::slab::{SharedSeries, Slab};
use crate::writer::Writer;
use rondo_shm_layout::{Access, Kind, SENTINEL, Unit};
use std::marker::PhantomData;

/// A series about to be registered. `H` is the handle that [`Registration::owned`] gives.
///
/// Ends with one of `owned`, `held` and, for gauges and counters, `shared`. Costs microseconds and
/// allocates; everything after it does not.
#[must_use = "nothing is registered before `owned`, `held` or `shared`"]
pub struct Registration<'w, H> {
    writer: &'w mut Writer,
    request: Request,
    handle: PhantomData<H>,
}

impl<'w, H> Registration<'w, H> {
    pub(crate) fn new(writer: &'w mut Writer, name: &str, kind: Kind) -> Self {
        let request = Request {
            name: name.to_owned(),
            kind,
            unit: Unit::None,
            help: String::new(),
            labels: Vec::new(),
            // 12.5 % wide buckets up to 2^36: 69 s in nanoseconds, 64 GiB in bytes.
            resolution: (kind == Kind::Histogram).then_some((3, 1 << 36)),
        };
        Self {
            writer,
            request,
            handle: PhantomData,
        }
    }

    /// The unit of its values.
    pub fn unit(mut self, unit: Unit) -> Self {
        self.request.unit = unit;
        self
    }

    /// One sentence that says what it measures.
    pub fn help(mut self, help: &str) -> Self {
        help.clone_into(&mut self.request.help);
        self
    }

    /// A label. Names are unique; the order does not matter.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.request.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Registers a series that the writer writes, through [`Writer::record`]. Registering it again
    /// gives the same handle.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn held(self) -> Result<SeriesHandle, RegisterError> {
        let Self { writer, request, .. } = self;
        let slab = writer.slab_for(&request)?;
        let (entry, IsNew(is_new)) = slab.register(&request, Access::WriterHeld)?;
        let handle = slab
            .held
            .register(entry)
            .ok_or(RegisterError::NoSchema(request.name))?;
        if is_new {
            if entry.kind == Kind::Counter {
                slab.held.record(handle, 0.0, slab.now());
            }
            publish(&slab.memory, &entry);
        } else {
            crate::registry::set_ended(&slab.memory, entry.index, 0);
        }
        Ok(handle)
    }

    /// Registers the series and takes its column.
    fn own<S: Slot>(self) -> Result<Owned<'w, S>, RegisterError> {
        let Self { writer, request, .. } = self;
        let slab = writer.slab_for(&request)?;
        let (entry, is_new) = slab.register(&request, Access::Owned)?;
        let column = slab.claim(&request.name, &entry)?;
        Ok(Owned {
            slab,
            entry,
            is_new,
            column,
        })
    }
}

/// A column taken, whose series may not be visible yet.
struct Owned<'w, S> {
    slab: &'w mut Slab,
    entry: Entry,
    is_new: IsNew,
    column: Column<S>,
}

impl<S: Slot> Owned<'_, S> {
    fn publish(self) -> Column<S> {
        if self.is_new.0 {
            publish(&self.slab.memory, &self.entry);
        } else {
            self.column.set_ended(0);
        }
        self.column
    }
}

impl Registration<'_, Gauge> {
    /// Registers a gauge with one handle.
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::AlreadyOwned`] while another handle exists.
    pub fn owned(self) -> Result<Gauge, RegisterError> {
        let owned = self.own()?;
        let clock = owned.slab.clock.clone();
        Ok(Gauge::new(owned.publish(), clock))
    }

    /// Registers a gauge that any thread may set. Again gives another handle on the same cell.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn shared(self) -> Result<SharedGauge, RegisterError> {
        self.share(SENTINEL).map(SharedGauge)
    }
}

impl Registration<'_, Counter> {
    /// Registers a counter with one handle, and writes its zero.
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::AlreadyOwned`] while another handle exists.
    pub fn owned(self) -> Result<Counter, RegisterError> {
        let mut owned = self.own()?;
        let (clock, now) = (owned.slab.clock.clone(), owned.slab.now());
        write_zero(&mut owned.column, now);
        Ok(Counter::new(owned.publish(), clock))
    }

    /// Registers a counter that any thread may add to, and writes its zero. Again gives another
    /// handle on the same cell.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn shared(self) -> Result<SharedCounter, RegisterError> {
        self.share(0).map(SharedCounter)
    }
}

impl Registration<'_, Distribution> {
    /// Registers a distribution with one handle.
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::AlreadyOwned`] while another handle exists.
    pub fn owned(self) -> Result<Distribution, RegisterError> {
        let owned = self.own()?;
        let clock = owned.slab.clock.clone();
        Ok(Distribution::new(owned.publish(), clock))
    }
}

impl Registration<'_, Histogram> {
    /// 2^precision buckets to every doubling of the sample (0 to 6, default 3), up to `sample_max`
    /// (default 2^36); what lies beyond shares the last bucket.
    pub fn resolution(mut self, precision: u8, sample_max: u64) -> Self {
        self.request.resolution = Some((precision, sample_max));
        self
    }

    /// Registers a histogram with one handle.
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::AlreadyOwned`] while another handle exists.
    pub fn owned(self) -> Result<Histogram, RegisterError> {
        let owned = self.own()?;
        let clock = owned.slab.clock.clone();
        let buckets = owned
            .entry
            .buckets
            .and_then(|array| Buckets::new(&owned.slab.memory, array));
        // `register` gave every histogram its buckets.
        let buckets = buckets.ok_or(RegisterError::NoSchema(String::new()))?;
        Ok(Histogram::new(owned.publish(), buckets, clock))
    }
}

impl<H> Registration<'_, H> {
    fn share(self, unset: u64) -> Result<Pinned<rondo_shm_layout::SharedCell>, RegisterError> {
        let Self { writer, request, .. } = self;
        let slab = writer.slab_for(&request)?;
        let (entry, IsNew(is_new)) = slab.register(&request, Access::Shared)?;
        let missing = || RegisterError::NoSchema(request.name.clone());
        let cell = Pinned::cell(&slab.memory, entry.cell_offset).ok_or_else(missing)?;
        if slab.memory.claim(entry.index) {
            // The first handle in this process: from now on the tick copies the cell.
            let mut column =
                Column::new(&slab.memory, entry.index, entry.column_offset).ok_or_else(missing)?;
            if is_new {
                cell.set(unset);
                if entry.kind == Kind::Counter {
                    write_zero(&mut column, slab.now());
                }
            }
            slab.shared.push(SharedSeries {
                cell: cell.clone(),
                kind: entry.kind,
                column,
            });
        }
        if is_new {
            publish(&slab.memory, &entry);
        }
        Ok(cell)
    }
}
