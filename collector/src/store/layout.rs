//! What a stored row consists of.
//!
//! A row is one interval of one tier for a fixed list of series. Each series has, besides the number of
//! points that are known of it, up to five *words* of 64 bits, one for each [`Column`] that its kind,
//! the tier and the tier's consolidation functions ask for. Words stand in the order of series, and
//! within a series in that of [`Column::ALL`]. Machines of one kind share one layout.

use rondo_reader::{Kind, Series, Unit};
use rondo_shm_layout::{Functions, Labels};
use std::sync::Arc;

/// Series that one layout describes; a slab that has more is stored in several *slices*.
pub const SLICE_SERIES_MAX: usize = 512;

/// A word of a row. What it means depends on the kind of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Column {
    /// u64, cumulative: a counter's total, or a distribution's number of samples, at the end of the interval.
    Total = 1,
    /// f64. Of a distribution cumulative: the sum of all samples at the end of the interval. Of a gauge or
    /// counter: the sum of the known values of the interval.
    Sum = 2,
    /// f64: the least known value, or sample of the interval.
    Min = 4,
    /// f64: the greatest.
    Max = 8,
    /// f64: the newest.
    Last = 16,
}

impl Column {
    /// In the order of a row.
    pub const ALL: [Self; 5] = [Self::Total, Self::Sum, Self::Min, Self::Max, Self::Last];

    /// Whether its words are integers; all others are `f64`, [`rondo_shm_layout::SENTINEL`] where nothing is known.
    pub fn is_integer(self) -> bool {
        self == Self::Total
    }
}

/// A set of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Columns(pub u8);

impl Columns {
    /// What a series of that kind keeps in tier 0: all that its slots hold.
    pub fn of_tier_0(kind: Kind) -> Self {
        match kind {
            Kind::Gauge => Self(Column::Last as u8),
            Kind::Counter => Self(Column::Total as u8),
            Kind::Distribution | Kind::Histogram => Self(31),
        }
    }

    /// What it keeps in a consolidated tier for `functions`; none means the default of the kind.
    pub fn of_consolidated(kind: Kind, functions: Functions) -> Self {
        let mut columns = match kind {
            Kind::Gauge if functions == Functions::default() => Column::Sum as u8,
            Kind::Gauge => 0,
            // Its total is what rates come from, whatever else is asked for.
            Kind::Counter => Column::Total as u8,
            // Their own merge, which is exact.
            Kind::Distribution | Kind::Histogram => {
                Column::Total as u8 | Column::Sum as u8 | Column::Min as u8 | Column::Max as u8
            }
        };
        let wanted = [
            (
                functions.0 & Functions::AVERAGE.or(Functions::SUM).0 != 0,
                Column::Sum,
            ),
            (functions.has(Functions::MIN), Column::Min),
            (functions.has(Functions::MAX), Column::Max),
            (
                functions.has(Functions::LAST) && kind != Kind::Counter,
                Column::Last,
            ),
        ];
        for (_, column) in wanted.into_iter().filter(|(is_wanted, _)| *is_wanted) {
            columns |= column as u8;
        }
        Self(columns)
    }

    /// The columns of either set.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has that column.
    pub fn has(self, column: Column) -> bool {
        self.0 & column as u8 != 0
    }

    /// Its columns in order.
    pub fn iter(self) -> impl Iterator<Item = Column> {
        Column::ALL.into_iter().filter(move |&column| self.has(column))
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Where `column` stands among them.
    pub fn position(self, column: Column) -> Option<usize> {
        self.has(column)
            .then(|| (self.0 & (column as u8 - 1)).count_ones() as usize)
    }
}

/// The buckets of a histogram: how many, and how fine (see [`rondo_shm_layout::buckets`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketShape {
    /// How many, the last one open-ended.
    pub count: u32,
    /// Buckets to a doubling, as a power of two.
    pub precision: u8,
}

/// A series as rows know it: everything but where it stood in its slab.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredSeries {
    /// What it measures.
    pub kind: Kind,
    /// Unit of measure.
    pub unit: Unit,
    /// Metric name.
    pub name: String,
    /// A sentence for people.
    pub help: String,
    /// Sorted, unique.
    pub labels: Labels,
    /// Of a histogram.
    pub buckets: Option<BucketShape>,
}

impl From<&Series> for StoredSeries {
    fn from(series: &Series) -> Self {
        Self {
            kind: series.kind,
            unit: series.unit.clone(),
            name: series.name.clone(),
            help: series.help.clone(),
            labels: series.labels.clone(),
            buckets: series.buckets.map(|array| BucketShape {
                count: array.count,
                precision: array.precision,
            }),
        }
    }
}

/// The series of a row, and where the words of each are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    tier: u8,
    interval_ns: u64,
    functions: Functions,
    series: Arc<[StoredSeries]>,
    columns: Vec<Columns>,
    /// Index of the first word of each series, and of the end.
    offsets: Vec<u32>,
    /// Index of each histogram among the series.
    histograms: Vec<u32>,
}

