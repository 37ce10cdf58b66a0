//! The series of a slice as they leave: names, labels, values.
//!
//! | kind | leaves as |
//! |---|---|
//! | counter | its total at the end of the interval, `NAME_total` |
//! | gauge | of tier 0 its value; of others the average under the plain name, what else the tier keeps with `_min`, `_max`, `_last`, `_summed` and `_known` |
//! | distribution | `NAME_count` and `NAME_sum`, totals since the registration; `NAME_min` and `NAME_max` of the interval |
//! | histogram | the same, and `NAME_bucket` with fixed boundaries ([`Histograms`]) |
//!
//! Where a tier keeps no average of gauges, the first of last, greatest and least has the plain name. `_sum` and `_count`
//! belong to summaries and histograms, so the sum of a gauge's values is `_summed`, and how many are known `_known`; they
//! leave only from a tier whose functions ask for them.
//!
//! Everything is placed once for a layout, so a value costs a look at two words, about 4 ns; one of a bucket, a walk over the
//! buckets below its boundary that have samples, about 50 ns where 40 have. To place one that leaves takes half a microsecond.

mod buckets;
mod labels;
mod native;
mod place;
mod stamp;
#[cfg(test)]
mod tests;

pub use native::{NativeHistogram, NativeSpan};
pub use stamp::{stamp_ms, stamp_ns};

use crate::exposition::{FamilyKind, exported};
use crate::store::{Column, Layout, Run, Source, StoredSeries};
use labels::{LabelsOf, unique};
use place::{Place, Reading};
use rondo_shm_layout::{Functions, Labels, Unit};
use std::sync::Arc;

/// How series are named on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// Whether names and values leave in base units: `exit_duration_ns` as `exit_duration_seconds`. Otherwise they stay as
    /// they are, but for what Prometheus reserves: colons, and the endings of other kinds.
    pub base_units: bool,
    /// The form of histograms.
    pub histograms: Histograms,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            base_units: true,
            histograms: Histograms::Classic,
        }
    }
}

/// In which form histograms leave.
///
/// **Classic** buckets have boundaries that follow from the histogram's shape alone, the powers of two of its own unit, every
/// second one where there are more than 32: a histogram of the default shape has 19, from 1 to 2³⁶, and `+Inf`. They are
/// there from the first row on, with or without samples: `rate()` misses what was in a bucket before it appeared, and
/// `sum by (le)` adds up different things where machines have different boundaries.
///
/// **Native** ones (schema 0, powers of two) leave only where the base unit is a power of two of the series' unit (so that
/// is bytes of KiB, but not seconds of nanoseconds; without base units always): only then each of our buckets lies in one
/// of theirs. Other histograms leave as classic ones; buckets that had to be estimated would look exact to everyone behind.
///
/// In both, a sample exactly on a boundary counts above it, as rondo's buckets include their lower end, though Prometheus'
/// include their upper one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Histograms {
    /// `NAME_bucket{le="…"}`, `NAME_count` and `NAME_sum`.
    #[default]
    Classic,
    /// One [`Outgoing::native`] under the plain name, which has count and sum in it.
    Native,
    /// Both.
    Both,
}

/// What several series that leave have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Without the endings of its kind's samples, but with a counter's `_total`.
    pub name: String,
    /// What it is to Prometheus.
    pub kind: FamilyKind,
    /// The base unit; empty for none.
    pub unit: String,
    /// A sentence for people.
    pub help: String,
}

/// Whether a value adds up over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It grows from 0: a counter, a count, a sum, a bucket.
    Cumulative,
    /// It is what it is at the time.
    Momentary,
}

/// A series as it leaves.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Sorted by name and unique, `__name__` and `instance` among them; none is empty.
    pub labels: Labels,
    /// What it belongs to.
    pub family: Arc<Family>,
    /// Whether it adds up.
    pub nature: Nature,
    place: Place,
    /// Number of the series in its layout.
    series: usize,
    /// Whether its name is one that the series' name was turned into.
    is_derived: bool,
}

