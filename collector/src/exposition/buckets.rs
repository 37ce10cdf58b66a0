//! From rondo's fine histogram buckets to Prometheus's classic ones.
//!
//! A histogram of rondo has hundreds of buckets, nearly all empty. Only boundaries leave at which a
//! cumulative count changes: both ends of each bucket that has samples, so that interpolation between
//! neighbours stays inside it. All histograms of a family leave with the same boundaries, those of any
//! of them: `sum by (le)` over machines with different ones would add up different things. Where that
//! makes more than [`BOUNDARIES_MAX`], the family gets coarser, down to powers of two, the same way on
//! every host.
//!
//! A sample that lies exactly on a boundary counts above it, as rondo's buckets include their lower end.
//! `rate()` misses the samples in a bucket before its boundary first appeared.

use super::name::Scale;
use rondo_reader::Bucket;
use rondo_shm_layout::buckets::PRECISION_MAX;
use std::collections::BTreeSet;

/// Boundaries of a family, without the infinite one. It takes more than one unit of the series in a family to
/// exceed it: powers of two of one unit are at most 65.
pub const BOUNDARIES_MAX: usize = 80;

/// The buckets of one histogram that have samples, from the lowest on; not more of them than a family could use.
#[derive(Debug, Clone, PartialEq)]
pub struct RawBuckets {
    /// With the bounds of the slab, and not cumulative.
    buckets: Vec<Bucket>,
    scale: Scale,
    /// That of the grid on which the buckets are.
    precision: u8,
}

impl RawBuckets {
    /// From the buckets that have samples, and what turns their bounds into base units.
    ///
    /// They get coarser at once where they alone have too many boundaries: a stranger's histogram of
    /// thousands of buckets takes no more memory than any other.
    pub fn new(buckets: impl IntoIterator<Item = Bucket>, scale: Scale) -> Self {
        let mut raw = Self {
            buckets: buckets.into_iter().collect(),
            scale,
            precision: PRECISION_MAX,
        };
        while raw.precision > 0 && boundaries(std::slice::from_ref(&raw)).len() > BOUNDARIES_MAX {
            raw.coarsen(raw.precision - 1);
        }
        raw
    }

    /// How many buckets have samples.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Takes the buckets of the grid of that precision, and joins those that lie in one of them.
    fn coarsen(&mut self, precision: u8) {
        self.precision = precision;
        let mut joined: Vec<Bucket> = Vec::new();
        for bucket in self.buckets.drain(..) {
            let octave = bucket.lower.checked_ilog2().unwrap_or(0);
            let shift = octave.saturating_sub(u32::from(precision));
            let lower = bucket.lower >> shift << shift;
            // What has no upper end keeps none, so nothing is joined with it; what is wide already stays so.
            let end = lower.checked_add(1 << shift);
            let upper = bucket.upper.and_then(|upper| Some(end?.max(upper)));
            match joined.last_mut() {
                Some(last) if last.lower == lower && last.upper == upper => {
                    last.count = last.count.wrapping_add(bucket.count);
                }
                _ => joined.push(Bucket {
                    lower,
                    upper,
                    count: bucket.count,
                }),
            }
        }
        joined.shrink_to_fit();
        self.buckets = joined;
    }

    /// The ends of its buckets, in the base unit.
    fn edges(&self) -> impl Iterator<Item = f64> {
        let ends = |bucket: &Bucket| [Some(bucket.lower), bucket.upper];
        self.buckets
            .iter()
            .flat_map(ends)
            .flatten()
            .map(|edge| self.scale.apply(edge as f64))
    }

    /// All samples.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.wrapping_add(bucket.count))
    }

    /// Samples in buckets that end at or below each boundary.
    fn cumulative(&self, boundaries: &[f64]) -> Vec<(f64, u64)> {
        let mut buckets = self.buckets.iter().peekable();
        let mut below = 0u64;
        let count_up_to = |&boundary: &f64| {
            let ends_below = |bucket: &&Bucket| {
                bucket
                    .upper
                    .is_some_and(|upper| self.scale.apply(upper as f64) <= boundary)
            };
            while let Some(bucket) = buckets.next_if(ends_below) {
                below = below.wrapping_add(bucket.count);
            }
            (boundary, below)
        };
        boundaries.iter().map(count_up_to).collect()
    }
}

