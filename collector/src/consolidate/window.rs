//! Consolidation: many points become one, exactly and in any number of steps.
//!
//! A [`Window`] says of each series what is known of a stretch of time, in a form that merges: how many
//! points, their sum, least, greatest and newest, and the newest totals of what is cumulative. One interval of
//! a slab is a window too, so one operation, [`Window::merge`], makes tier 1 of tier 0 and every further tier of
//! the one before, and an average of averages comes out weighted. What a tier keeps of a window is its
//! [`crate::store::Layout`]'s business.
//!
//! Numbers stand array by array, series beside series, so that merging is the same instruction on neighbouring
//! numbers and the compiler uses vector registers for it, while each series is still added up in order of time: the
//! result is bit for bit that of the obvious loop over one series' values.

use crate::store::{Column, RowValue, Run, state};
use rondo_reader::{Kind, PointValue};
use rondo_shm_layout::SENTINEL;

/// What is known of some series over a stretch of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Points that are known.
    known: Vec<u32>,
    /// A counter's total or a distribution's count, cumulative, as of the newest known point.
    total: Vec<u64>,
    /// A distribution's sum, cumulative, as of the newest known point.
    total_sum: Vec<f64>,
    /// Sum of the values of known points of a gauge or counter; 0 if there are none.
    sum: Vec<f64>,
    /// Least; NaN if there is none.
    min: Vec<f64>,
    /// Greatest; NaN if there is none.
    max: Vec<f64>,
    /// Newest; NaN if there is none.
    last: Vec<f64>,
}

impl Window {
    /// A window of so many series of which nothing is known.
    pub fn empty(series: usize) -> Self {
        let mut window = Self::default();
        window.resize(series);
        window
    }

    /// Makes room for further series, of which nothing is known.
    pub fn resize(&mut self, series: usize) {
        self.known.resize(series, 0);
        self.total.resize(series, 0);
        self.total_sum.resize(series, 0.0);
        self.sum.resize(series, 0.0);
        for array in [&mut self.min, &mut self.max, &mut self.last] {
            array.resize(series, f64::NAN);
        }
    }

    /// Forgets everything, and makes it a window of so many series.
    pub fn reset(&mut self, series: usize) {
        self.resize(0);
        self.resize(series);
    }

