//! A series' ring of slots, whichever kind they are of.
//!
//! Stamps are a stranger's: one that is not a multiple of the interval, lies beyond 2^63 or does not
//! belong into its slot counts as never written.

use crate::point::PointValue;
use crate::view::INSTANT_MAX;
use rondo_shm_layout::{Axis, Image, Kind, Read, SeriesInfo};

/// What a slot says of one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SlotValue {
    /// The interval's value; never [`PointValue::Torn`].
    Present(PointValue),
    /// Nothing was stored for the interval.
    Absent,
    /// The slot holds a newer interval already: what this one was is lost.
    Overwritten,
    /// The writer was inside the slot at every attempt to read it, or died there.
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

    /// Whatever a slot of a distribution or histogram holds, its stamp unchecked.
    #[inline(always)]
    fn any_distribution(&self, index: u64) -> Read<(u64, PointValue)> {
        // Offsets were checked when the series was read; if one were wrong, its slot would be absent.
        match self.image.distribution_slot(self.series.slot_offset(index)) {
            Some(slot) => match slot.read_any() {
                Read::Present(words) => Read::Present((words.stamp, words.into())),
                Read::Torn => Read::Torn,
                Read::Absent => Read::Absent,
            },
            None => Read::Absent,
        }
    }

    /// Whatever a slot of a gauge or counter holds, its stamp unchecked.
    #[inline(always)]
    fn any_point(&self, index: u64, value: impl FnOnce(u64) -> PointValue) -> Read<(u64, PointValue)> {
        match self.image.point_slot(self.series.slot_offset(index)) {
            Some(slot) => match slot.read_any() {
                Read::Present((stamp, [bits])) => Read::Present((stamp, value(bits))),
                Read::Torn => Read::Torn,
                Read::Absent => Read::Absent,
            },
            None => Read::Absent,
        }
    }

    /// Whatever a slot holds, its stamp unchecked.
    #[inline]
    fn any(&self, index: u64) -> Read<(u64, PointValue)> {
        match self.series.kind {
            Kind::Gauge => self.any_point(index, gauge),
            Kind::Counter => self.any_point(index, PointValue::Counter),
            Kind::Distribution | Kind::Histogram => self.any_distribution(index),
        }
    }

    /// What `any`, found in slot `index`, says of the interval `t`. No division, unless the slot was overwritten.
    #[inline(always)]
    fn at(&self, any: Read<(u64, PointValue)>, index: u64, t: u64) -> SlotValue {
        match any {
            Read::Present((stamp, value)) if stamp == t => SlotValue::Present(value),
            Read::Present((stamp, _)) if stamp > t && self.belongs(stamp, index) => SlotValue::Overwritten,
            Read::Present(_) | Read::Absent => SlotValue::Absent,
            Read::Torn => SlotValue::Torn,
        }
    }

    /// What slot `index` says of the interval `t`, which is one of its own.
    #[inline]
    pub(crate) fn read(&self, index: u64, t: u64) -> SlotValue {
        self.at(self.any(index), index, t)
    }

    /// What the slots along `walk` say. The kind is looked at once and not in each slot.
    #[inline]
    pub(crate) fn each(&self, walk: Walk, mut visit: impl FnMut(u64, SlotValue)) {
        match self.series.kind {
            Kind::Gauge => {
                walk.for_each(|(index, t)| visit(t, self.at(self.any_point(index, gauge), index, t)));
            }
            Kind::Counter => walk.for_each(|(index, t)| {
                visit(t, self.at(self.any_point(index, PointValue::Counter), index, t));
            }),
            Kind::Distribution | Kind::Histogram => {
                walk.for_each(|(index, t)| visit(t, self.at(self.any_distribution(index), index, t)));
            }
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
            let (stamp, value) = match self.any(index) {
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
}

fn gauge(bits: u64) -> PointValue {
    PointValue::Gauge(f64::from_bits(bits))
}

/// A walk along a column: the slots of intervals one after the other, without a division.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    index: u64,
    t: u64,
    last: u64,
    interval_ns: u64,
    slot_count: u64,
}

impl Walk {
    /// From the interval `first`, whose slot is `index`, to the last that starts by `last`.
    #[inline]
    pub(crate) fn new(axis: Axis, first: u64, index: u64, last: u64) -> Self {
        Self {
            index,
            t: first,
            last: last.min(INSTANT_MAX), // so that one interval more does not overflow
            interval_ns: axis.interval_ns(),
            slot_count: axis.slot_count(),
        }
    }
}

impl Iterator for Walk {
    type Item = (u64, u64);

    /// A slot's index, and the interval to look for in it.
    #[inline(always)]
    fn next(&mut self) -> Option<(u64, u64)> {
        let (index, t) = (self.index, self.t);
        if t > self.last {
            return None;
        }
        self.t = t + self.interval_ns;
        self.index = if index + 1 == self.slot_count {
            0
        } else {
            index + 1
        };
        Some((index, t))
    }
}
