//! Everything new in a slab, in one pass: what a collector does every second with every slab.
//!
//! Slots are visited column by column, in the order of their addresses but for the end of the ring,
//! with one division for each column and none for each slot, and nothing is allocated. A slab in which nothing
//! happened since costs two loads.

use crate::column::{Column, Found};
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
        let Some((window_first, window_last)) = view.window() else {
            return self.check().map(|()| after_ns);
        };
        let last = axis.start_of(until_ns.min(window_last));
        if last <= after_ns {
            return self.check().map(|()| after_ns);
        }
        let first = axis
            .start_of(after_ns)
            .saturating_add(axis.interval_ns())
            .max(window_first);
        let image = self.image();
        for series in self.series() {
            let column = Column::new(image, axis, series);
            for (index, t) in column.walk(first, last) {
                let value = match column.read(index, t) {
                    Found::Present(value) => value,
                    Found::Torn => PointValue::Torn,
                    Found::Absent | Found::Overwritten => continue,
                };
                visit(
                    series,
                    Point {
                        t,
                        value,
                        filled: false,
                        partial: !view.is_complete(t),
                    },
                );
            }
        }
        self.check().map(|()| last)
    }
}