impl Outgoing {
    /// Its value in a row of a run that has the layout it was made of; `None` if nothing is known, and for native
    /// histograms. Never NaN, which could be taken for a stale marker.
    ///
    /// A bucket's is at most the count of its histogram: buckets are looked at a little later than counts.
    pub fn value(&self, run: &Run, row: usize) -> Option<f64> {
        self.place.value(run, row).filter(|value| !value.is_nan())
    }

    /// The native histogram of a row, if it [`is_native`](Self::is_native) and its buckets are known.
    pub fn native(&self, run: &Run, row: usize) -> Option<NativeHistogram> {
        native::read(&self.place, run, row)
    }

    /// Whether it is a native histogram, which has no plain value.
    pub fn is_native(&self) -> bool {
        matches!(self.place.reading, Reading::Native { .. })
    }

    /// The number of the series in its layout that it comes from.
    pub fn series(&self) -> usize {
        self.series
    }
}

/// How the series of a slice leave, in the order of the layout. `incarnation` becomes a label, for a machine whose name
/// another has at the same time.
///
/// Where two have the same labels, which takes a machine that gives two of its series one name by their units or endings, the
/// first stays, one that has its own name before one whose name was made by an ending.
pub fn outgoing(
    source: &Source,
    layout: &Layout,
    incarnation: Option<&str>,
    naming: Naming,
) -> Vec<Outgoing> {
    let mut all = Vec::new();
    for (index, series) in layout.series().iter().enumerate() {
        let labels = LabelsOf::new(source, series, incarnation);
        SeriesOut::new(layout, index, series, labels, naming).all(&mut all);
    }
    unique(&mut all);
    all
}

/// One series of a layout on its way out.
struct SeriesOut<'a> {
    layout: &'a Layout,
    index: usize,
    series: &'a StoredSeries,
    labels: LabelsOf<'a>,
    naming: Naming,
    family: Arc<Family>,
    place: Place,
}

impl<'a> SeriesOut<'a> {
    fn new(
        layout: &'a Layout,
        index: usize,
        series: &'a StoredSeries,
        labels: LabelsOf<'a>,
        naming: Naming,
    ) -> Self {
        let mut as_exported = if naming.base_units {
            exported(&series.name, &series.unit, series.kind)
        } else {
            exported(&series.name, &Unit::None, series.kind)
        };
        if !naming.base_units {
            series.unit.as_str().clone_into(&mut as_exported.unit);
        }
        // Without buckets it can say no more than a distribution does.
        if as_exported.kind == FamilyKind::Histogram && series.buckets.is_none() {
            as_exported.kind = FamilyKind::Summary;
        }
        Self {
            layout,
            index,
            series,
            labels,
            naming,
            place: Place::new(layout, index, as_exported.scale),
            family: Arc::new(Family {
                name: as_exported.name,
                kind: as_exported.kind,
                unit: as_exported.unit,
                help: series.help.clone(),
            }),
        }
    }

    fn all(&self, out: &mut Vec<Outgoing>) {
        match self.family.kind {
            FamilyKind::Counter => self.sample(out, "", Nature::Cumulative, self.column(Column::Total)),
            FamilyKind::Gauge => self.gauge(out),
            FamilyKind::Summary => {
                self.totals(out);
                self.extremes(out);
            }
            FamilyKind::Histogram => {
                let native = self.place.native(self.layout, self.index);
                let native = native.filter(|_| self.naming.histograms != Histograms::Classic);
                let is_native = native.is_some();
                self.sample(out, "", Nature::Cumulative, native);
                if !is_native || self.naming.histograms == Histograms::Both {
                    self.buckets(out);
                    self.totals(out);
                }
                self.extremes(out);
            }
        }
    }

