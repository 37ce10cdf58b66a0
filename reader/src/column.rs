//! A series' ring of slots, whichever kind they are of.
//!
//! Stamps are a stranger's: one that is not a multiple of the interval, lies beyond 2^63 or does not
//! belong into its slot counts as never written.

use crate::point::PointValue;
use crate::view::INSTANT_MAX;
use rondo_shm_layout::{Axis, Image, Kind, Read, SeriesInfo};

/// What a slot says of one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Found {
    Present(PointValue),
    Absent,
    /// The slot holds a newer interval already.
    Overwritten,
    Torn,
}

/// The newest slots of a column, from one pass over it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Newest {
    /// Stamp of the newest present slot; 0 if there is none.
    pub(crate) any_ns: u64,
    /// Whether a slot was torn: it may have been newer than all of them.
    pub(crate) has_torn: bool,
    /// The newest present slot before a given instant.
    pub(crate) before: Option<(u64, PointValue)>,
}

#[derive(Clone, Copy)]
pub(crate) struct Column<'s> {
    image: Image<'s>,
    series: &'s SeriesInfo,
    axis: Axis,
}

impl<'s> Column<'s> {
    pub(crate) fn new(image: Image<'s>, axis: Axis, series: &'s SeriesInfo) -> Self {
        Self { image, series, axis }
    }

    /// Whether the slot `index` can hold the interval `stamp`. Costs up to three divisions.
    fn belongs(&self, stamp: u64, index: u64) -> bool {
        stamp != 0
            && stamp <= INSTANT_MAX
            && stamp.is_multiple_of(self.axis.interval_ns())
            && self.axis.slot_index(stamp) == index
    }

    /// The stamp of a slot, unsynchronised: enough to skip it by.
    fn stamp_hint(&self, index: u64) -> u64 {
        let offset = self.series.slot_offset(index);
        if self.series.kind.is_distribution() {
            self.image
                .distribution_slot(offset)
                .map_or(0, |slot| slot.stamp())
        } else {
            self.image.point_slot(offset).map_or(0, |slot| slot.stamp())
        }
    }

    /// Whatever a slot holds, its stamp unchecked.
    #[inline]
    fn read_any(&self, index: u64) -> Read<(u64, PointValue)> {
        let offset = self.series.slot_offset(index);
        // Offsets were checked when the series was read; if one were wrong, its slot would be absent.
        if self.series.kind.is_distribution() {
            match self.image.distribution_slot(offset).map(|slot| slot.read_any()) {
                Some(Read::Present(words)) => Read::Present((words.stamp, words.into())),
                Some(Read::Torn) => Read::Torn,
                Some(Read::Absent) | None => Read::Absent,
            }
        } else {
            match self.image.point_slot(offset).map(|slot| slot.read_any()) {
                Some(Read::Present((stamp, [bits]))) if self.series.kind == Kind::Counter => {
                    Read::Present((stamp, PointValue::Counter(bits)))
                }
                Some(Read::Present((stamp, [bits]))) => {
                    Read::Present((stamp, PointValue::Gauge(f64::from_bits(bits))))
                }
                Some(Read::Torn) => Read::Torn,
                Some(Read::Absent) | None => Read::Absent,
            }
        }
    }

    /// What slot `index` says of the interval `t`, which is one of its own. No division, unless the
    /// slot was overwritten.
    #[inline]
    pub(crate) fn read(&self, index: u64, t: u64) -> Found {
        match self.read_any(index) {
            Read::Present((stamp, value)) if stamp == t => Found::Present(value),
            Read::Present((stamp, _)) if stamp > t && self.belongs(stamp, index) => Found::Overwritten,
            Read::Present(_) | Read::Absent => Found::Absent,
            Read::Torn => Found::Torn,
        }
    }

    /// The newest present slots, whatever their lap. One pass over the column, from the slot of
    /// `hint_ns` backwards: where that is the newest, all others are skipped by their stamps.
    pub(crate) fn newest(&self, before_ns: u64, hint_ns: u64) -> Newest {
        let mut newest = Newest::default();
        let mut before = 0;
        let slots = self.axis.slot_count();
        let from = self.axis.slot_index(hint_ns);
        for index in (0..=from).rev().chain((from + 1..slots).rev()) {
            let hint = self.stamp_hint(index);
            if hint <= before || (hint >= before_ns && hint <= newest.any_ns) {
                continue;
            }
            let (stamp, value) = match self.read_any(index) {
                Read::Present(found) => found,
                Read::Torn => {
                    newest.has_torn = true;
                    continue;
                }
                Read::Absent => continue,
            };
            if !self.belongs(stamp, index) {
                continue;
            }
            newest.any_ns = newest.any_ns.max(stamp);
            if stamp < before_ns && stamp > before {
                before = stamp;
                newest.before = Some((stamp, value));
            }
        }
        newest
    }

    /// The slots of the intervals from `first` to `last`, one after the other: a division for the
    /// first, none for the rest. Both are multiples of the interval, and at least one interval.
    pub(crate) fn walk(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (interval, slots) = (self.axis.interval_ns(), self.axis.slot_count());
        let mut next = Some((self.axis.slot_index(first), first)).filter(|_| first <= last);
        std::iter::from_fn(move || {
            let (index, t) = next?;
            let index_after = if index + 1 == slots { 0 } else { index + 1 };
            next = t
                .checked_add(interval)
                .filter(|&after| after <= last)
                .map(|after| (index_after, after));
            Some((index, t))
        })
    }
}
