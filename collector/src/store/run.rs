//! A run: consecutive rows of one slab, all of one layout.
//!
//! It is what consolidation makes, what archives keep, and what queries read. In memory its rows stand one
//! after the other.

use super::layout::{Column, Columns, Layout};
use rondo_reader::Slab;
use rondo_shm_layout::{Labels, SENTINEL};
use std::ops::Range;
use std::sync::Arc;

/// What a stored point of tier 0 is. Of other tiers, [`Run::known`] is how many points of tier 0 were known.
pub mod state {
    /// Nothing is known.
    pub const UNKNOWN: u32 = 0;
    /// The slot was there.
    pub const PRESENT: u32 = 1;
    /// It was absent, and the value follows from that.
    pub const FILLED: u32 = 2;
    /// The writer was, or died, in the middle of a write.
    pub const TORN: u32 = 3;
}

/// A slab as it is remembered after it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The random id of one run of one machine.
    pub incarnation: [u8; 16],
    /// Of the kernel.
    pub boot_id: [u8; 16],
    /// The machine's name.
    pub instance: String,
    /// The schema's name.
    pub schema: String,
    /// 0, or the number of a further slab.
    pub part: u32,
    /// The file's owner.
    pub uid: u32,
    /// Labels of the whole machine.
    pub labels: Labels,
    /// Slab time of its creation.
    pub created_ns: u64,
    /// Length of an interval of tier 0.
    pub interval_ns: u64,
    /// Whether time is what a simulation says.
    pub simulated_time: bool,
}

impl From<&Slab> for Source {
    fn from(slab: &Slab) -> Self {
        let identity = slab.identity();
        Self {
            incarnation: identity.incarnation,
            boot_id: identity.boot_id,
            instance: identity.instance.clone(),
            schema: identity.schema.clone(),
            part: identity.part,
            uid: slab.owner_uid(),
            labels: identity.labels.clone(),
            created_ns: identity.created_realtime_ns,
            interval_ns: slab.layout().axis.interval_ns(),
            simulated_time: identity.simulated_time,
        }
    }
}

/// Cumulative counts of a histogram's buckets at the end of an interval: pairs of LEB128 numbers (buckets
/// skipped since the last one, count), of the buckets that are not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketCounts(Box<[u8]>);

impl BucketCounts {
    /// From the counts of all buckets.
    pub fn from_dense(counts: &[u64]) -> Self {
        let mut bytes = Vec::new();
        let mut skipped = 0;
        for &count in counts {
            if count == 0 {
                skipped += 1;
            } else {
                write_varint(&mut bytes, skipped);
                write_varint(&mut bytes, count);
                skipped = 0;
            }
        }
        Self(bytes.into())
    }

    /// From bytes of a stranger; `None` if they are not pairs of numbers of at most `bucket_count` buckets.
    pub fn parse(bytes: &[u8], bucket_count: u32) -> Option<Self> {
        let (mut at, mut next) = (0, 0u64);
        while at < bytes.len() {
            next = next.checked_add(read_varint(bytes, &mut at)?)?.checked_add(1)?;
            read_varint(bytes, &mut at)?;
            if next > u64::from(bucket_count) {
                return None;
            }
        }
        Some(Self(bytes.into()))
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Index and count of the buckets that are not empty.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let (mut at, mut next) = (0, 0u32);
        std::iter::from_fn(move || {
            let index = next.checked_add(u32::try_from(read_varint(&self.0, &mut at)?).ok()?)?;
            next = index.checked_add(1)?;
            Some((index, read_varint(&self.0, &mut at)?))
        })
    }
}

/// Appends a number as LEB128.
pub fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads a LEB128 number at `at` and moves past it.
pub fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Rows of one slab, or of one slice of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Whose they are.
    pub source: Arc<Source>,
    /// Which series, tier and interval.
    pub layout: Arc<Layout>,
    /// Number of the slice's first series among those of the slab; 0 for nearly all.
    pub first_series: u32,
    /// Slab time at which the first row's interval starts.
    pub start_ns: u64,
    /// For each row and series: how many points of tier 0 are known; of tier 0 a [`state`].
    pub known: Vec<u32>,
    /// For each row, the words of its series.
    pub words: Vec<u64>,
    /// For each row and histogram.
    pub buckets: Vec<BucketCounts>,
    /// What to add to slab time to show it on the wall clock, as it was when the run was made.
    pub clock_offset_ns: i64,
    /// Slab time of the machine's last tick if it ended with this run, otherwise 0. Its last
    /// window is then sealed though part of it never was.
    pub ended_ns: u64,
}

