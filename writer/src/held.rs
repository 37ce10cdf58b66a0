//! Series that the writer object writes: one `Copy` handle, one `record` for every kind.

use crate::admit::{admit, count};
use crate::distribution::is_histogram_sample;
use crate::mapping::{Buckets, PinnedImage, SlabMemory};
use crate::registry::Entry;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{Axis, DistributionSlot, Kind, PointSlot};
use std::cell::Cell;
use std::sync::Arc;

/// Names a writer-held series of one writer. Small and `Copy`; good only for the writer it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesHandle {
    /// Whose it is and what: compared at once.
    pub(crate) tag: Tag,
    /// Where the column starts, in cache lines.
    pub(crate) column_line: u32,
    /// Which of the writer-held series.
    pub(crate) held_index: u32,
}

/// A slab of this process and a kind of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag(u32);

impl Tag {
    const KIND_BITS: u32 = 3;

    fn new(slab_number: u32, kind: Kind) -> Self {
        Self(slab_number << Self::KIND_BITS | kind as u32)
    }

    #[inline(always)]
    fn is(self, kind: Kind) -> bool {
        self.0 % (1 << Self::KIND_BITS) == kind as u32
    }

    #[inline(always)]
    fn is_of_slab(self, other: Self) -> bool {
        self.0 >> Self::KIND_BITS == other.0 >> Self::KIND_BITS
    }
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
#[repr(C, align(64))]
pub(crate) struct Held {
    // All that a record in the hint's interval needs comes first: one cache line, and the slot's.
    image: PinnedImage,
    hint_ns: Cell<u64>,
    /// The axis's; 0 while there is no hint, so that none holds no time at all.
    hint_interval_ns: Cell<u64>,
    hint_slot: Cell<u32>,
    /// Of all its gauges.
    gauge_tag: Tag,
    slab_number: u32,
    axis: Axis,
    series: Vec<Series>,
}

const _: () = assert!(std::mem::offset_of!(Held, gauge_tag) + size_of::<Tag>() <= 64);

impl Held {
    /// `slab_number` is of no other slab in this process.
    pub(crate) fn new(slab: Arc<SlabMemory>, slab_number: u32) -> Self {
        let axis = slab.axis();
        Self {
            image: PinnedImage::new(slab),
            hint_ns: Cell::new(0),
            hint_interval_ns: Cell::new(0),
            hint_slot: Cell::new(0),
            gauge_tag: Tag::new(slab_number, Kind::Gauge),
            slab_number,
            axis,
            series: Vec::new(),
        }
    }

    fn slab(&self) -> &Arc<SlabMemory> {
        &self.image.owner
    }