    /// How many series it is of.
    pub fn series(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is known of any series.
    pub fn is_empty(&self) -> bool {
        self.known.iter().all(|&known| known == 0)
    }

    /// Sets what is known of one series: one point of tier 0. A NaN, which only a slab that breaks the rules has, is
    /// not a value.
    #[inline]
    pub fn set_point(&mut self, series: usize, value: PointValue) {
        let sample = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let is_known = match value {
            PointValue::Gauge(value) if !value.is_nan() => {
                self.set_value(series, value);
                true
            }
            PointValue::Counter(total) => {
                self.total[series] = total;
                self.set_value(series, total as f64);
                true
            }
            PointValue::Distribution {
                count,
                sum,
                min,
                max,
                last,
            } => {
                self.total[series] = count;
                self.total_sum[series] = sum;
                self.min[series] = sample(min);
                self.max[series] = sample(max);
                self.last[series] = sample(last);
                true
            }
            PointValue::Gauge(_) | PointValue::Torn => false,
        };
        self.known[series] = u32::from(is_known);
    }

    #[inline]
    fn set_value(&mut self, series: usize, value: f64) {
        self.sum[series] = value;
        self.min[series] = value;
        self.max[series] = value;
        self.last[series] = value;
    }

    /// Adds what is known of the time after this window's. `later` may be of fewer series: the first ones.
    pub fn merge(&mut self, later: &Self) {
        let series = self.series().min(later.series());
        // Of one length, so that no loop has to check.
        let (known, later_known) = (&mut self.known[..series], &later.known[..series]);
        let (total, later_total) = (&mut self.total[..series], &later.total[..series]);
        let (total_sum, later_total_sum) = (&mut self.total_sum[..series], &later.total_sum[..series]);
        for i in 0..series {
            let is_known = later_known[i] != 0;
            total[i] = if is_known { later_total[i] } else { total[i] };
            total_sum[i] = if is_known {
                later_total_sum[i]
            } else {
                total_sum[i]
            };
            known[i] = known[i].saturating_add(later_known[i]);
        }
        zip(&mut self.sum[..series], &later.sum[..series], |all, one| {
            all + one
        });
        zip(&mut self.min[..series], &later.min[..series], f64::min);
        zip(&mut self.max[..series], &later.max[..series], f64::max);
        zip(&mut self.last[..series], &later.last[..series], |all, one| {
            if one.is_nan() { all } else { one }
        });
    }

    /// Appends the window to `run` as a row of its layout, without buckets.
    pub fn write_row(&self, run: &mut Run) {
        let layout = run.layout.clone();
        for (index, series) in layout.series().iter().enumerate() {
            let known = self.known[index];
            let float = |value: f64, exists: bool| if exists { value.to_bits() } else { SENTINEL };
            for column in layout.columns(index).iter() {
                run.words.push(match column {
                    Column::Total if known == 0 => 0,
                    Column::Total => self.total[index],
                    Column::Sum if series.kind.is_distribution() => float(self.total_sum[index], known != 0),
                    Column::Sum => float(self.sum[index], known != 0),
                    Column::Min => float(self.min[index], !self.min[index].is_nan()),
                    Column::Max => float(self.max[index], !self.max[index].is_nan()),
                    Column::Last => float(self.last[index], !self.last[index].is_nan()),
                });
            }
            run.known.push(known);
        }
    }

    /// The window that a row of a consolidated tier was written from, as far as the row has it.
    pub fn read_row(run: &Run, row: usize) -> Self {
        let layout = &run.layout;
        let mut window = Self::empty(layout.series().len());
        for (index, series) in layout.series().iter().enumerate() {
            let RowValue {
                known,
                total,
                sum,
                min,
                max,
                last,
            } = run.value(row, index);
            let (total_sum, sum) = if series.kind.is_distribution() {
                (sum, None)
            } else {
                (None, sum)
            };
            window.known[index] = known;
            window.total[index] = total.unwrap_or(0);
            window.total_sum[index] = total_sum.unwrap_or(0.0);
            window.sum[index] = sum.unwrap_or(0.0);
            window.min[index] = min.unwrap_or(f64::NAN);
            window.max[index] = max.unwrap_or(f64::NAN);
            window.last[index] = last.unwrap_or(f64::NAN);
        }
        window
    }
}

#[inline(always)]
fn zip(all: &mut [f64], later: &[f64], f: impl Fn(f64, f64) -> f64) {
    for (all, &later) in all.iter_mut().zip(later) {
        *all = f(*all, later);
    }
}

/// One interval of a slab as a row of tier 0: the point of each series, or `None` where nothing is known.
pub fn write_points(run: &mut Run, points: impl IntoIterator<Item = Option<(PointValue, bool)>>) {
    let layout = run.layout.clone();
    for (index, point) in points.into_iter().enumerate().take(layout.series().len()) {
        let kind = layout.series()[index].kind;
        let known = match point {
            None => state::UNKNOWN,
            Some((PointValue::Torn, _)) => state::TORN,
            Some((_, false)) => state::PRESENT,
            Some((_, true)) => state::FILLED,
        };
        let value = point.map(|(value, _)| value);
        let sample = |value: Option<f64>| value.map_or(SENTINEL, f64::to_bits);
        match (kind, value) {
            (Kind::Gauge, Some(PointValue::Gauge(value))) => run.words.push(value.to_bits()),
            (Kind::Counter, Some(PointValue::Counter(total))) => run.words.push(total),
            (
                Kind::Distribution | Kind::Histogram,
                Some(PointValue::Distribution {
                    count,
                    sum,
                    min,
                    max,
                    last,
                }),
            ) => {
                run.words
                    .extend([count, sum.to_bits(), sample(min), sample(max), sample(last)]);
            }
            (Kind::Gauge, _) => run.words.push(SENTINEL),
            (Kind::Counter, _) => run.words.push(0),
            (Kind::Distribution | Kind::Histogram, _) => {
                run.words.extend([0, SENTINEL, SENTINEL, SENTINEL, SENTINEL]);
            }
        }
        run.known.push(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Layout, Source, StoredSeries};
    use proptest::prelude::*;
    use rondo_reader::Unit;
    use rondo_shm_layout::Functions;
    use std::sync::Arc;

    fn run_of(kind: Kind) -> Run {
        let series = StoredSeries {
            kind,
            unit: Unit::None,
            name: "a".into(),
            help: String::new(),
            labels: Vec::new(),
            buckets: None,
        };
        let layout = Layout::new(1, 10, Functions(63), &[], [series].into());
        let source = Source {
            incarnation: [1; 16],
            boot_id: [0; 16],
            instance: "vm".into(),
            schema: "vmm".into(),
            part: 0,
            uid: 0,
            labels: Vec::new(),
            created_ns: 0,
            interval_ns: 1_000_000_000,
            simulated_time: true,
        };
        Run::new(Arc::new(source), Arc::new(layout), 0, 10)
    }

    fn window_of(point: Option<PointValue>) -> Window {
        let mut window = Window::empty(1);
        if let Some(point) = point {
            window.set_point(0, point);
        }
        window
    }

    /// Folds `points` in pieces of that many, and the pieces again, as tiers do, through rows as they are stored.
    fn folded(kind: Kind, points: &[Option<PointValue>], pieces: &[usize]) -> RowValue {
        let mut run = run_of(kind);
        let (mut whole, mut rest, mut pieces) = (Window::empty(1), points, pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
            let mut window = Window::empty(1);
            piece.iter().for_each(|&point| window.merge(&window_of(point)));
            window.write_row(&mut run);
            whole.merge(&Window::read_row(&run, run.rows() - 1));
            rest = after;
        }
        whole.write_row(&mut run);
        run.value(run.rows() - 1, 0)
    }

    /// Whole numbers, so that the order of additions does not matter to the last bit.
    fn value() -> impl Strategy<Value = f64> {
        (-1_000_000i32..1_000_000).prop_map(f64::from)
    }

    fn pieces() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(1usize..12, 1..5)
    }

    proptest! {
        /// Average, min, max, last, sum and count of a gauge, in any number of steps, against the obvious.
        #[test]
        fn gauges_fold_to_what_their_values_give(
            values in prop::collection::vec(prop::option::weighted(0.8, value()), 1..60),
            pieces in pieces(),
        ) {
            let points: Vec<_> = values.iter().map(|value| value.map(PointValue::Gauge)).collect();
            let row = folded(Kind::Gauge, &points, &pieces);
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            prop_assert_eq!(row.known as usize, known.len());
            if known.is_empty() {
                prop_assert_eq!((row.sum, row.min, row.max, row.last), (None, None, None, None));
            } else {
                prop_assert_eq!(row.sum, Some(known.iter().sum()));
                prop_assert_eq!(row.min, known.iter().copied().reduce(f64::min));
                prop_assert_eq!(row.max, known.iter().copied().reduce(f64::max));
                prop_assert_eq!(row.last, known.last().copied());
            }
        }

        #[test]
        fn counters_keep_their_newest_total_to_the_bit(
            totals in prop::collection::vec(prop::option::weighted(0.8, any::<u64>()), 1..60),
            pieces in pieces(),
        ) {
            let points: Vec<_> = totals.iter().map(|total| total.map(PointValue::Counter)).collect();
            let row = folded(Kind::Counter, &points, &pieces);
            prop_assert_eq!(row.total, totals.iter().flatten().last().copied());
            prop_assert_eq!(row.known as usize, totals.iter().flatten().count());
            prop_assert_eq!(row.max, totals.iter().flatten().map(|&total| total as f64).reduce(f64::max));
        }

        /// Totals are the newest, the extremes those of all samples; intervals without samples change neither.
        #[test]
        fn distributions_merge_exactly(
            intervals in prop::collection::vec(prop::option::weighted(0.8, prop::collection::vec(value(), 0..4)), 1..60),
            pieces in pieces(),
        ) {
            let (mut count, mut sum) = (0, 0.0);
            let mut points = Vec::new();
            for samples in &intervals {
                points.push(samples.as_ref().map(|samples| {
                    count += samples.len() as u64;
                    sum += samples.iter().sum::<f64>();
                    PointValue::Distribution {
                        count,
                        sum,
                        min: samples.iter().copied().reduce(f64::min),
                        max: samples.iter().copied().reduce(f64::max),
                        last: samples.last().copied(),
                    }
                }));
            }
            let row = folded(Kind::Distribution, &points, &pieces);
            let samples: Vec<f64> = intervals.iter().flatten().flatten().copied().collect();
            if intervals.iter().all(Option::is_none) {
                prop_assert_eq!((row.known, row.total, row.sum), (0, None, None));
            } else {
                prop_assert_eq!((row.total, row.sum), (Some(count), Some(sum)));
            }
            prop_assert_eq!(row.min, samples.iter().copied().reduce(f64::min));
            prop_assert_eq!(row.max, samples.iter().copied().reduce(f64::max));
            prop_assert_eq!(row.last, samples.last().copied());
        }
    }

    #[test]
    fn what_is_not_a_number_is_left_out() {
        let points = [
            Some(PointValue::Gauge(f64::NAN)),
            Some(PointValue::Torn),
            Some(PointValue::Gauge(2.0)),
        ];
        let row = folded(Kind::Gauge, &points, &[3]);
        assert_eq!((row.known, row.sum, row.last), (1, Some(2.0), Some(2.0)));
    }
}
