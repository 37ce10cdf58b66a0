//! The rules on slots and buckets: `stamp`, `unwritten`, `value`, `histogram`, and their reserved word.

use super::{Audit, Subject};
use crate::view::INSTANT_MAX;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{
    BUSY, DistributionSlot, DistributionWords, Kind, PointSlot, Read, Rule, SENTINEL, SeriesInfo,
};

/// Findings of one series by rule: the first of each in words, the rest as a number.
#[derive(Default)]
struct Tally {
    found: Vec<(Rule, String, u64)>,
}

impl Tally {
    fn add(&mut self, rule: Rule, detail: impl FnOnce() -> String) {
        match self.found.iter_mut().find(|(known, ..)| *known == rule) {
            Some((.., more)) => *more += 1,
            None => self.found.push((rule, detail(), 0)),
        }
    }

    fn report(self, series: &SeriesInfo, audit: &mut Audit) {
        for (rule, detail, more) in self.found {
            let more = if more > 0 {
                format!(" (and {more} more)")
            } else {
                String::new()
            };
            audit.add(
                rule,
                format!("series {} ({}): {detail}{more}", series.index, series.name),
            );
        }
    }
}

/// The totals of a slot, to be compared in the order of stamps.
struct Totals {
    stamp: u64,
    count: u64,
    /// Of series whose sum cannot fall.
    sum: Option<f64>,
}

impl Subject<'_> {
    pub(super) fn slots(&self, series: &SeriesInfo, audit: &mut Audit) {
        let mut tally = Tally::default();
        let mut totals = Vec::new();
        for index in 0..self.layout.axis.slot_count() {
            let offset = series.slot_offset(index);
            if series.kind.is_distribution() {
                if let Some(slot) = self.image.distribution_slot(offset) {
                    self.distribution(series.kind, index, slot, &mut tally, &mut totals);
                }
            } else if let Some(slot) = self.image.point_slot(offset) {
                self.point(series.kind, index, slot, &mut tally, &mut totals);
            }
        }
        totals.sort_by_key(|totals| totals.stamp);
        for pair in totals.windows(2) {
            let [before, after] = pair else { continue };
            if after.count < before.count || after.sum < before.sum {
                tally.add(Rule::Value, || {
                    format!("a total falls from {} to {}", before.stamp, after.stamp)
                });
            }
        }
        tally.report(series, audit);
    }

    fn point(&self, kind: Kind, index: u64, slot: &PointSlot, tally: &mut Tally, totals: &mut Vec<Totals>) {
        if let Read::Present([bits]) = slot.read(0)
            && bits != SENTINEL
        {
            tally.add(Rule::Unwritten, || {
                format!("slot {index} is unwritten but holds {bits:#x}")
            });
        }
        let Read::Present((stamp, [bits])) = slot.read_any() else {
            return;
        };
        if !self.stamp(index, stamp, tally) {
            return;
        }
        if kind == Kind::Counter {
            totals.push(Totals {
                stamp,
                count: bits,
                sum: None,
            });
        } else if f64::from_bits(bits).is_nan() {
            tally.add(Rule::Value, || format!("slot {index} holds NaN"));
        }
    }

    fn distribution(
        &self,
        kind: Kind,
        index: u64,
        slot: &DistributionSlot,
        tally: &mut Tally,
        totals: &mut Vec<Totals>,
    ) {
        if slot.reserved() != 0 {
            tally.add(Rule::Reserved, || {
                format!("the reserved word of slot {index} is not zero")
            });
        }
        match slot.raw() {
            Read::Present(words @ [0, ..]) if words != DistributionWords::UNWRITTEN => {
                tally.add(Rule::Unwritten, || {
                    format!("slot {index} is unwritten but holds {words:x?}")
                });
            }
            _ => {}
        }
        let Read::Present(words) = slot.read_any() else {
            return;
        };
        let DistributionWords {
            stamp,
            count,
            sum,
            min,
            max,
            last,
        } = words;
        if stamp == BUSY || !self.stamp(index, stamp, tally) {
            return;
        }
        if ![sum, min, max, last].iter().all(|number| number.is_finite()) {
            tally.add(Rule::Value, || {
                format!("slot {index} holds a number that is not finite")
            });
        } else if !(min <= last && last <= max) {
            tally.add(Rule::Value, || {
                format!("slot {index}: last {last} is not from min {min} to max {max}")
            });
        }
        totals.push(Totals {
            stamp,
            count,
            sum: Some(sum).filter(|_| kind == Kind::Histogram),
        });
    }

    /// Whether the stamp is one of that slot; otherwise the slot counts as never written.
    fn stamp(&self, index: u64, stamp: u64, tally: &mut Tally) -> bool {
        let axis = self.layout.axis;
        let belongs = stamp <= INSTANT_MAX
            && stamp.is_multiple_of(axis.interval_ns())
            && axis.slot_index(stamp) == index;
        if !belongs {
            tally.add(Rule::Stamp, || {
                format!("stamp {stamp} does not belong into slot {index}")
            });
        }
        // The writer raises the cursor before it opens a slot, so this load comes after that of the stamp.
        let cursor = self.live.cursor_ns.load(Ordering::Acquire);
        if belongs && stamp > cursor {
            tally.add(Rule::Stamp, || {
                format!("stamp {stamp} of slot {index} is beyond the cursor {cursor}")
            });
        }
        belongs
    }

    /// Only of a slab without a live writer.
    pub(super) fn histogram(&self, series: &SeriesInfo, audit: &mut Audit) {
        let Some(words) = series
            .buckets
            .and_then(|array| self.image.words(array.offset, array.count as usize))
        else {
            return;
        };
        let mut is_exact = self.lives() == 1;
        let newest = (0..self.layout.axis.slot_count())
            .filter_map(|index| {
                let slot = self.image.distribution_slot(series.slot_offset(index))?;
                is_exact &= !slot.is_torn();
                slot.read_any().present()
            })
            .filter(|words| words.stamp != BUSY)
            .max_by_key(|words| words.stamp);
        let count = newest.map_or(0, |words| words.count);
        let total = words.iter().fold(0u64, |total, word| {
            total.wrapping_add(word.load(Ordering::Relaxed))
        });
        if total < count.saturating_sub(self.lives()) || (is_exact && total > count.saturating_add(1)) {
            audit.add(
                Rule::Histogram,
                format!(
                    "series {} ({}): the buckets add up to {total}, the count is {count}",
                    series.index, series.name
                ),
            );
        }
    }
}
