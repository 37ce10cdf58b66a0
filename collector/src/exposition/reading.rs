//! What the series of one slab are at present.
//!
//! Counters and distributions are there as long as their machine lives, however idle. A gauge is not known
//! between its samples, so it stays away once its newest is more than five intervals older than the
//! slab's last tick; so do the least and greatest sample of a distribution, gauges both. What a
//! series measured may end before its machine (a device unplugged): it is gone then, as Prometheus wants it.

use super::buckets::RawBuckets;
use super::labels::LabelSet;
use super::name::{Exported, exported};
use crate::show;
use rondo_reader::{Error, PointValue, Series, Slab, View};

/// Intervals for which a gauge's last sample still counts as its value.
const STALE_INTERVALS: u64 = 5;

/// A sample of a machine before histograms have common boundaries.
pub(super) struct Reading<'s> {
    pub(super) exported: Exported,
    pub(super) help: &'s str,
    pub(super) labels: LabelSet,
    pub(super) value: PointValue,
    /// Of a histogram.
    pub(super) buckets: Option<RawBuckets>,
}

/// Reads the series at those places. Two or three passes over the stamps of each column.
pub(super) fn read<'s>(
    slab: &'s Slab,
    view: &View,
    indices: &[usize],
    is_later: bool,
) -> Result<Vec<Reading<'s>>, Error> {
    let identity = slab.identity();
    let incarnation = show::hex(&identity.incarnation[..4]);
    let mut readings = Vec::with_capacity(indices.len());
    for series in indices.iter().filter_map(|&index| slab.series().get(index)) {
        let Some(value) = newest(slab, view, series)? else {
            continue;
        };
        let exported = exported(&series.name, &series.unit, series.kind);
        let buckets = slab.buckets(series, view)?;
        let buckets = buckets.map(|buckets| RawBuckets::new(buckets.non_empty(), exported.scale));
        // The last of a name counts.
        let of_slab = [
            ("instance", identity.instance.as_str()),
            ("incarnation", if is_later { &incarnation } else { "" }),
        ];
        let declared = identity.labels.iter().chain(&series.labels);
        let declared = declared.map(|(name, value)| (name.as_str(), value.as_str()));
        readings.push(Reading {
            exported,
            help: &series.help,
            labels: LabelSet::new(of_slab.into_iter().chain(declared)),
            value,
            buckets,
        });
    }
    Ok(readings)
}

/// The value that a series has at present, if it has one.
fn newest(slab: &Slab, view: &View, series: &Series) -> Result<Option<PointValue>, Error> {
    if slab.ended_ns(series)?.is_some() {
        return Ok(None);
    }
    let point = slab.latest(series, view)?;
    let fresh_ns = STALE_INTERVALS.saturating_mul(slab.layout().axis.interval_ns());
    let is_stale = point.is_none_or(|point| point.t < view.ticked_ns.saturating_sub(fresh_ns));
    Ok(match point.map(|point| point.value) {
        Some(PointValue::Gauge(_)) if is_stale => None,
        Some(PointValue::Distribution { count, sum, .. }) if is_stale => Some(totals(count, sum)),
        Some(PointValue::Torn) => None,
        None if series.kind.is_distribution() => Some(totals(0, 0.0)),
        value => value,
    })
}

fn totals(count: u64, sum: f64) -> PointValue {
    PointValue::Distribution {
        count,
        sum,
        min: None,
        max: None,
        last: None,
    }
}
