//! Series that the writer object writes: one `Copy` handle, one `record` for every kind.

use crate::admit::{admit, count};
use crate::distribution::is_histogram_sample;
use crate::mapping::{Buckets, SlabMemory};
use crate::registry::Entry;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{Axis, DistributionSlot, Kind, PointSlot};
use std::cell::Cell;
use std::sync::Arc;

/// Names a writer-held series of one writer. Small and `Copy`; good only for the writer it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesHandle {
    /// Which slab; unique in the process.
    pub(crate) slab_tag: u32,
    /// Where the column starts, in cache lines.
    column_line: u32,
    /// Which of the writer-held series.
    held_index: u32,
    kind: Kind,
}

struct Series {
    entry: Entry,
    /// Start of the series' newest interval; 0 before the first.
    newest_ns: Cell<u64>,
    newest_slot: Cell<u64>,
    buckets: Option<Buckets>,
}

/// The writer-held series of one slab.
///
/// All share one hint: start and slot of the newest interval that any of them was opened for.
/// A slot that holds the hint's interval is its series' newest, so a record into it needs nothing
/// of the series itself. That is so because no series is ever ahead of the hint: neither a record
/// nor the registration of a series that has slots already leaves it behind.
pub(crate) struct Held {
    slab: Arc<SlabMemory>,
    axis: Axis,
    hint_ns: Cell<u64>,
    hint_slot: Cell<u64>,
    /// The axis's; 0 while there is no hint, so that none holds no time at all.
    hint_interval_ns: Cell<u64>,
    pub(crate) slab_tag: u32,
    series: Vec<Series>,
}

impl Held {
    pub(crate) fn new(slab: Arc<SlabMemory>, slab_tag: u32) -> Self {
        let axis = slab.axis();
        Self {
            slab,
            axis,
            hint_ns: Cell::new(0),
            hint_slot: Cell::new(0),
            hint_interval_ns: Cell::new(0),
            slab_tag,
            series: Vec::new(),
        }
    }

    /// The handle of a series, the same each time it is asked for.
    pub(crate) fn register(&mut self, entry: Entry) -> Option<SeriesHandle> {
        let known = self.series.iter().position(|series| series.entry == entry);
        let held_index = match known {
            Some(at) => at,
            None => {
                let buckets = match entry.buckets {
                    Some(array) => Some(Buckets::new(&self.slab, array)?),
                    None => None,
                };
                let (newest_ns, newest_slot) = self.newest(&entry);
                self.raise_hint(newest_ns, newest_slot);
                let (newest_ns, newest_slot) = (Cell::new(newest_ns), Cell::new(newest_slot));
                self.series.push(Series {
                    entry,
                    newest_ns,
                    newest_slot,
                    buckets,
                });
                self.series.len() - 1
            }
        };
        Some(SeriesHandle {
            slab_tag: self.slab_tag,
            column_line: u32::try_from(entry.column_offset / 64).ok()?,
            held_index: u32::try_from(held_index).ok()?,
            kind: entry.kind,
        })
    }

    /// Stamp and index of a column's newest slot: of a reopened slab it may have one.
    fn newest(&self, entry: &Entry) -> (u64, u64) {
        let stamp = |i: u64| {
            let offset = entry.column_offset + i * u64::from(entry.kind.slot_size());
            if entry.kind.is_distribution() {
                self.slab
                    .image()
                    .distribution_slot(offset)
                    .map_or(0, DistributionSlot::stamp)
            } else {
                self.slab.image().point_slot(offset).map_or(0, PointSlot::stamp)
            }
        };
        (0..self.axis.slot_count())
            .map(|i| (stamp(i), i))
            // The first of a column never written.
            .max_by_key(|&(stamp, i)| (stamp, std::cmp::Reverse(i)))
            .unwrap_or_default()
    }

    fn raise_hint(&self, start_ns: u64, slot: u64) {
        if start_ns > self.hint_ns.get() {
            self.hint_ns.set(start_ns);
            self.hint_slot.set(slot);
            self.hint_interval_ns.set(self.axis.interval_ns());
        }
    }

