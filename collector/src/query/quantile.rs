//! Quantiles of a stretch of time, from the cumulative buckets of a histogram at its two ends.
//!
//! The sample that is asked for lies in a known bucket; within the bucket samples are taken to be spread
//! evenly. So the result is off by less than the bucket's width: at most 1 for samples below 2^(p+1), and at most
//! 2^−p of the sample beyond (p is the histogram's precision: 12.5 % for p = 3). What lies in the last bucket,
//! which has no upper end, is off by as much as the greatest sample of the stretch is above the bucket's start.

use crate::store::{BucketCounts, BucketShape};
use rondo_shm_layout::buckets;

/// Samples in each bucket between two moments; `None` if a bucket shrank, so that they are not of one histogram.
pub fn between(before: &BucketCounts, after: &BucketCounts) -> Option<Vec<(u32, u64)>> {
    let mut before = before.iter().peekable();
    let mut counts = Vec::new();
    for (index, count) in after.iter() {
        let earlier = match before.peek() {
            Some(&(earlier, _)) if earlier < index => return None,
            Some(&(earlier, count)) if earlier == index => {
                before.next();
                count
            }
            _ => 0,
        };
        match count.checked_sub(earlier)? {
            0 => {}
            samples => counts.push((index, samples)),
        }
    }
    before.next().is_none().then_some(counts)
}

/// The `q`-quantile (0 to 1) of samples that lie in these buckets, in order: the least sample that at least
/// that part of all samples do not exceed. `min` and `max` are of the same samples, where they are known.
/// `None` if there are no samples.
pub fn quantile(
    counts: &[(u32, u64)],
    shape: BucketShape,
    q: f64,
    min: Option<f64>,
    max: Option<f64>,
) -> Option<f64> {
    let total: u128 = counts.iter().map(|(_, count)| u128::from(*count)).sum();
    if total == 0 {
        return None;
    }
    let rank = (q * total as f64).clamp(0.0, total as f64);
    let mut below = 0u128;
    let found = counts.iter().find_map(|&(index, count)| {
        let through = below + u128::from(count);
        let is_here = through as f64 >= rank;
        let part = (rank - below as f64) / count as f64;
        below = through;
        is_here.then_some((index, part))
    });
    // Rounding can only leave a rank above the last bucket.
    let (index, part) = found.or(counts.last().map(|&(index, _)| (index, 1.0)))?;
    let (lower, upper) = buckets::bounds(index, shape.precision, shape.count);
    let lower = lower as f64;
    let upper = upper.map_or(max.unwrap_or(lower).max(lower), |upper| upper as f64);
    let value = lower + (upper - lower) * part.clamp(0.0, 1.0);
    let value = min.map_or(value, |min| value.max(min));
    Some(max.map_or(value, |max| value.min(max)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts_of(samples: &[f64], shape: BucketShape) -> BucketCounts {
        let mut counts = vec![0u64; shape.count as usize];
        for &sample in samples {
            counts[buckets::index(sample, shape.precision, shape.count)] += 1;
        }
        BucketCounts::from_dense(&counts)
    }

    fn exact(sorted: &[f64], q: f64) -> f64 {
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    proptest! {
        /// Against the quantiles of the raw samples: never further off than the module promises.
        #[test]
        fn a_quantile_is_within_the_width_of_its_bucket(
            earlier in prop::collection::vec(0.0..1e6f64, 0..50),
            mut samples in prop::collection::vec(prop_oneof![0.0..300.0f64, 0.0..1e6f64, 0.0..1e15f64], 1..200),
            q in prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..=1.0f64],
            precision in 0u8..=6,
            is_limited: bool,
            knows_limits: bool,
        ) {
            let sample_max = if is_limited { 100_000 } else { u64::MAX };
            let shape = BucketShape { count: buckets::count_for(sample_max, precision), precision };
            let before = counts_of(&earlier, shape);
            let all: Vec<f64> = earlier.iter().chain(&samples).copied().collect();
            let counts = between(&before, &counts_of(&all, shape)).unwrap();
            prop_assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), samples.len() as u64);

            samples.sort_by(f64::total_cmp);
            let (min, max) = (samples[0], samples[samples.len() - 1]);
            let known = |value| knows_limits.then_some(value);
            let found = quantile(&counts, shape, q, known(min), known(max)).unwrap();
            let exact = exact(&samples, q);
            let (lower, upper) = buckets::bounds(
                buckets::index(exact, precision, shape.count) as u32, precision, shape.count);
            let width = upper.map_or(max - lower as f64, |upper| (upper - lower) as f64);
            prop_assert!((found - exact).abs() <= width, "{found} for {exact}, {width} wide");
            if upper.is_some() {
                let bound = if exact < f64::from(2u32 << precision) { 1.0 } else { exact / f64::from(1u32 << precision) };
                prop_assert!(width <= bound, "{width} wide at {exact}");
            }
            if knows_limits {
                prop_assert!((min..=max).contains(&found));
            }
        }

        /// Buckets of strangers: any two of them are refused, or give a number.
        #[test]
        fn hostile_buckets_do_no_harm(
            before in prop::collection::vec(any::<u64>(), 0..20),
            after in prop::collection::vec(any::<u64>(), 0..20),
            q in any::<f64>(),
            (min, max) in any::<(Option<f64>, Option<f64>)>(),
        ) {
            let shape = BucketShape { count: 20, precision: 1 };
            if let Some(counts) = between(&BucketCounts::from_dense(&before), &BucketCounts::from_dense(&after)) {
                let _ = quantile(&counts, shape, q, min, max);
            }
        }
    }

    #[test]
    fn a_bucket_that_shrank_is_of_another_histogram() {
        let counts = |counts: &[u64]| BucketCounts::from_dense(counts);
        assert_eq!(between(&counts(&[2, 1]), &counts(&[2, 3])), Some(vec![(1, 2)]));
        assert_eq!(between(&counts(&[2, 1]), &counts(&[1, 3])), None);
        assert_eq!(between(&counts(&[2, 1]), &counts(&[0, 3])), None);
        assert_eq!(between(&counts(&[2, 1]), &counts(&[2])), None);
        assert_eq!(
            quantile(
                &[],
                BucketShape {
                    count: 2,
                    precision: 0
                },
                0.5,
                None,
                None
            ),
            None
        );
    }
}