impl Layout {
    /// The layout of `series` (at most [`SLICE_SERIES_MAX`]) in tier number `tier`, which keeps what its own
    /// functions ask for, and what the tiers that are made from it need (`later`). Functions do not matter for tier 0.
    pub fn new(
        tier: u8,
        interval_ns: u64,
        functions: Functions,
        later: &[Functions],
        series: Arc<[StoredSeries]>,
    ) -> Self {
        let of = |kind: Kind| match tier {
            0 => Columns::of_tier_0(kind),
            _ => later
                .iter()
                .map(|&functions| Columns::of_consolidated(kind, functions))
                .fold(Columns::of_consolidated(kind, functions), Columns::or),
        };
        let columns = series.iter().map(|series| of(series.kind)).collect();
        Self::with_columns(tier, interval_ns, functions, series, columns)
    }

    /// A layout with these columns, one set for each series.
    pub fn with_columns(
        tier: u8,
        interval_ns: u64,
        functions: Functions,
        series: Arc<[StoredSeries]>,
        columns: Vec<Columns>,
    ) -> Self {
        let mut offsets = vec![0];
        offsets.extend(columns.iter().scan(0, |end, columns| {
            *end += columns.len() as u32;
            Some(*end)
        }));
        let histograms = (0u32..)
            .zip(series.iter())
            .filter(|(_, series)| series.buckets.is_some())
            .map(|(index, _)| index)
            .collect();
        Self {
            tier,
            interval_ns,
            functions,
            series,
            columns,
            offsets,
            histograms,
        }
    }

    /// The layout of some of its series only (ascending indices in range).
    #[must_use]
    pub fn project(&self, series: &[usize]) -> Self {
        let kept = series
            .iter()
            .filter_map(|&index| self.series.get(index).cloned())
            .collect();
        let columns = series
            .iter()
            .filter_map(|&index| self.columns.get(index).copied())
            .collect();
        Self::with_columns(self.tier, self.interval_ns, self.functions, kept, columns)
    }

    /// Number of the tier: 0 for what slabs hold.
    pub fn tier(&self) -> u8 {
        self.tier
    }

    /// Length of a row's interval.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// The tier's own functions.
    pub fn functions(&self) -> Functions {
        self.functions
    }

    /// The series, in the order of rows.
    pub fn series(&self) -> &Arc<[StoredSeries]> {
        &self.series
    }

    /// The columns of a series.
    pub fn columns(&self, series: usize) -> Columns {
        self.columns.get(series).copied().unwrap_or_default()
    }

    /// Words of a row.
    pub fn width(&self) -> usize {
        self.offsets.last().map_or(0, |&end| end as usize)
    }

    /// Where the words of a series are in a row.
    pub fn words(&self, series: usize) -> std::ops::Range<usize> {
        let at = |index: usize| {
            self.offsets
                .get(index)
                .map_or(self.width(), |&offset| offset as usize)
        };
        at(series)..at(series + 1)
    }

    /// Which series are histograms.
    pub fn histograms(&self) -> &[u32] {
        &self.histograms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(kind: Kind) -> StoredSeries {
        StoredSeries {
            kind,
            unit: Unit::None,
            name: format!("a_{}", kind.as_str()),
            help: String::new(),
            labels: Vec::new(),
            buckets: (kind == Kind::Histogram).then_some(BucketShape {
                count: 8,
                precision: 0,
            }),
        }
    }

    /// S3 counts on these: 8 bytes for a gauge or counter, 32 for a distribution.
    #[test]
    fn defaults_keep_one_word_of_a_value_and_four_of_a_distribution() {
        let all: Arc<[StoredSeries]> = Kind::ALL.map(series).into();
        let layout = Layout::new(1, 10, Functions::default(), &[], all.clone());
        assert_eq!(
            (layout.words(0), layout.words(1), layout.words(2)),
            (0..1, 1..2, 2..6)
        );
        assert_eq!((layout.width(), layout.histograms()), (10, &[3][..]));
        let tier_0 = Layout::new(0, 1, Functions::default(), &[], all.clone());
        assert_eq!(tier_0.width(), 1 + 1 + 5 + 5);
        // A gauge's maximum for the tier after it, beside its own average.
        let for_later = Layout::new(1, 10, Functions::default(), &[Functions::MAX], all);
        assert_eq!(
            for_later.columns(0),
            Columns(Column::Sum as u8 | Column::Max as u8)
        );
    }

    #[test]
    fn functions_add_columns_and_a_counter_keeps_its_total() {
        let columns = |kind, bits| {
            Columns::of_consolidated(kind, Functions(bits))
                .iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(columns(Kind::Gauge, 32), []);
        assert_eq!(columns(Kind::Gauge, 2 | 8), [Column::Min, Column::Last]);
        assert_eq!(columns(Kind::Counter, 8), [Column::Total]);
        assert_eq!(columns(Kind::Counter, 1), [Column::Total, Column::Sum]);
        assert_eq!(Columns(1 | 4 | 16).position(Column::Last), Some(2));
        assert_eq!(Columns(1 | 4).position(Column::Last), None);
    }
}