    /// See [`Writer::record`](crate::Writer::record).
    #[inline(always)]
    pub(crate) fn record(&self, handle: SeriesHandle, value: f64, now_ns: u64) {
        let column = u64::from(handle.column_line) * 64;
        if now_ns.wrapping_sub(self.hint_ns.get()) < self.hint_interval_ns.get() {
            if !handle.kind.is_distribution() {
                let slot = self.slab.image().point_slot(column + self.hint_slot.get() * 16);
                if let Some(slot) = slot.filter(|slot| slot.stamp() == self.hint_ns.get()) {
                    let word = &slot.words()[0];
                    if handle.kind == Kind::Gauge {
                        if !value.is_nan() {
                            return word.store(value.to_bits(), Ordering::Relaxed);
                        }
                    } else if value >= word.load(Ordering::Relaxed) as f64 && value < TOTAL_END {
                        return word.store(value as u64, Ordering::Relaxed);
                    }
                }
            } else if handle.kind == Kind::Distribution && value.is_finite() {
                let slot = self
                    .slab
                    .image()
                    .distribution_slot(column + self.hint_slot.get() * 64);
                if let Some(slot) = slot.filter(|slot| slot.stamp() == self.hint_ns.get()) {
                    return slot.add(value, None);
                }
            }
        }
        self.record_slowly(handle, value, now_ns);
    }

    /// Everything else: histograms, new intervals, refusals.
    #[inline(never)]
    fn record_slowly(&self, handle: SeriesHandle, value: f64, now_ns: u64) {
        let Some(series) = self.series.get(handle.held_index as usize) else {
            return;
        };
        let is_good = match handle.kind {
            Kind::Gauge => !value.is_nan(),
            Kind::Counter => (0.0..TOTAL_END).contains(&value) && value >= self.total(series) as f64,
            Kind::Distribution => value.is_finite(),
            Kind::Histogram => is_histogram_sample(value),
        };
        if !is_good {
            count::<()>(self.slab.live().bad_count);
            return;
        }
        let bucket = series.buckets.as_ref().map(|buckets| buckets.of(value));
        let column = series.entry.column_offset;
        let size = u64::from(series.entry.kind.slot_size());
        let newest = series.newest_ns.get();
        let previous = column + series.newest_slot.get() * size;
        let image = self.slab.image();

        if newest != 0 && self.axis.holds(newest, now_ns) {
            match handle.kind {
                Kind::Gauge | Kind::Counter => {
                    if let Some(slot) = image.point_slot(previous) {
                        slot.words()[0].store(self.bits(handle.kind, value), Ordering::Relaxed);
                    }
                }
                Kind::Distribution | Kind::Histogram => {
                    if let Some(slot) = image.distribution_slot(previous) {
                        slot.add(value, bucket);
                    }
                }
            }
            return;
        }
        let Some(start) = self.move_on(series, now_ns) else {
            return;
        };
        let at = column + series.newest_slot.get() * size;
        if !handle.kind.is_distribution() {
            if let Some(slot) = image.point_slot(at) {
                slot.open(start, [self.bits(handle.kind, value)]);
            }
        } else if let (Some(old), Some(new)) =
            (image.distribution_slot(previous), image.distribution_slot(at))
        {
            let totals = if newest == 0 { (0, 0.0) } else { old.totals() };
            let totals = self.slab.go_on_from(series.entry.index, totals);
            new.open(start, totals, value, bucket);
        }
    }

    /// Moves a series to the interval of `now_ns`, which is not its newest, and the hint with it if
    /// it is the newest of all.
    #[inline(always)]
    fn move_on(&self, series: &Series, now_ns: u64) -> Option<u64> {
        let next = series.newest_ns.get().wrapping_add(self.axis.interval_ns());
        let (start, slot) =
            if self.axis.holds(self.hint_ns.get(), now_ns) && self.hint_ns.get() > series.newest_ns.get() {
                (self.hint_ns.get(), self.hint_slot.get())
            } else if self.axis.holds(next, now_ns) && now_ns < 1 << 63 {
                let slot = series.newest_slot.get() + 1;
                (next, if slot == self.axis.slot_count() { 0 } else { slot })
            } else {
                let start = admit(&self.slab, series.newest_ns.get(), now_ns)?;
                (start, self.axis.slot_index(start))
            };
        series.newest_ns.set(start);
        series.newest_slot.set(slot);
        self.raise_hint(start, slot);
        self.slab.live().raise_cursor(start);
        Some(start)
    }

    fn bits(&self, kind: Kind, value: f64) -> u64 {
        if kind == Kind::Counter {
            value as u64
        } else {
            value.to_bits()
        }
    }

    fn total(&self, series: &Series) -> u64 {
        let at = series.entry.column_offset + series.newest_slot.get() * 16;
        let slot = self
            .slab
            .image()
            .point_slot(at)
            .filter(|_| series.newest_ns.get() != 0);
        slot.map_or(0, |slot| slot.words()[0].load(Ordering::Relaxed))
    }
}

/// 2^64: totals are below.
const TOTAL_END: f64 = 18_446_744_073_709_551_616.0;
