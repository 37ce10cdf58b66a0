//! Where the value of a series that leaves stands in a row, worked out once for a layout.

use super::buckets::{boundaries, is_sound};
use super::native::power_of_two;
use crate::exposition::{Scale, boundary};
use crate::store::{BucketCounts, BucketShape, Column, Layout, Run, StoredSeries, state};
use rondo_shm_layout::SENTINEL;

/// Where a value stands, and how it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Number of the series in its layout, and of all series.
    series: usize,
    series_count: usize,
    /// Words of a row.
    width: usize,
    is_tier_0: bool,
    pub(super) scale: Scale,
    pub(super) reading: Reading,
}

/// How a value is read. `word` is that of the row in which it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// How many points of tier 0 are known.
    Known,
    /// A number of samples.
    Count { word: usize },
    /// A total in the series' unit.
    Whole { word: usize },
    /// A number in the series' unit.
    Float { word: usize },
    /// The sum of the known values, to be divided by their number.
    Average { word: usize },
    /// Samples in the first `below` buckets; `word` has those in all.
    Bucket {
        histogram: Histogram,
        word: usize,
        below: u32,
    },
    /// All buckets; `word` has the number of samples, `sum` their sum; 2^`power` base units are one of the series' units.
    Native {
        histogram: Histogram,
        shape: BucketShape,
        word: usize,
        sum: usize,
        power: i32,
    },
}

/// Which of the histograms of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histogram {
    number: usize,
    count: usize,
}

impl Place {
    /// That of a series of the layout.
    pub(super) fn new(layout: &Layout, series: usize, scale: Scale) -> Self {
        Self {
            series,
            series_count: layout.series().len(),
            width: layout.width(),
            is_tier_0: layout.tier() == 0,
            scale,
            reading: Reading::Known,
        }
    }

    /// The same, read so.
    pub(super) fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// A column of the series, if it is kept.
    pub(super) fn column(&self, layout: &Layout, series: usize, column: Column) -> Option<Reading> {
        let word = word(layout, series, column)?;
        Some(if column.is_integer() {
            Reading::Whole { word }
        } else {
            Reading::Float { word }
        })
    }

    /// The average, if its sum is kept. There is none of a single value.
    pub(super) fn average(&self, layout: &Layout, series: usize) -> Option<Reading> {
        let word = word(layout, series, Column::Sum).filter(|_| !self.is_tier_0)?;
        Some(Reading::Average { word })
    }

    /// The number of samples, which has no unit.
    pub(super) fn count(&self, layout: &Layout, series: usize) -> Option<Reading> {
        Some(Reading::Count {
            word: word(layout, series, Column::Total)?,
        })
    }

    /// The buckets of a histogram, each with its boundary; the infinite one, last, is the number of all samples.
    pub(super) fn buckets(
        &self,
        layout: &Layout,
        index: usize,
        series: &StoredSeries,
    ) -> Vec<(String, Reading)> {
        let found = Histogram::find(layout, index).zip(series.buckets);
        let (Some((histogram, shape)), Some(word)) = (found, word(layout, index, Column::Total)) else {
            return Vec::new();
        };
        let finite = boundaries(shape).into_iter().map(|(power, below)| {
            // Exact: it is a power of two.
            let upper = self.scale.apply((1u64 << power) as f64);
            let reading = Reading::Bucket {
                histogram,
                word,
                below,
            };
            (boundary(upper), reading)
        });
        finite
            .chain([("+Inf".to_owned(), Reading::Count { word })])
            .collect()
    }

    /// All buckets as a native histogram, if each lies in one of its buckets.
    pub(super) fn native(&self, layout: &Layout, index: usize) -> Option<Reading> {
        let shape = layout
            .series()
            .get(index)?
            .buckets
            .filter(|&shape| is_sound(shape))?;
        Some(Reading::Native {
            histogram: Histogram::find(layout, index)?,
            shape,
            word: word(layout, index, Column::Total)?,
            sum: word(layout, index, Column::Sum)?,
            power: power_of_two(self.scale)?,
        })
    }

    /// How much is known of the series in a row, if anything is.
    pub(super) fn known(&self, run: &Run, row: usize) -> Option<u32> {
        let known = *run.known.get(row * self.series_count + self.series)?;
        let is_known = known != state::UNKNOWN && !(self.is_tier_0 && known == state::TORN);
        is_known.then_some(known)
    }

    /// A word of a row.
    pub(super) fn word(&self, run: &Run, row: usize, word: usize) -> Option<u64> {
        run.words.get(row * self.width + word).copied()
    }

    /// A word of a row that is a number, in the base unit.
    pub(super) fn float(&self, run: &Run, row: usize, word: usize) -> Option<f64> {
        let bits = self.word(run, row, word).filter(|&bits| bits != SENTINEL)?;
        Some(self.scale.apply(f64::from_bits(bits)))
    }

    pub(super) fn value(&self, run: &Run, row: usize) -> Option<f64> {
        let known = self.known(run, row)?;
        match self.reading {
            Reading::Known => Some(f64::from(known)),
            Reading::Count { word } => Some(self.word(run, row, word)? as f64),
            Reading::Whole { word } => Some(self.scale.apply(self.word(run, row, word)? as f64)),
            Reading::Float { word } => self.float(run, row, word),
            Reading::Average { word } => Some(self.float(run, row, word)? / f64::from(known)),
            Reading::Bucket {
                histogram,
                word,
                below,
            } => {
                let total = self.word(run, row, word)?;
                let counts = histogram.counts(run, row, total)?.iter();
                let in_them = counts
                    .take_while(|&(index, _)| index < below)
                    .fold(0u64, |sum, (_, count)| sum.saturating_add(count));
                Some(in_them.min(total) as f64)
            }
            Reading::Native { .. } => None,
        }
    }
}

impl Histogram {
    fn find(layout: &Layout, series: usize) -> Option<Self> {
        let histograms = layout.histograms();
        let number = histograms.binary_search(&u32::try_from(series).ok()?).ok()?;
        Some(Self {
            number,
            count: histograms.len(),
        })
    }

    /// The buckets at the end of a row; `None` if they are not known, which is so if none has a sample though there
    /// are some.
    pub(super) fn counts(self, run: &Run, row: usize, total: u64) -> Option<&BucketCounts> {
        run.buckets
            .get(row * self.count + self.number)
            .filter(|counts| total == 0 || !counts.as_bytes().is_empty())
    }
}

fn word(layout: &Layout, series: usize, column: Column) -> Option<usize> {
    Some(layout.words(series).start + layout.columns(series).position(column)?)
}