/// What a row says of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowValue {
    /// Points of tier 0 that are known; of tier 0 a [`state`].
    pub known: u32,
    /// See [`Column::Total`].
    pub total: Option<u64>,
    /// See [`Column::Sum`].
    pub sum: Option<f64>,
    /// See [`Column::Min`].
    pub min: Option<f64>,
    /// See [`Column::Max`].
    pub max: Option<f64>,
    /// See [`Column::Last`].
    pub last: Option<f64>,
}

impl RowValue {
    /// What the words of those columns say; that nothing is known if there are none.
    pub(crate) fn read(known: u32, columns: Columns, words: &[u64]) -> Self {
        let word = |column| columns.position(column).and_then(|at| words.get(at).copied());
        let float = |column| word(column).filter(|&bits| bits != SENTINEL).map(f64::from_bits);
        Self {
            known,
            total: word(Column::Total).filter(|_| known != state::UNKNOWN),
            sum: float(Column::Sum),
            min: float(Column::Min),
            max: float(Column::Max),
            last: float(Column::Last),
        }
    }
}

impl Run {
    /// An empty run that starts at `start_ns`.
    pub fn new(source: Arc<Source>, layout: Arc<Layout>, first_series: u32, start_ns: u64) -> Self {
        Self {
            source,
            layout,
            first_series,
            start_ns,
            known: Vec::new(),
            words: Vec::new(),
            buckets: Vec::new(),
            clock_offset_ns: 0,
            ended_ns: 0,
        }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.known
            .len()
            .checked_div(self.layout.series().len())
            .unwrap_or(0)
    }

    /// Start of the interval after the last row's.
    pub fn end_ns(&self) -> u64 {
        self.start_ns
            .saturating_add((self.rows() as u64).saturating_mul(self.layout.interval_ns()))
    }

    /// Start of a row's interval.
    pub fn row_ns(&self, row: usize) -> u64 {
        self.start_ns + row as u64 * self.layout.interval_ns()
    }

    /// What a row says of a series; both numbers are in range.
    pub fn value(&self, row: usize, series: usize) -> RowValue {
        let layout = &self.layout;
        let known = self.known[row * layout.series().len() + series];
        let start = row * layout.width() + layout.words(series).start;
        let columns = layout.columns(series);
        RowValue::read(known, columns, &self.words[start..start + columns.len()])
    }

    /// The buckets of a histogram (a series number) at the end of a row.
    pub fn buckets(&self, row: usize, series: usize) -> Option<&BucketCounts> {
        let histograms = self.layout.histograms();
        let at = histograms.binary_search(&u32::try_from(series).ok()?).ok()?;
        self.buckets.get(row * histograms.len() + at)
    }

    /// Adds a row.
    pub fn push(&mut self, known: &[u32], words: &[u64], buckets: impl IntoIterator<Item = BucketCounts>) {
        self.known.extend_from_slice(known);
        self.words.extend_from_slice(words);
        self.buckets.extend(buckets);
    }

    /// Some of its rows, as a run of their own.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        fn of<T: Clone>(values: &[T], rows: &Range<usize>, width: usize) -> Vec<T> {
            values[rows.start * width..rows.end * width].to_vec()
        }
        let layout = &self.layout;
        Self {
            start_ns: self.row_ns(rows.start),
            known: of(&self.known, &rows, layout.series().len()),
            words: of(&self.words, &rows, layout.width()),
            buckets: of(&self.buckets, &rows, layout.histograms().len()),
            source: self.source.clone(),
            layout: layout.clone(),
            ..*self
        }
    }

    /// Memory that its rows take.
    pub fn memory_bytes(&self) -> usize {
        let buckets: usize = self.buckets.iter().map(|counts| 16 + counts.0.len()).sum();
        4 * self.known.capacity() + 8 * self.words.capacity() + buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bucket_counts_come_back(counts in prop::collection::vec(prop_oneof![3 => Just(0u64), 1 => any::<u64>()], 0..300)) {
            let coded = BucketCounts::from_dense(&counts);
            let expected: Vec<(u32, u64)> = (0u32..).zip(counts.iter().copied()).filter(|(_, count)| *count != 0).collect();
            prop_assert_eq!(coded.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(BucketCounts::parse(coded.as_bytes(), counts.len() as u32), Some(coded));
        }

        #[test]
        fn any_bytes_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(counts) = BucketCounts::parse(&bytes, 100) {
                prop_assert!(counts.iter().all(|(index, _)| index < 100));
            }
        }
    }
}
