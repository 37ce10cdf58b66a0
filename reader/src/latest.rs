//! The newest value of a series.

use crate::column::Column;
use crate::error::Error;
use crate::point::{Point, PointValue};
use crate::series::Series;
use crate::slab::Slab;
use crate::view::View;
use rondo_shm_layout::Kind;

impl Slab {
    /// The newest value of `series`, however old; `None` if it never had one. Never filled.
    ///
    /// Of a shared series this is its cell, as it is now, with the cursor as its interval. Of any
    /// other it is the newest slot of its column; costs a look at each stamp of the column.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn latest(&self, series: &Series, view: &View) -> Result<Option<Point>, Error> {
        let found = match series.cell_offset {
            Some(offset) => self
                .cell(series.kind, offset)
                .filter(|_| view.cursor_ns != 0)
                .map(|value| (view.cursor_ns, value)),
            None => {
                let column = Column::new(self.image(), self.layout().axis, series);
                column.newest(u64::MAX, view.cursor_ns).before
            }
        };
        self.check()?;
        Ok(found.map(|(t, value)| Point {
            t,
            value,
            filled: false,
            partial: !view.is_complete(t),
        }))
    }

    fn cell(&self, kind: Kind, offset: u64) -> Option<PointValue> {
        let cell = self.image().shared_cell(offset)?;
        match kind {
            Kind::Counter => Some(PointValue::Counter(cell.get())),
            _ => cell
                .get_if_set()
                .map(|bits| PointValue::Gauge(f64::from_bits(bits))),
        }
    }
}
