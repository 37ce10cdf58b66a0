//! Log-linear histogram buckets, as in HdrHistogram: 2^precision buckets to every doubling.
//!
//! With precision p, values below 2^(p+1) are exact and no bucket is wider than 2^−p of its lower
//! end: p = 3 keeps a quantile within 12.5 %, in 8 buckets (64 bytes) for each doubling.

/// The finest precision: 64 buckets to a doubling, 1.6 %.
pub const PRECISION_MAX: u8 = 6;

/// Bucket of a finite `sample` ≥ 0 among `bucket_count` buckets; what lies past them goes to the last.
///
/// An `f64`'s exponent and top mantissa bits, read as one number, already count log-linear buckets:
/// one shift and one subtraction, no logarithm.
#[inline(always)]
pub fn index(sample: f64, precision: u8, bucket_count: u32) -> usize {
    let bits = sample.to_bits();
    let p = u64::from(precision);
    // The bucket of 2^p is number 2^p, which fixes what has to be subtracted.
    let first_log = (1023 + p) << p;
    let scaled = bits >> (52 - p);
    let index = if scaled >= first_log {
        scaled - first_log + (1 << p)
    } else {
        sample as u64
    };
    index.min(u64::from(bucket_count) - 1) as usize
}

/// The most buckets that a histogram can have: one for every value up to 2^64.
pub fn count_max(precision: u8) -> u32 {
    (65 - u32::from(precision)) << precision
}

/// Buckets needed so that `sample_max` has one of its own kind, and one more for what lies beyond.
pub fn count_for(sample_max: u64, precision: u8) -> u32 {
    let p = u32::from(precision);
    let index = match sample_max.checked_ilog2() {
        Some(e) if e >= p => (u64::from(e - p) << p) + (sample_max >> (e - p)),
        _ => sample_max,
    };
    (index as u32 + 2).min(count_max(precision))
}

/// Lower end (inclusive) and upper end (exclusive; `None` for the last bucket) of a bucket of a
/// histogram of at most [`count_max`] buckets.
pub fn bounds(index: u32, precision: u8, bucket_count: u32) -> (u64, Option<u64>) {
    let (p, i) = (u32::from(precision), u64::from(index));
    let (lower, width) = if i < 2 << p {
        (i, 1)
    } else {
        let shift = (i >> p) - 1;
        (((i & ((1 << p) - 1)) + (1 << p)) << shift, 1 << shift)
    };
    let upper = (index + 1 < bucket_count).then(|| lower + width);
    (lower, upper)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The formula of the specification, on whole numbers.
    fn index_as_specified(v: u64, p: u8, count: u32) -> usize {
        let i = if v < 1 << p {
            v
        } else {
            let e = 63 - v.leading_zeros();
            (u64::from(e - u32::from(p)) << p) + (v >> (e - u32::from(p)))
        };
        i.min(u64::from(count) - 1) as usize
    }

    proptest! {
        #[test]
        fn the_bits_of_a_float_give_the_specified_bucket(
            sample in prop_oneof![0.0..200.0f64, 0.0..1e19f64, (0u32..63).prop_map(|e| (1u64 << e) as f64), (1u32..53).prop_map(|e| ((1u64 << e) - 1) as f64)],
            p in 0..=PRECISION_MAX,
            count in 2u32..4_200,
        ) {
            prop_assert_eq!(index(sample, p, count), index_as_specified(sample as u64, p, count));
        }

        #[test]
        fn a_sample_lies_within_its_bucket_and_buckets_are_narrow(v in any::<u64>(), shift in 0u32..64, p in 0..=PRECISION_MAX) {
            // Only values that an f64 holds exactly, or the conversion would round up into the next bucket.
            let v = (v >> shift) & !((1 << (64u32.saturating_sub(shift).saturating_sub(53))) - 1);
            let count = count_for(u64::MAX, p);
            let i = index(v as f64, p, count) as u32;
            let (lower, upper) = bounds(i, p, count);
            prop_assert!(lower <= v);
            prop_assert!(upper.is_none_or(|upper| v < upper));
            if let Some(upper) = upper && lower >= 1 << p && upper != u64::MAX {
                prop_assert!((upper - lower) << p <= lower);
            }
        }
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for p in 0..=PRECISION_MAX {
            let count = count_for(1 << 40, p);
            for i in 0..count - 1 {
                let (_, upper) = bounds(i, p, count);
                assert_eq!(
                    upper,
                    Some(bounds(i + 1, p, count).0),
                    "precision {p}, bucket {i}"
                );
            }
            assert_eq!(bounds(count - 1, p, count).1, None);
        }
    }

    #[test]
    fn the_greatest_expected_sample_is_not_in_the_overflow_bucket() {
        for (max, p) in [(1, 0), (7, 3), (68_719_476_736, 3), (1 << 62, 6)] {
            assert!(index_as_specified(max, p, u32::MAX) < count_for(max, p) as usize - 1);
        }
    }
}