    /// The handle of a series, the same each time it is asked for.
    pub(crate) fn register(&mut self, entry: Entry) -> Option<SeriesHandle> {
        let known = self.series.iter().position(|series| series.entry == entry);
        let held_index = match known {
            Some(at) => at,
            None => {
                let buckets = match entry.buckets {
                    Some(array) => Some(Buckets::new(self.slab(), array)?),
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
            tag: Tag::new(self.slab_number, entry.kind),
            column_line: u32::try_from(entry.column_offset / 64).ok()?,
            held_index: u32::try_from(held_index).ok()?,
        })
    }

    /// Stamp and index of a column's newest slot: of a reopened slab it may have one.
    fn newest(&self, entry: &Entry) -> (u64, u64) {
        let stamp = |i: u64| {
            let offset = entry.column_offset + i * u64::from(entry.kind.slot_size());
            if entry.kind.is_distribution() {
                let slot = self.image.get().distribution_slot(offset);
                slot.map_or(0, DistributionSlot::stamp)
            } else {
                self.image.get().point_slot(offset).map_or(0, PointSlot::stamp)
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
            // There are at most 2^20.
            self.hint_slot.set(slot as u32);
            self.hint_interval_ns.set(self.axis.interval_ns());
        }
    }

    /// Marks a series of this slab as ended.
    pub(crate) fn end(&self, handle: SeriesHandle, now_ns: u64) {
        if let Some(series) = self.series.get(handle.held_index as usize) {
            crate::registry::set_ended(self.slab(), series.entry.index, now_ns);
        }
    }

    /// Whether a series is of this slab.
    pub(crate) fn has(&self, tag: Tag) -> bool {
        tag.is_of_slab(self.gauge_tag)
    }

    /// Records if it is a gauge of this slab, in the hint's interval, and the value is good: what callers
    /// inline. Whether it did.
    #[inline(always)]
    pub(crate) fn record_gauge(&self, handle: SeriesHandle, value: f64, now_ns: u64) -> bool {
        let slot = if handle.tag == self.gauge_tag && self.is_hint(now_ns) && !value.is_nan() {
            self.point_at_hint(handle.column_line)
        } else {
            None
        };
        if let Some(slot) = slot {
            slot.words()[0].store(value.to_bits(), Ordering::Relaxed);
        }
        slot.is_some()
    }

    /// See [`Writer::record`](crate::Writer::record). The series is of this slab.
    #[inline(always)]
    pub(crate) fn record(&self, handle: SeriesHandle, value: f64, now_ns: u64) {
        let is_done = self.is_hint(now_ns) && self.record_at_hint(handle, value);
        if !is_done {
            self.record_slowly(handle.held_index, value, now_ns);
        }
    }

    /// Whether `now_ns` lies in the hint's interval.
    #[inline(always)]
    fn is_hint(&self, now_ns: u64) -> bool {
        now_ns.wrapping_sub(self.hint_ns.get()) < self.hint_interval_ns.get()
    }

    /// The hint's slot of a column of points, if it holds the hint's interval.
    #[inline(always)]
    fn point_at_hint(&self, column_line: u32) -> Option<&PointSlot> {
        let offset = u64::from(column_line) * 64 + u64::from(self.hint_slot.get()) * 16;
        let slot = self.image.get().point_slot(offset)?;
        (slot.stamp() == self.hint_ns.get()).then_some(slot)
    }

    /// The hint's slot of a column of distributions, if it holds the hint's interval.
    #[inline(always)]
    fn distribution_at_hint(&self, column_line: u32) -> Option<&DistributionSlot> {
        let offset = u64::from(column_line) * 64 + u64::from(self.hint_slot.get()) * 64;
        let slot = self.image.get().distribution_slot(offset)?;
        (slot.stamp() == self.hint_ns.get()).then_some(slot)
    }

    /// Records into the hint's slot, if it holds the hint's interval and the value is good. Whether it did.
    #[inline(always)]
    fn record_at_hint(&self, handle: SeriesHandle, value: f64) -> bool {
        let SeriesHandle {
            tag,
            column_line,
            held_index,
        } = handle;
        if tag.is(Kind::Gauge) || tag.is(Kind::Counter) {
            let Some([word]) = self.point_at_hint(column_line).map(PointSlot::words) else {
                return false;
            };
            let bits = if tag.is(Kind::Gauge) {
                Some(value.to_bits()).filter(|_| !value.is_nan())
            } else {
                // Below 2^63, where a conversion is one instruction; what lies above takes the slow path.
                let total = (0.0..TOTAL_END / 2.0)
                    .contains(&value)
                    .then_some(value as i64 as u64);
                total.filter(|&total| total >= word.load(Ordering::Relaxed))
            };
            if let Some(bits) = bits {
                word.store(bits, Ordering::Relaxed);
            }
            return bits.is_some();
        }
        let Some(slot) = self.distribution_at_hint(column_line) else {
            return false;
        };
        let bucket = if tag.is(Kind::Histogram) {
            let series = self.series.get(held_index as usize);
            match series.and_then(|series| series.buckets.as_ref()) {
                Some(buckets) if is_histogram_sample(value) => Some(buckets.of(value)),
                _ => return false,
            }
        } else {
            None
        };
        if value.is_finite() {
            slot.add(value, bucket);
        }
        value.is_finite()
    }

    /// Everything else: new intervals, late samples, refusals.
    #[inline(never)]
    fn record_slowly(&self, held_index: u32, value: f64, now_ns: u64) {
        let Some(series) = self.series.get(held_index as usize) else {
            return;
        };
        let kind = series.entry.kind;
        let is_good = match kind {
            Kind::Gauge => !value.is_nan(),
            Kind::Counter => (0.0..TOTAL_END).contains(&value) && value >= self.total(series) as f64,
            Kind::Distribution => value.is_finite(),
            Kind::Histogram => is_histogram_sample(value),
        };
        if !is_good {
            count::<()>(self.slab().live().bad_count);
            return;
        }
        let bucket = series.buckets.as_ref().map(|buckets| buckets.of(value));
        let column = series.entry.column_offset;
        let size = u64::from(kind.slot_size());
        let newest = series.newest_ns.get();
        let previous = column + series.newest_slot.get() * size;
        let image = self.image.get();

        if newest != 0 && self.axis.holds(newest, now_ns) {
            match kind {
                Kind::Gauge | Kind::Counter => {
                    if let Some(slot) = image.point_slot(previous) {
                        slot.words()[0].store(self.bits(kind, value), Ordering::Relaxed);
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
        if !kind.is_distribution() {
            if let Some(slot) = image.point_slot(at) {
                slot.open(start, [self.bits(kind, value)]);
            }
        } else if let (Some(old), Some(new)) =
            (image.distribution_slot(previous), image.distribution_slot(at))
        {
            let totals = if newest == 0 { (0, 0.0) } else { old.totals() };
            let totals = self.slab().go_on_from(series.entry.index, totals);
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
                (self.hint_ns.get(), u64::from(self.hint_slot.get()))
            } else if self.axis.holds(next, now_ns) && now_ns < 1 << 63 {
                let slot = series.newest_slot.get() + 1;
                (next, if slot == self.axis.slot_count() { 0 } else { slot })
            } else {
                let start = admit(self.slab(), series.newest_ns.get(), now_ns)?;
                (start, self.axis.slot_index(start))
            };
        series.newest_ns.set(start);
        series.newest_slot.set(slot);
        self.raise_hint(start, slot);
        self.slab().live().raise_cursor(start);
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
        let slot = self.image.get().point_slot(at);
        let slot = slot.filter(|_| series.newest_ns.get() != 0);
        slot.map_or(0, |slot| slot.words()[0].load(Ordering::Relaxed))
    }
}

/// 2^64: totals are below.
const TOTAL_END: f64 = 18_446_744_073_709_551_616.0;
