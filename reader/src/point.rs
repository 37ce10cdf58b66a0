//! A value of one interval, as readers hand it out.

use rondo_shm_layout::DistributionWords;

/// What a series was in one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Start of the interval, in nanoseconds of slab time.
    pub t: u64,
    /// What it was.
    pub value: PointValue,
    /// Nothing was stored for the interval; the value follows from that.
    pub filled: bool,
    /// The interval is not complete: the value may still change.
    pub partial: bool,
}

/// A value by kind of series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointValue {
    /// The last value in the interval. May be infinite; is NaN only in a slab that breaks the rules.
    Gauge(f64),
    /// The total since registration.
    Counter(u64),
    /// Of a distribution or histogram. In a slab that breaks the rules, numbers may be anything.
    Distribution {
        /// Samples since registration.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Least sample of the interval; like the next two, `None` if there was none.
        min: Option<f64>,
        /// Greatest sample of the interval.
        max: Option<f64>,
        /// Latest sample of the interval.
        last: Option<f64>,
    },
    /// The writer was inside the slot at every attempt to read it, or died there.
    Torn,
}

impl PointValue {
    /// Totals before the first sample.
    pub(crate) const NO_SAMPLES: Self = Self::Distribution {
        count: 0,
        sum: 0.0,
        min: None,
        max: None,
        last: None,
    };

    /// The same totals in an interval without samples.
    pub(crate) fn carried_over(self) -> Self {
        match self {
            Self::Distribution { count, sum, .. } => Self::Distribution {
                count,
                sum,
                min: None,
                max: None,
                last: None,
            },
            other => other,
        }
    }
}

impl From<DistributionWords> for PointValue {
    fn from(words: DistributionWords) -> Self {
        Self::Distribution {
            count: words.count,
            sum: words.sum,
            min: Some(words.min),
            max: Some(words.max),
            last: Some(words.last),
        }
    }
}
