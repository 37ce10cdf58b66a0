//! Histograms in the native form of Prometheus, exact with schema 0.
//!
//! Bucket i of schema 0 is for samples in (2^(i−1), 2^i], ours are [a, b), and each but the first lies between two
//! neighbouring powers of two. So ours go to bucket ⌊log₂ a⌋ + 1 each, and only a sample that is exactly a power of two is
//! one bucket higher than Prometheus would have counted it. The first of ours, [0, 1), is the zero bucket, whose threshold is
//! therefore one of the series' unit. The last one has no end; what is in it counts where it starts, in the highest bucket of
//! which something is known, so that quantiles stay finite, as those of classic buckets do.
//!
//! The count is that of the buckets, as Prometheus refuses a histogram in which the two differ.

use super::buckets::octave;
use super::place::{Place, Reading};
use crate::exposition::Scale;
use crate::store::Run;

/// A native histogram with integer counts, cumulative over time, of schema 0: a bucket for each power of two.
#[derive(Debug, Clone, PartialEq)]
pub struct NativeHistogram {
    /// All samples.
    pub count: u64,
    /// Of all samples, in the base unit.
    pub sum: f64,
    /// Samples in the zero bucket are less than this; in the base unit.
    pub zero_threshold: f64,
    /// Samples in the zero bucket.
    pub zero_count: u64,
    /// Which buckets there are, in rising order.
    pub spans: Vec<NativeSpan>,
    /// The count of each bucket, less that of the one before.
    pub deltas: Vec<i64>,
}

/// Buckets one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeSpan {
    /// Of the first one the number of its first bucket, of others how many buckets lie between it and the one before.
    pub offset: i32,
    /// How many.
    pub length: u32,
}

impl NativeHistogram {
    /// Always 0.
    pub const SCHEMA: i32 = 0;

    /// Number and count of each bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let numbers = self.spans.iter().scan(0i32, |next, span| {
            let first = next.saturating_add(span.offset);
            *next = first.saturating_add_unsigned(span.length);
            Some(first..*next)
        });
        let counts = self.deltas.iter().scan(0i64, |count, delta| {
            *count = count.wrapping_add(*delta);
            Some(*count as u64)
        });
        numbers.flatten().zip(counts)
    }
}

/// k, if the scale is 2^k.
pub(super) fn power_of_two(scale: Scale) -> Option<i32> {
    let of = |factor: f64| {
        let (mantissa, exponent) = (factor.to_bits() & ((1 << 52) - 1), factor.to_bits() >> 52);
        // Neither negative, nor subnormal, nor infinite.
        (mantissa == 0 && (1..2047).contains(&exponent)).then_some(exponent as i32 - 1023)
    };
    match scale {
        Scale::Times(factor) => of(factor),
        Scale::Over(divisor) => of(divisor).map(|power| -power),
    }
}

/// The histogram of a row.
pub(super) fn read(place: &Place, run: &Run, row: usize) -> Option<NativeHistogram> {
    let Reading::Native {
        histogram,
        shape,
        word,
        sum,
        power,
    } = place.reading
    else {
        return None;
    };
    place.known(run, row)?;
    let total = place.word(run, row, word)?;
    let mut native = NativeHistogram {
        count: 0,
        sum: place.float(run, row, sum).filter(|sum| !sum.is_nan())?,
        zero_threshold: place.scale.apply(1.0),
        zero_count: 0,
        spans: Vec::new(),
        deltas: Vec::new(),
    };
    let mut joined: Vec<(i32, i64)> = Vec::new();
    for (index, count) in histogram.counts(run, row, total)?.iter() {
        // What a stranger let run over cannot be said in differences.
        native.count = native.count.checked_add(count)?;
        let count = i64::try_from(count).ok()?;
        let number = octave(index, shape).map(|octave| octave.cast_signed() + 1 + power);
        match (number, joined.last_mut()) {
            (None, _) => native.zero_count = count as u64,
            (Some(number), Some((last, sum))) if *last == number => *sum = sum.checked_add(count)?,
            (Some(number), _) => joined.push((number, count)),
        }
    }
    let (mut next, mut before) = (0, 0);
    for (number, count) in joined {
        match native.spans.last_mut() {
            Some(span) if next == number => span.length += 1,
            _ => native.spans.push(NativeSpan {
                offset: number - next,
                length: 1,
            }),
        }
        native.deltas.push(count - before);
        (next, before) = (number + 1, count);
    }
    Some(native)
}
