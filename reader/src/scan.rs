//! Everything new in a slab, in one pass: what a collector does every second with every slab.
//!
//! Slots are visited column by column, in the order of their addresses but for the end of the ring,
//! with three divisions a slab and none for each column or slot, and nothing is allocated. A slab in which nothing
//! happened since costs two loads.

use crate::column::{Column, SlotValue, Walk};
use crate::error::Error;
use crate::point::{Point, PointValue};
use crate::series::Series;
use crate::slab::Slab;
use crate::view::View;

impl Slab {
    /// Visits every present or torn slot of the intervals after `after_ns` up to `until_ns` (starts of
    /// intervals; 0 for none yet), series by series, in order of time within each, and returns the last interval
    /// that is done: what to pass as `after_ns` next time.
    ///
    /// Intervals that left the window before they were visited are lost to this reader, as are
    /// those of a series that was registered but not yet refreshed. Nothing is filled: a counter
    /// without a new slot did not change. Pass [`View::complete_ns`] as `until_ns` to visit only what is final.
    ///
    /// # Errors
    /// [`Error::Lost`]; what was visited cannot be trusted then.
    pub fn scan(
        &self,
        view: &View,
        after_ns: u64,
        until_ns: u64,
        mut visit: impl FnMut(&Series, Point),
    ) -> Result<u64, Error> {
        let axis = self.layout().axis;
        let after = after_ns.saturating_add(1);
        let Some(window) = view.slots() else {
            return self.check().map(|()| after_ns);
        };
        let Some((first, index)) = window.at(axis, after.max(window.first)) else {
            return self.check().map(|()| after_ns);
        };
        let last = axis.start_of(until_ns.min(window.last));
        if last <= after_ns {
            return self.check().map(|()| after_ns);
        }
        let walk = Walk::new(axis, first, index, last);
        let complete_ns = view.complete_ns().unwrap_or(0);
        for series in self.series() {
            Column::new(self.image(), axis, series).each(walk, |t, slot| {
                let value = match slot {
                    SlotValue::Present(value) => value,
                    SlotValue::Torn => PointValue::Torn,
                    SlotValue::Absent | SlotValue::Overwritten => return,
                };
                let (filled, partial) = (false, t > complete_ns);
                visit(
                    series,
                    Point {
                        t,
                        value,
                        filled,
                        partial,
                    },
                );
            });
        }
        self.check().map(|()| last)
    }

    /// Visits the slots of `series` of the intervals that start from `first_ns` to `last_ns` (both included), in
    /// order of time: what each says, with nothing filled and no look at the rest of the column.
    ///
    /// Intervals before the view's window are visited as [`SlotValue::Overwritten`], each of them:
    /// whoever may be far behind starts at the window, since a hostile slab can put it anywhere. Those after it are
    /// not visited. Costs one division and some 120 instructions, and 50 for each slot.
    ///
    /// # Errors
    /// [`Error::Lost`]; what was visited cannot be trusted then.
    pub fn each_slot(
        &self,
        series: &Series,
        view: &View,
        first_ns: u64,
        last_ns: u64,
        mut visit: impl FnMut(u64, SlotValue),
    ) -> Result<(), Error> {
        let axis = self.layout().axis;
        // There is no interval 0.
        let start = view.slots().and_then(|window| {
            let (t, index) = window.at(axis, first_ns.max(1))?;
            Some((window, t, index))
        });
        let Some((window, mut t, index)) = start else {
            return self.check();
        };
        while t < window.first && t <= last_ns {
            visit(t, SlotValue::Overwritten);
            t += axis.interval_ns();
        }
        let walk = Walk::new(axis, t, index, last_ns.min(window.last));
        Column::new(self.image(), axis, series).each(walk, visit);
        self.check()
    }
}
