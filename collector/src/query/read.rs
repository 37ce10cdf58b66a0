//! The rows of one series: found in every place, merged by tier, joined.

use super::Tier;
use super::answer::{Part, SeriesAnswer};
use super::input::{SeriesRows, StoredRuns};
use super::join::{Level, join};
use super::plan::{Plan, SeriesPlan};
use super::quantile::{between, quantile};
use super::rows::{Candidate, Found, TierRows, found_in_slab, level, point_of};
use super::source::{Place, created_ns};
use crate::store::BucketCounts;
use rondo_reader::Kind;
use std::ops::Range;

impl<S: StoredRuns + ?Sized> Plan<'_, S> {
    /// Reads one series; its number is less than [`Self::series_count`]. What cannot be read is left out, and said in
    /// `warnings`.
    pub fn read(&self, index: usize, warnings: &mut Vec<String>) -> SeriesAnswer {
        let series = &self.series[index];
        let source = &self.sources[series.source];
        let mut tiers = self.tiers(series, warnings);
        if series.series.kind == Kind::Histogram && !self.request.quantiles.is_empty() {
            for tier in &mut tiers {
                self.add_quantiles(series, tier);
            }
        }
        let levels = tiers.iter().map(|tier| Level {
            tier: tier.tier,
            interval_ns: tier.interval_ns,
            rows: (0..)
                .zip(&tier.rows)
                .map(|(index, found)| Candidate {
                    start_ns: found.point.t,
                    known: u64::from(found.point.row.known),
                    index,
                })
                .collect(),
        });
        let joined = join(levels.collect());

        let mut answer = SeriesAnswer {
            source: source.source.clone(),
            clock_offset_ns: source.clock_offset_ns,
            series: series.series.clone(),
            parts: Vec::new(),
            points: Vec::new(),
        };
        for (tier, step_ns, place) in joined {
            let end_ns = place.start_ns.saturating_add(step_ns);
            if place.start_ns >= source.range.end || end_ns <= source.range.start {
                continue;
            }
            let Some(rows) = tiers
                .iter_mut()
                .find(|rows| (rows.tier, rows.interval_ns) == (tier, step_ns))
            else {
                continue;
            };
            let found = &mut rows.rows[place.index];
            let part = Part {
                tier,
                step_ns,
                start_ns: place.start_ns,
                end_ns,
                expected: step_ns
                    .checked_div(source.source.interval_ns)
                    .and_then(|points| u32::try_from(points).ok()),
                functions: found.functions,
            };
            match answer.parts.last_mut() {
                Some(last)
                    if (last.tier, last.step_ns, last.functions) == (tier, step_ns, part.functions) =>
                {
                    last.end_ns = end_ns;
                }
                _ => answer.parts.push(part),
            }
            // Each place is in the join once.
            answer.points.push(found.point.clone());
        }
        answer
    }

    /// All rows that may be needed, from the finest tier to the coarsest.
    fn tiers(&self, series: &SeriesPlan, warnings: &mut Vec<String>) -> Vec<TierRows> {
        let source = &self.sources[series.source];
        let heads = || series.rows.iter().map(|&(piece, _)| &source.pieces[piece].head);
        let longest = heads()
            .map(|head| head.layout.interval_ns())
            .max()
            .unwrap_or(1)
            .max(1);
        // Whole windows of the coarsest tier, so that tiers are compared over the same time.
        let whole = source.range.start / longest * longest
            ..source
                .range
                .end
                .checked_next_multiple_of(longest)
                .unwrap_or(u64::MAX);

        let mut tiers: Vec<TierRows> = Vec::new();
        for &(piece, at) in &series.rows {
            let (head, place) = (&source.pieces[piece].head, &source.pieces[piece].place);
            let (tier, interval_ns) = (head.layout.tier(), head.layout.interval_ns());
            // One more row, whose buckets quantiles are the difference to.
            let wanted = head.rows_in(&(whole.start.saturating_sub(interval_ns)..whole.end));
            if wanted.is_empty() {
                continue;
            }
            let rows = match self.rows_of(series, place, at) {
                Ok(rows) => rows,
                Err(warning) => {
                    warn(warnings, warning);
                    continue;
                }
            };
            let is_open = matches!(place, Place::Open(_));
            let found = wanted.filter_map(|row| {
                let (t, value) = (head.row_ns(row), rows.value(row as usize));
                let end_ns = t.saturating_add(interval_ns);
                let cut = end_ns.saturating_sub(source.source.interval_ns.max(1));
                let is_sealed = tier > 0 && (t..cut).contains(&head.ended_ns);
                let mut point = point_of(tier, t, value)?;
                point.partial = is_open;
                point.sealed_ns = is_sealed.then_some(head.ended_ns);
                let total = value.total.unwrap_or(0);
                Some(Found {
                    is_first: row == 0 && self.is_first(series, piece, at),
                    buckets: rows
                        .buckets
                        .get(row as usize)
                        .filter(|buckets| total == 0 || !buckets.as_bytes().is_empty())
                        .cloned(),
                    functions: head.layout.functions(),
                    point,
                })
            });
            level(&mut tiers, tier, interval_ns).rows.extend(found);
        }
        self.add_slab(series, &whole, &mut tiers, warnings);
        for tier in &mut tiers {
            // Stable: of one window the first is kept, which is the one that is stored.
            tier.rows.sort_by_key(|found| found.point.t);
            tier.rows.dedup_by_key(|found| found.point.t);
        }
        tiers.sort_by_key(|tier| (tier.interval_ns, tier.tier));
        tiers
    }

    fn rows_of(&self, series: &SeriesPlan, place: &Place<S::Key>, at: usize) -> Result<SeriesRows, String> {
        let live = self.sources[series.source].live.map(|index| &self.live[index]);
        match (place, live) {
            (Place::Stored(key), _) => self.store.read_series(key, at).map_err(|error| {
                let source = &self.sources[series.source].source;
                format!("stored rows of {} cannot be read: {error}", source.instance)
            }),
            (Place::Waiting(index), Some(live)) => Ok(SeriesRows::of(&live.runs[*index], at)),
            (Place::Open(index), Some(live)) => Ok(SeriesRows::of(&live.open[*index], at)),
            (_, None) => Ok(SeriesRows::default()),
        }
    }

    fn add_slab(
        &self,
        series: &SeriesPlan,
        whole: &Range<u64>,
        tiers: &mut Vec<TierRows>,
        warnings: &mut Vec<String>,
    ) {
        let source = &self.sources[series.source];
        let slab = source.live.and_then(|index| self.live[index].slab.as_ref());
        let (Some(in_slab), Some((slab, view))) = (&series.in_slab, slab) else {
            return;
        };
        if matches!(self.request.tier, Tier::Number(tier) if tier != 0) || whole.end == 0 {
            return;
        }
        let mut found = Vec::new();
        let read = slab.each_point(in_slab, view, whole.start, whole.end - 1, |point| {
            found.extend(found_in_slab(point));
        });
        match read {
            Ok(()) => level(tiers, 0, slab.layout().axis.interval_ns())
                .rows
                .extend(found),
            Err(error) => warn(warnings, error.to_string()),
        }
    }

    /// Whether there can have been no sample before the first row of a run.
    fn is_first(&self, series: &SeriesPlan, piece: usize, at: usize) -> bool {
        let source = &self.sources[series.source];
        let head = &source.pieces[piece].head;
        let is_registered_later = |other: &super::input::RunHead| {
            other.layout.tier() == head.layout.tier()
                && other.first_series == head.first_series
                && other.end_ns() == head.start_ns
                && other.layout.series().len() <= at
        };
        created_ns(&source.source).is_some_and(|created| head.start_ns <= created)
            || series
                .in_slab
                .as_ref()
                .is_some_and(|series| head.start_ns <= series.registered_ns)
            || source.pieces.iter().any(|other| is_registered_later(&other.head))
    }

    fn add_quantiles(&self, series: &SeriesPlan, tier: &mut TierRows) {
        let Some(shape) = series.series.buckets else {
            return;
        };
        let none = BucketCounts::default();
        for index in 0..tier.rows.len() {
            let found = &tier.rows[index];
            let before = match index.checked_sub(1).map(|index| &tier.rows[index]) {
                Some(before) if before.point.t.saturating_add(tier.interval_ns) == found.point.t => {
                    before.buckets.as_ref()
                }
                _ => found.is_first.then_some(&none),
            };
            let counts = before
                .zip(found.buckets.as_ref())
                .and_then(|(before, after)| between(before, after));
            let (min, max) = (found.point.row.min, found.point.row.max);
            let quantiles = self
                .request
                .quantiles
                .iter()
                .map(|&q| quantile(counts.as_ref()?, shape, q, min, max));
            tier.rows[index].point.quantiles = quantiles.collect();
        }
    }
}

/// Says it once.
fn warn(warnings: &mut Vec<String>, warning: String) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}
