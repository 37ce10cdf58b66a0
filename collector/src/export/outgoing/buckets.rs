//! The classic boundaries of a histogram's shape, fixed once and for all.
//!
//! Powers of two, from 1 on: each is the start of a bucket in every shape, so counts below it are exact. Powers of four
//! where that makes more than [`BOUNDARIES_MAX`], as each boundary is a series of its own at whoever receives it: a
//! histogram of the default shape (samples up to 2³⁶, more than a minute in nanoseconds) then costs 20 series and not 38.

use crate::store::BucketShape;
use rondo_shm_layout::buckets::{PRECISION_MAX, bounds, count_max};

/// Boundaries of one histogram, without the infinite one.
pub(super) const BOUNDARIES_MAX: usize = 32;

/// The boundaries of a shape in rising order, each as its power of two and the number of buckets that lie below it.
pub(super) fn boundaries(shape: BucketShape) -> Vec<(u32, u32)> {
    if !is_sound(shape) {
        return Vec::new();
    }
    let all: Vec<(u32, u32)> = (0..64)
        .map(|power| (power, buckets_below(power, shape.precision)))
        .take_while(|&(_, below)| below < shape.count)
        .collect();
    let step = if all.len() > BOUNDARIES_MAX { 2 } else { 1 };
    all.into_iter().step_by(step).collect()
}

/// Whether there are histograms of that shape. Slabs and archives have no others.
pub(super) fn is_sound(shape: BucketShape) -> bool {
    shape.precision <= PRECISION_MAX && shape.count <= count_max(shape.precision)
}

/// How many buckets lie below 2^power: the number of the bucket that starts there.
fn buckets_below(power: u32, precision: u8) -> u32 {
    let p = u32::from(precision);
    match power.checked_sub(p) {
        Some(above) => (above + 1) << p,
        None => 1 << power,
    }
}

/// The power of two at or below the start of a bucket of a sound shape; none for the bucket that starts at 0.
pub(super) fn octave(index: u32, shape: BucketShape) -> Option<u32> {
    bounds(index, shape.precision, shape.count).0.checked_ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_shm_layout::buckets::count_for;

    fn shape(sample_max: u64, precision: u8) -> BucketShape {
        BucketShape {
            count: count_for(sample_max, precision),
            precision,
        }
    }

    #[test]
    fn a_boundary_is_where_a_bucket_starts() {
        for precision in 0..=PRECISION_MAX {
            for sample_max in [1, 2, 100, 1 << 20, 1 << 36, u64::MAX] {
                let shape = shape(sample_max, precision);
                let found = boundaries(shape);
                assert!(!found.is_empty() && found.len() <= BOUNDARIES_MAX);
                assert_eq!(found[0], (0, 1));
                for (power, below) in found {
                    let (lower, _) = bounds(below, precision, shape.count);
                    assert_eq!(lower, 1 << power, "precision {precision}, up to {sample_max}");
                }
            }
        }
    }

    /// Finer histograms of one range have the same ones, so that a change of precision does not change the sums.
    #[test]
    fn boundaries_follow_from_the_range_alone() {
        let powers = |shape| boundaries(shape).into_iter().map(|(power, _)| power);
        for sample_max in [1 << 20, 1 << 36, 1 << 50] {
            let coarse: Vec<u32> = powers(shape(sample_max, 0)).collect();
            for precision in 1..=PRECISION_MAX {
                // The range ends a bucket after the greatest sample, which a coarse one may reach a power later.
                let fine: Vec<u32> = powers(shape(sample_max, precision)).collect();
                assert_eq!(coarse[..fine.len().min(coarse.len())], fine[..], "{sample_max}");
            }
        }
    }

    #[test]
    fn the_default_shape_has_nineteen() {
        let powers: Vec<u32> = boundaries(shape(1 << 36, 3))
            .into_iter()
            .map(|(power, _)| power)
            .collect();
        assert_eq!(powers, (0..=36).step_by(2).collect::<Vec<_>>());
        let all = BucketShape {
            count: count_max(6),
            precision: 6,
        };
        assert_eq!(boundaries(all).len(), 32);
        let strange = BucketShape {
            count: 10,
            precision: 200,
        };
        assert_eq!(boundaries(strange), []);
    }
}