/// The ends of all buckets, in rising order.
fn boundaries(histograms: &[RawBuckets]) -> Vec<f64> {
    // None is negative or NaN, so their bits are in the order of their values.
    let bits: BTreeSet<u64> = histograms
        .iter()
        .flat_map(RawBuckets::edges)
        .map(f64::to_bits)
        .collect();
    bits.into_iter().map(f64::from_bits).collect()
}

/// The cumulative buckets of all histograms of a family, with the same boundaries in each.
pub fn unify(mut histograms: Vec<RawBuckets>) -> Vec<Vec<(f64, u64)>> {
    let mut precision = histograms.iter().map(|one| one.precision).min().unwrap_or(0);
    let common = loop {
        histograms.iter_mut().for_each(|one| one.coarsen(precision));
        let common = boundaries(&histograms);
        if common.len() <= BOUNDARIES_MAX || precision == 0 {
            break common;
        }
        precision -= 1;
    };
    histograms.iter().map(|one| one.cumulative(&common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rondo_shm_layout::buckets;

    const SAMPLE_MAX: u64 = 1 << 40;

    fn raw(samples: &[u64], precision: u8, scale: Scale) -> RawBuckets {
        let bucket_count = buckets::count_for(SAMPLE_MAX, precision);
        let mut counts = vec![0u64; bucket_count as usize];
        for &sample in samples {
            counts[buckets::index(sample as f64, precision, bucket_count)] += 1;
        }
        let buckets = (0..bucket_count).zip(counts).filter(|(_, count)| *count > 0);
        let buckets = buckets.map(|(index, count)| {
            let (lower, upper) = buckets::bounds(index, precision, bucket_count);
            Bucket { lower, upper, count }
        });
        RawBuckets::new(buckets, scale)
    }

    proptest! {
        /// Against counting the samples themselves. Coarser boundaries are still boundaries of buckets, so
        /// counts stay exact where all have one precision. What is in the last bucket may be anywhere above its start,
        /// so it counts at no boundary.
        #[test]
        fn cumulative_counts_are_those_of_the_samples(
            machines in prop::collection::vec(prop::collection::vec((any::<u64>(), 20u32..64).prop_map(|(v, s)| v >> s), 0..120), 1..6),
            precision in 0..=PRECISION_MAX,
        ) {
            let scale = Scale::Over(1_000.0);
            let raws: Vec<RawBuckets> = machines.iter().map(|samples| raw(samples, precision, scale)).collect();
            let unified = unify(raws);
            let bucket_count = buckets::count_for(SAMPLE_MAX, precision);
            let (last, _) = buckets::bounds(bucket_count - 1, precision, bucket_count);
            for (samples, buckets) in machines.iter().zip(&unified) {
                prop_assert!(buckets.len() <= BOUNDARIES_MAX);
                prop_assert_eq!(buckets.iter().map(|b| b.0.to_bits()).collect::<Vec<_>>(),
                    unified[0].iter().map(|b| b.0.to_bits()).collect::<Vec<_>>());
                for &(upper, count) in buckets {
                    let naive = samples.iter().filter(|&&sample| sample < last && (sample as f64) / 1_000.0 < upper).count();
                    prop_assert_eq!(count, naive as u64, "le {}", upper);
                }
            }
        }
    }

    /// A machine with coarser buckets cannot say what lies between their ends; it must not claim more than it knows.
    #[test]
    fn another_machines_finer_boundaries_count_whole_buckets_only() {
        let (fine, coarse) = (
            raw(&[96, 100], 6, Scale::Times(1.0)),
            raw(&[100, 300], 0, Scale::Times(1.0)),
        );
        let unified = unify(vec![fine, coarse]);
        assert_eq!(
            unified[0],
            [
                (64.0, 0),
                (96.0, 0),
                (97.0, 1),
                (100.0, 1),
                (101.0, 2),
                (128.0, 2),
                (256.0, 2),
                (512.0, 2)
            ]
        );
        assert_eq!(
            unified[1],
            [
                (64.0, 0),
                (96.0, 0),
                (97.0, 0),
                (100.0, 0),
                (101.0, 0),
                (128.0, 1),
                (256.0, 1),
                (512.0, 2)
            ]
        );
    }

    #[test]
    fn boundaries_stay_bounded() {
        let many: Vec<u64> = (0..20_000).map(|i| i * i * 37).collect();
        let raw = raw(&many, 6, Scale::Times(1.0));
        assert!(raw.len() < BOUNDARIES_MAX, "{}", raw.len());
        let unified = unify(vec![raw]);
        assert!(
            (20..=BOUNDARIES_MAX).contains(&unified[0].len()),
            "{}",
            unified[0].len()
        );
    }
}
