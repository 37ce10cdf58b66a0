//! All that is known of a series over a stretch of time (section 11.4 of the specification).

use crate::column::{Column, SlotValue, Walk};
use crate::error::Error;
use crate::point::{Point, PointValue};
use crate::series::Series;
use crate::slab::Slab;
use crate::view::View;
use rondo_shm_layout::Kind;

/// What an interval without a slot says.
#[derive(Debug, Clone, Copy)]
enum Base {
    /// That the value is still this.
    Value(PointValue),
    /// Nothing: what it would follow from was overwritten, or never was.
    Unknown,
}

impl Slab {
    /// All points of `series` in the intervals from `first_ns` to `last_ns` (starts, both included)
    /// that are in the view's window and of which something is known, in order of time.
    ///
    /// Intervals without a slot are filled where their value follows from that, and flagged: a
    /// counter is unchanged, a distribution had no samples. Torn slots are there as
    /// [`PointValue::Torn`]. Costs a look at each stamp of the column and a read of each slot of the range.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn range(
        &self,
        series: &Series,
        view: &View,
        first_ns: u64,
        last_ns: u64,
    ) -> Result<Vec<Point>, Error> {
        let mut points = Vec::new();
        self.each_point(series, view, first_ns, last_ns, |point| points.push(point))?;
        Ok(points)
    }

    /// Like [`Self::range`], but calls `visit` with each point instead of collecting them.
    ///
    /// # Errors
    /// [`Error::Lost`]; what was visited cannot be trusted then.
    pub fn each_point(
        &self,
        series: &Series,
        view: &View,
        first_ns: u64,
        last_ns: u64,
        mut visit: impl FnMut(Point),
    ) -> Result<(), Error> {
        let axis = self.layout().axis;
        let Some((window_first, window_last)) = view.window() else {
            return self.check();
        };
        let first = axis
            .start_of(first_ns.clamp(window_first, INTERVAL_LIMIT))
            .max(window_first);
        let last = axis.start_of(last_ns.min(window_last));
        let image = self.image();
        let column = Column::new(image, axis, series);

        let registered = axis.start_of(series.registered_ns);
        let ended = series
            .ended_ns(image)
            .map_or(u64::MAX, |ended| axis.start_of(ended));
        let newest = column.newest(first, view.cursor_ns);
        // A slot older than this may not be the newest before the range: a newer one may have been
        // where a lap later another was written.
        let newest_ns = if newest.has_torn {
            view.cursor_ns.max(newest.any_ns)
        } else {
            newest.any_ns
        };
        let reach = newest_ns.checked_sub(axis.slot_count().saturating_mul(axis.interval_ns()));
        let within_reach = |t: u64| reach.is_none_or(|reach| t >= reach);
        let mut base = match newest.before {
            Some((t, value)) if within_reach(t) => Base::Value(value.carried_over()),
            // None within reach: no sample yet, if the registration is within reach too.
            _ if series.kind.is_distribution() && reach.is_none_or(|reach| registered > reach) => {
                Base::Value(PointValue::NO_SAMPLES)
            }
            _ => Base::Unknown,
        };

        for (index, t) in Walk::new(axis, first, axis.slot_index(first), last) {
            let (value, filled) = match column.read(index, t) {
                SlotValue::Present(value) => {
                    base = Base::Value(value.carried_over());
                    (value, false)
                }
                SlotValue::Torn => {
                    base = Base::Unknown;
                    (PointValue::Torn, false)
                }
                SlotValue::Overwritten => {
                    base = Base::Unknown;
                    continue;
                }
                SlotValue::Absent => match base {
                    Base::Value(value)
                        if series.kind != Kind::Gauge
                            && t >= registered
                            && t <= view.ticked_ns
                            && t <= ended =>
                    {
                        (value, true)
                    }
                    _ => continue,
                },
            };
            visit(Point {
                t,
                value,
                filled,
                partial: !view.is_complete(t),
            });
        }
        self.check()
    }
}

/// No interval starts beyond.
const INTERVAL_LIMIT: u64 = crate::view::INSTANT_MAX;
