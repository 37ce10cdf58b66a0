//! What a histogram's buckets were, second by second.
//!
//! A slab holds a histogram's cumulative buckets as they are now, not as they were, so they are sampled at each
//! pass and remembered as differences, a few bytes a second. Memory is bounded: what does not fit any more is
//! forgotten from the oldest on, and rows from that time have no buckets.

use crate::store::{BucketCounts, read_varint, write_varint};

/// Bytes of differences that one histogram may take: ten minutes of one-second samples, twelve buckets changing in
/// each.
const LOG_BYTES_MAX: usize = 32 << 10;

/// Samples of one histogram's cumulative buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct BucketLog {
    /// Pairs of (intervals since the sample before, bytes, differences), oldest first.
    log: Vec<u8>,
    /// Start of the interval of the sample before the first in the log, whose counts are `base`; 0 before the first.
    base_ns: u64,
    base: Vec<u64>,
    /// Those of the newest sample.
    newest_ns: u64,
    newest: Vec<u64>,
}

impl BucketLog {
    /// Remembers the counts as they were at the end of the interval `t`. One that is not newer than the newest is ignored,
    /// as is one that falls, which only a slab that breaks the rules has.
    pub(crate) fn sample(&mut self, t: u64, interval_ns: u64, counts: &[u64]) {
        if self.newest_ns == 0 || self.newest.len() != counts.len() {
            *self = Self {
                log: Vec::new(),
                base_ns: t,
                base: counts.to_vec(),
                newest_ns: t,
                newest: counts.to_vec(),
            };
            return;
        }
        if t <= self.newest_ns || self.newest == counts {
            return;
        }
        if self.newest.iter().zip(counts).any(|(before, now)| now < before) {
            return;
        }
        let differences: Vec<u64> = counts
            .iter()
            .zip(&self.newest)
            .map(|(now, before)| now - before)
            .collect();
        let coded = BucketCounts::from_dense(&differences);
        write_varint(&mut self.log, (t - self.newest_ns) / interval_ns);
        write_varint(&mut self.log, coded.as_bytes().len() as u64);
        self.log.extend_from_slice(coded.as_bytes());
        self.newest_ns = t;
        self.newest.copy_from_slice(counts);
        if self.log.len() > LOG_BYTES_MAX {
            self.forget(LOG_BYTES_MAX / 2, interval_ns);
        }
    }

    /// Moves the base on past at least `bytes` of the log.
    fn forget(&mut self, bytes: usize, interval_ns: u64) {
        let (mut at, mut t, mut counts) = (0, self.base_ns, std::mem::take(&mut self.base));
        while at < bytes && self.step(&mut at, &mut t, &mut counts, interval_ns).is_some() {}
        self.log.drain(..at);
        (self.base_ns, self.base) = (t, counts);
    }

    fn step(&self, at: &mut usize, t: &mut u64, counts: &mut [u64], interval_ns: u64) -> Option<()> {
        let intervals = read_varint(&self.log, at)?;
        let bytes = read_varint(&self.log, at)? as usize;
        let coded = BucketCounts::parse(self.log.get(*at..*at + bytes)?, counts.len() as u32)?;
        *at += bytes;
        *t += intervals * interval_ns;
        for (index, count) in coded.iter() {
            counts[index as usize] += count;
        }
        Some(())
    }

    /// When the sample at `at` in the log was taken, if there is one; `t` is the time of the one before.
    fn next_ns(&self, mut at: usize, t: u64, interval_ns: u64) -> Option<u64> {
        Some(t + read_varint(&self.log, &mut at)? * interval_ns)
    }

    /// The counts at the ends of the intervals `times`, which rise; nothing for those before the oldest sample that is
    /// remembered. Costs a walk over the whole log.
    pub(crate) fn at(&self, times: impl IntoIterator<Item = u64>, interval_ns: u64) -> Vec<BucketCounts> {
        let (mut at, mut t, mut counts) = (0, self.base_ns, self.base.clone());
        let mut found = Vec::new();
        for wanted in times {
            while self
                .next_ns(at, t, interval_ns)
                .is_some_and(|next| next <= wanted)
                && self.step(&mut at, &mut t, &mut counts, interval_ns).is_some()
            {}
            let is_known = self.newest_ns != 0 && t <= wanted;
            found.push(if is_known {
                BucketCounts::from_dense(&counts)
            } else {
                BucketCounts::default()
            });
        }
        found
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.log.capacity() + 8 * (self.base.capacity() + self.newest.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list of all samples.
        #[test]
        fn counts_are_those_of_the_newest_sample_not_after(
            steps in prop::collection::vec((1u64..4, prop::collection::vec(0u64..3, 5)), 1..60),
            times in prop::collection::vec(1u64..150, 1..20),
        ) {
            let (mut log, mut all, mut t, mut counts) = (BucketLog::default(), Vec::new(), 0, vec![0; 5]);
            for (after, differences) in steps {
                t += after * 10;
                counts.iter_mut().zip(differences).for_each(|(count, more)| *count += more);
                log.sample(t, 10, &counts);
                all.push((t, counts.clone()));
            }
            let mut times: Vec<u64> = times.into_iter().map(|t| t * 10).collect();
            times.sort_unstable();
            let expected: Vec<BucketCounts> = times
                .iter()
                .map(|&wanted| {
                    let newest = all.iter().rev().find(|(t, _)| *t <= wanted);
                    newest.map_or_else(BucketCounts::default, |(_, counts)| BucketCounts::from_dense(counts))
                })
                .collect();
            prop_assert_eq!(log.at(times, 10), expected);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_newest_samples_stay() {
        let (mut log, mut counts) = (BucketLog::default(), vec![0; 100]);
        for t in 1..=10_000 {
            counts[t as usize % 100] += 1 << 20;
            log.sample(t, 1, &counts);
        }
        assert!(log.memory_bytes() < 2 * LOG_BYTES_MAX + 3_200);
        let found = log.at([1, 9_999, 10_000], 1);
        assert_eq!(found[0], BucketCounts::default());
        assert_ne!(found[1], found[2]);
        assert_eq!(found[2], BucketCounts::from_dense(&counts));
    }
}