    fn gauge(&self, out: &mut Vec<Outgoing>) {
        let (newest, least, greatest) = (Column::Last, Column::Min, Column::Max);
        let columns = self.layout.columns(self.index);
        let average = self.place.average(self.layout, self.index);
        if self.layout.tier() == 0 && columns.has(newest) {
            self.sample(out, "", Nature::Momentary, self.column(newest));
            return;
        }
        // Which column has the plain name, if that is not the average's.
        let plain = [newest, greatest, least]
            .into_iter()
            .find(|&column| average.is_none() && columns.has(column));
        let first = average.or_else(|| self.column(plain?));
        self.sample(out, "", Nature::Momentary, first);
        for (column, ending, help) in [
            (least, "_min", "Least value of the interval."),
            (greatest, "_max", "Greatest value of the interval."),
            (newest, "_last", "Newest value of the interval."),
        ] {
            let reading = self.column(column).filter(|_| plain != Some(column));
            self.derived(out, ending, help, reading);
        }
        let functions = self.layout.functions();
        let sum = self.column(Column::Sum).filter(|_| functions.has(Functions::SUM));
        self.derived(out, "_summed", "Sum of the known values of the interval.", sum);
        let known = functions.has(Functions::COUNT).then_some(Reading::Known);
        let help = "How many values of the interval are known.";
        self.derived(out, "_known", help, known);
    }

    fn totals(&self, out: &mut Vec<Outgoing>) {
        let count = self.place.count(self.layout, self.index);
        self.sample(out, "_count", Nature::Cumulative, count);
        self.sample(out, "_sum", Nature::Cumulative, self.column(Column::Sum));
    }

    fn extremes(&self, out: &mut Vec<Outgoing>) {
        for (column, ending, help) in [
            (Column::Min, "_min", "Least sample of the interval."),
            (Column::Max, "_max", "Greatest sample of the interval."),
        ] {
            self.derived(out, ending, help, self.column(column));
        }
    }

    fn buckets(&self, out: &mut Vec<Outgoing>) {
        let name = format!("{}_bucket", self.family.name);
        for (le, reading) in self.place.buckets(self.layout, self.index, self.series) {
            let labels = self.labels.with(&name, Some(&le));
            self.push(
                out,
                labels,
                self.family.clone(),
                Nature::Cumulative,
                reading,
                true,
            );
        }
    }

    fn column(&self, column: Column) -> Option<Reading> {
        self.place.column(self.layout, self.index, column)
    }

    /// A sample of the family.
    fn sample(&self, out: &mut Vec<Outgoing>, ending: &str, nature: Nature, reading: Option<Reading>) {
        let Some(reading) = reading else { return };
        let name = format!("{}{ending}", self.family.name);
        let labels = self.labels.with(&name, None);
        let is_derived = !ending.is_empty();
        self.push(out, labels, self.family.clone(), nature, reading, is_derived);
    }

    /// A gauge of a family of its own.
    fn derived(&self, out: &mut Vec<Outgoing>, ending: &str, help: &str, reading: Option<Reading>) {
        let Some(reading) = reading else { return };
        let family = Arc::new(Family {
            name: format!("{}{ending}", self.family.name),
            kind: FamilyKind::Gauge,
            unit: match reading {
                Reading::Known => String::new(),
                _ => self.family.unit.clone(),
            },
            help: format!("{help} {}", self.series.help).trim_end().to_owned(),
        });
        let labels = self.labels.with(&family.name, None);
        self.push(out, labels, family, Nature::Momentary, reading, true);
    }

    fn push(
        &self,
        out: &mut Vec<Outgoing>,
        labels: Labels,
        family: Arc<Family>,
        nature: Nature,
        reading: Reading,
        is_derived: bool,
    ) {
        out.push(Outgoing {
            labels,
            family,
            nature,
            place: self.place.reading(reading),
            series: self.index,
            is_derived,
        });
    }
}
