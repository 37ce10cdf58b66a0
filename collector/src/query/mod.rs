//! Queries: points of series over a stretch of time, from slabs and stored rows joined.
//!
//! A [`Request`] says what is wanted, in wall-clock time. [`Plan::new`] finds the series that its selector
//! takes among attached slabs ([`LiveSlab`]) and stored runs ([`StoredRuns`]), without decoding a row, and refuses what
//! would be too much. [`Plan::read`] then reads one series, [`Plan::answer`] all of them; [`explain()`] says
//! what there is instead. The rules:
//!
//! - A series is one of one slab: its incarnation, schema and part, name and labels. Two incarnations of one instance
//!   stay two. The selector sees `instance`, `schema`, `incarnation` and the machine's own labels like labels of the series,
//!   whose own come first.
//! - Stamps are starts of intervals in slab time; the wall clock is that plus the newest known offset of the source, so a
//!   step of the clock leaves no seam. A row belongs to a range if its interval overlaps with it.
//! - Of a tier, each window is there once: as it is stored, else as it waits to be stored, else as it is open
//!   (flagged partial). Points of tier 0 come from stored rows, and from the slab where these have nothing.
//! - [`Tier::Auto`] takes of each part the finest tier that has all of it (see [`join`]).
//!
//! Nothing here reads a clock or a file, except through what it is given.

mod answer;
mod coverage;
mod explain;
mod input;
mod join;
mod json;
mod params;
mod plan;
mod quantile;
mod read;
mod rows;
mod source;
mod stored;
mod takes;

pub use answer::{Answer, Part, Point, SeriesAnswer, Value};
#[cfg(feature = "cli")]
pub(crate) use explain::name_of;
pub use explain::{Coverage, Explanation, SeriesExplanation, explain};
pub use input::{LiveSlab, RunFilter, RunHead, SeriesRows, StoredRuns};
pub use join::{Level, Row, join};
pub use json::{AnswerJson, NumberJson, PartJson, PointJson, SeriesJson, TierJson, write_json};
pub use params::{Params, parse_quantile, parse_quantiles, parse_time};
pub use plan::Plan;
pub use quantile::{between, quantile};
#[cfg(feature = "cli")]
pub(crate) use takes::takes_all;

use crate::selector::Selector;
use crate::store::Source;
use std::ops::Range;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which series.
    pub selector: Selector,
    /// Nanoseconds since the Unix epoch by the present wall clock.
    pub range: Range<i128>,
    /// From which tier.
    pub tier: Tier,
    /// Of histograms, each 0 to 1.
    pub quantiles: Vec<f64>,
    /// How much at most.
    pub limits: Limits,
}

impl Request {
    /// All time.
    pub const ALL_TIME: Range<i128> = i64::MIN as i128..1 << 65;

    /// All that there is of the series that `selector` takes.
    pub fn new(selector: Selector) -> Self {
        Self {
            selector,
            range: Self::ALL_TIME,
            tier: Tier::Auto,
            quantiles: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Whether it can take a series of that machine: others need not be brought before it.
    pub fn takes(&self, source: &Source) -> bool {
        takes::takes(&self.selector, source)
    }
}

/// From which tier points come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// The finest that has the part of the range in question.
    #[default]
    Auto,
    /// This one.
    Number(u8),
}

/// How much an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Series.
    pub series_max: usize,
    /// Points of all series together.
    pub points_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_max: 10_000,
            points_max: 1_000_000,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The selector takes too many series.
    #[error("more than {series_max} series match; add matchers to the selector, such as {{instance=\"…\"}}")]
    TooManySeries {
        /// The limit.
        series_max: usize,
    },
    /// The selector may take series of too many stored runs.
    #[error(
        "more than {runs_max} stored runs may have such series; ask for a shorter range, or add matchers such as {{instance=\"…\"}}"
    )]
    TooManyRuns {
        /// The limit.
        runs_max: usize,
    },
    /// The answer would be too big.
    #[error(
        "up to {points} points of {series} series, and at most {points_max} are given at once; ask for a shorter range, fewer series, or a coarser tier"
    )]
    TooManyPoints {
        /// At most so many there would be.
        points: u64,
        /// Of how many series.
        series: usize,
        /// The limit.
        points_max: u64,
    },
}
