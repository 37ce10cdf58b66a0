//! Where in time there may be points of a series, from what directories and windows say: no row is decoded.

use super::Tier;
use super::input::StoredRuns;
use super::plan::{Plan, SeriesPlan};
use std::ops::Range;

impl<S: StoredRuns + ?Sized> Plan<'_, S> {
    /// The intervals of which a series may have a point: by length of the interval, the stretches of slab time.
    pub(super) fn coverage(&self, series: &SeriesPlan) -> Vec<(u64, u8, Vec<Range<u64>>)> {
        let source = &self.sources[series.source];
        let mut levels: Vec<(u64, u8, Vec<Range<u64>>)> = Vec::new();
        let mut add = |tier: u8, interval: u64, stretch: Range<u64>| match levels
            .iter_mut()
            .find(|(i, t, _)| (*i, *t) == (interval, tier))
        {
            Some((_, _, stretches)) => stretches.push(stretch),
            None => levels.push((interval, tier, vec![stretch])),
        };
        for &(piece, _) in &series.rows {
            let head = &source.pieces[piece].head;
            let rows = head.rows_in(&source.range);
            if !rows.is_empty() {
                add(
                    head.layout.tier(),
                    head.layout.interval_ns(),
                    head.row_ns(rows.start)..head.row_ns(rows.end),
                );
            }
        }
        if let Some(slab) = self.slab_window(series) {
            add(0, source.source.interval_ns.max(1), slab);
        }
        levels.sort_by_key(|(interval, tier, _)| (*interval, *tier));
        for (_, _, stretches) in &mut levels {
            merge(stretches);
        }
        levels
    }

    /// The part of the range that the slab has of a series.
    pub(super) fn slab_window(&self, series: &SeriesPlan) -> Option<Range<u64>> {
        let source = &self.sources[series.source];
        if matches!(self.request.tier, Tier::Number(tier) if tier != 0) {
            return None;
        }
        let in_slab = series.in_slab.as_ref()?;
        let (slab, view) = self.live[source.live?].slab.as_ref()?;
        let (axis, (first, last)) = (slab.layout().axis, view.window()?);
        let first = first.max(axis.start_of(in_slab.registered_ns.min(last)));
        let window = first.max(axis.start_of(source.range.start))
            ..last.saturating_add(axis.interval_ns()).min(source.range.end);
        (window.start < window.end).then_some(window)
    }

    /// How many points a series has at most.
    pub(super) fn points_of(&self, series: &SeriesPlan) -> u64 {
        let mut finer: Vec<Range<u64>> = Vec::new();
        let mut points = 0u64;
        for (interval, _, stretches) in self.coverage(series) {
            let before = length(&finer);
            finer.extend(stretches);
            merge(&mut finer);
            points = points.saturating_add((length(&finer) - before).div_ceil(interval.max(1)));
        }
        points
    }

    /// From the oldest interval of a series to the newest, on the wall clock; not to the end of a window that the machine did
    /// not live to see, or has not seen yet.
    pub(super) fn span_of(&self, series: &SeriesPlan) -> Option<Range<i128>> {
        let offset = i128::from(self.sources[series.source].clock_offset_ns);
        let coverage = self.coverage(series);
        let stretches = || coverage.iter().flat_map(|(_, _, stretches)| stretches);
        let start = stretches().map(|stretch| stretch.start).min()?;
        let source = &self.sources[series.source];
        let newest_ns = match source.live.and_then(|live| self.live[live].slab.as_ref()) {
            Some((_, view)) => view.cursor_ns,
            None => source
                .pieces
                .iter()
                .map(|piece| piece.head.ended_ns)
                .max()
                .unwrap_or(0),
        };
        let lived_until = match newest_ns {
            0 => u64::MAX,
            newest => newest.saturating_add(source.source.interval_ns),
        };
        let end = stretches()
            .map(|stretch| stretch.end)
            .max()?
            .min(lived_until)
            .max(start);
        Some(i128::from(start) + offset..i128::from(end) + offset)
    }
}

/// Sorts stretches and joins those that touch.
fn merge(stretches: &mut Vec<Range<u64>>) {
    stretches.sort_by_key(|stretch| stretch.start);
    stretches.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
}

fn length(stretches: &[Range<u64>]) -> u64 {
    stretches
        .iter()
        .map(|stretch| stretch.end - stretch.start)
        .fold(0, u64::saturating_add)
}
