//! The buckets of a histogram, and of which moment they are.

use crate::column::{Column, SlotValue};
use crate::error::Error;
use crate::point::PointValue;
use crate::series::Series;
use crate::slab::Slab;
use crate::view::View;
use rondo_shm_layout::buckets;
use rondo_shm_layout::sync::{Ordering, fence};

/// How often the buckets are read again if samples came meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// Samples of a histogram by size, since registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Samples in each bucket.
    pub counts: Vec<u64>,
    /// Whether they are as they were at one moment: they add up to `count`. Otherwise each is right by itself, and some
    /// are ahead of `count`.
    pub is_consistent: bool,
    /// Samples as the newest slot has it.
    pub count: u64,
    precision: u8,
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Least sample, rounded down to a whole number.
    pub lower: u64,
    /// Where the next bucket starts; `None` for the last, which has no upper end.
    pub upper: Option<u64>,
    /// Samples since registration.
    pub count: u64,
}

impl Buckets {
    /// The buckets that are not empty, from the lowest on.
    pub fn non_empty(&self) -> impl Iterator<Item = Bucket> + '_ {
        // At most a few thousand, see `buckets::count_max`.
        let bucket_count = self.counts.len() as u32;
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count != 0)
            .map(move |(index, &count)| {
                let (lower, upper) = buckets::bounds(index as u32, self.precision, bucket_count);
                Bucket { lower, upper, count }
            })
    }
}

impl Slab {
    /// The buckets of a histogram; `None` for a series of another kind. Costs a look at each stamp of
    /// the column and a load for each bucket, a few times over if samples come meanwhile.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn buckets(&self, series: &Series, view: &View) -> Result<Option<Buckets>, Error> {
        let image = self.image();
        let Some((array, words)) = series
            .buckets
            .and_then(|array| Some((array, image.words(array.offset, array.count as usize)?)))
        else {
            return Ok(None);
        };
        let axis = self.layout().axis;
        let column = Column::new(image, axis, series);
        let mut snapshot = Buckets {
            counts: vec![0; words.len()],
            is_consistent: false,
            count: 0,
            precision: array.precision,
        };
        for _ in 0..ATTEMPTS_MAX {
            // Which slot is the newest takes long to find out; what it holds is read again after that.
            // Then the buckets, which only grow: if they add up to its count, no sample came between.
            let newest_ns = column.newest(u64::MAX, view.cursor_ns).any_ns;
            if let SlotValue::Present(PointValue::Distribution { count, .. }) =
                column.read(axis.slot_index(newest_ns), newest_ns)
            {
                snapshot.count = count;
            }
            fence(Ordering::Acquire);
            for (count, word) in snapshot.counts.iter_mut().zip(words) {
                *count = word.load(Ordering::Relaxed);
            }
            let total = snapshot
                .counts
                .iter()
                .fold(0u64, |total, &count| total.wrapping_add(count));
            snapshot.is_consistent = total == snapshot.count;
            if snapshot.is_consistent {
                break;
            }
        }
        self.check()?;
        Ok(Some(snapshot))
    }
}
