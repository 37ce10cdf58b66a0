//! One slab of a writer: its memory, its directory, its clock, and what the tick has to do in it.

use crate::admit::{admit, count};
use crate::clock::{self, Clock, TimeSource};
use crate::error::RegisterError;
use crate::held::Held;
use crate::mapping::{Column, Pinned, SlabMemory, Slot};
use crate::registry::{Entry, IsNew, Registry, Request};
use crate::schema::SchemaConfig;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{Access, Kind, PointSlot, SharedCell, Violation};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Tells the handles of different slabs apart.
static NEXT_TAG: AtomicU32 = AtomicU32::new(1);

pub(crate) struct Slab {
    pub(crate) held: Held,
    pub(crate) memory: Arc<SlabMemory>,
    pub(crate) clock: Clock,
    pub(crate) time_source: TimeSource,
    pub(crate) schema: SchemaConfig,
    pub(crate) path: Option<PathBuf>,
    pub(crate) shared: Vec<SharedSeries>,
    registry: Registry,
}

/// A shared series, as the tick needs it.
pub(crate) struct SharedSeries {
    pub(crate) cell: Pinned<SharedCell>,
    pub(crate) kind: Kind,
    pub(crate) column: Column<PointSlot>,
}

impl Slab {
    /// # Errors
    /// The rule that the slab's directory breaks.
    pub(crate) fn new(
        memory: SlabMemory,
        schema: SchemaConfig,
        time_source: TimeSource,
        path: Option<PathBuf>,
    ) -> Result<Self, Violation> {
        let memory = Arc::new(memory);
        Ok(Self {
            registry: Registry::read(&memory)?,
            clock: Clock::new(&memory, time_source),
            held: Held::new(memory.clone(), NEXT_TAG.fetch_add(1, Ordering::Relaxed)),
            shared: Vec::new(),
            memory,
            time_source,
            schema,
            path,
        })
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// # Errors
    /// See [`RegisterError`].
    pub(crate) fn register(
        &mut self,
        request: &Request,
        access: Access,
    ) -> Result<(Entry, IsNew), RegisterError> {
        // A simulation that was reopened before its first tick has no time yet.
        let now = self.now().max(self.memory.axis().interval_ns());
        self.registry.register(&self.memory, request, access, now)
    }

    /// # Errors
    /// [`RegisterError::AlreadyOwned`].
    pub(crate) fn claim<S: Slot>(&self, name: &str, entry: &Entry) -> Result<Column<S>, RegisterError> {
        let owned = || RegisterError::AlreadyOwned(name.to_owned());
        if !self.memory.claim(entry.index) {
            count::<()>(self.memory.live().refused_count);
            return Err(owned());
        }
        Column::new(&self.memory, entry.index, entry.column_offset).ok_or_else(owned)
    }

    /// Copies shared cells into the slots of the interval of `now_ns`, and says that it was there.
    /// A tick is refused and counted like a sample: readers take its time for proof of what is final.
    pub(crate) fn tick_at(&mut self, now_ns: u64) {
        let live = self.memory.live();
        let Some(start) = admit(&self.memory, live.ticked_ns.load(Ordering::Relaxed), now_ns) else {
            return;
        };
        for SharedSeries { cell, kind, column } in &mut self.shared {
            let bits = if *kind == Kind::Counter {
                Some(cell.get())
            } else {
                cell.get_if_set()
            };
            let Some(bits) = bits else { continue };
            if column.holds(now_ns) {
                column.slot().words()[0].store(bits, Ordering::Relaxed);
            } else if let Some(start) = column.advance(now_ns) {
                column.slot().open(start, [bits]);
            }
        }
        live.raise_cursor(start);
        // Release: whoever sees this tick sees what it copied, and does not fill it in.
        live.ticked_ns.store(start, Ordering::Release);
    }

    /// The present by the fine clock, or the last tick of a simulation.
    pub(crate) fn fine_now(&self) -> u64 {
        let identity = &self.memory.layout.identity;
        if identity.simulated_time {
            self.now()
        } else {
            clock::monotonic_ns().wrapping_add(identity.anchor_ns())
        }
    }

    /// When the next tick is due, in slab time.
    pub(crate) fn next_tick_ns(&self) -> u64 {
        let ticked_ns = self.memory.live().ticked_ns.load(Ordering::Relaxed);
        clock::next_tick_ns(
            self.memory.axis().interval_ns(),
            self.time_source,
            ticked_ns,
            self.fine_now(),
        )
    }
}
