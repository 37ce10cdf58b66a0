//! Which tier answers for which part of a series.
//!
//! A row of a coarser tier answers if it knows of more points of tier 0 than the finer rows in its window
//! do; it then stands for the whole window. So wherever the finer tier has all that the coarser was made of, the finer
//! answers, gaps and all; where part of a window is gone from it, the coarser row takes its place and the finer
//! rows begin with the next window. No window is there twice, and nothing that any tier knows is missing.

/// A row, as far as joining goes.
pub trait Row: Copy {
    /// Slab time at which its interval starts.
    fn start_ns(&self) -> u64;
    /// Points of tier 0 that it knows of.
    fn known(&self) -> u64;
}

/// The rows of one series at one resolution.
#[derive(Debug, Clone)]
pub struct Level<R> {
    /// Number of the tier.
    pub tier: u8,
    /// Length of a row's interval.
    pub interval_ns: u64,
    /// In order of time; no two start together.
    pub rows: Vec<R>,
}

/// The rows that answer, in order of time, each with the tier and length of its interval. `levels` go from the
/// finest to the coarsest, and each interval is a multiple of the one before.
pub fn join<R: Row>(levels: Vec<Level<R>>) -> Vec<(u8, u64, R)> {
    let mut joined: Vec<(u8, u64, R)> = Vec::new();
    for level in levels {
        let finer = std::mem::take(&mut joined);
        joined.reserve(finer.len() + level.rows.len());
        let mut finer = finer.into_iter().peekable();
        for row in level.rows {
            let end = row.start_ns().saturating_add(level.interval_ns);
            let is_before = |(_, interval, one): &(u8, u64, R)| {
                one.start_ns().saturating_add(*interval) <= row.start_ns()
            };
            while let Some(one) = finer.next_if(is_before) {
                joined.push(one);
            }
            let first = joined.len();
            while let Some(one) = finer.next_if(|(_, _, one)| one.start_ns() < end) {
                joined.push(one);
            }
            let known: u64 = joined[first..].iter().map(|(_, _, one)| one.known()).sum();
            if row.known() > known {
                joined.truncate(first);
                joined.push((level.tier, level.interval_ns, row));
            }
        }
        joined.extend(finer);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Plain = (u64, u64);

    impl Row for Plain {
        fn start_ns(&self) -> u64 {
            self.0
        }
        fn known(&self) -> u64 {
            self.1
        }
    }

    /// Which points of tier 0 there ever were, and of each tier the windows that are retained.
    #[derive(Debug, Clone)]
    struct History {
        known: Vec<bool>,
        retained: [Vec<bool>; 3],
    }

    const INTERVALS: [usize; 3] = [1, 4, 12];
    const LENGTH: usize = 96;

    fn history() -> impl Strategy<Value = History> {
        let windows = |interval: usize| {
            let count = LENGTH / interval;
            prop_oneof![
                // What a ring leaves: the newest.
                (0..=count).prop_map(move |oldest| (0..count).map(|i| i >= oldest).collect::<Vec<_>>()),
                prop::collection::vec(any::<bool>(), count),
            ]
        };
        let known = prop::collection::vec(prop::bool::weighted(0.8), LENGTH);
        (known, windows(1), windows(4), windows(12)).prop_map(|(known, a, b, c)| History {
            known,
            retained: [a, b, c],
        })
    }

    impl History {
        fn count(&self, from: usize, to: usize) -> u64 {
            self.known[from..to].iter().filter(|known| **known).count() as u64
        }

        fn level(&self, tier: usize) -> Level<Plain> {
            let interval = INTERVALS[tier];
            let rows = (0..LENGTH / interval)
                .filter(|&window| self.retained[tier][window])
                .map(|window| {
                    let start = window * interval;
                    (start as u64, self.count(start, start + interval))
                })
                .filter(|(_, known)| *known > 0);
            Level {
                tier: tier as u8,
                interval_ns: interval as u64,
                rows: rows.collect(),
            }
        }

        /// For one window of `tier`, by the rule: what finer tiers say, unless it knows more itself.
        fn naive(&self, tier: usize, window: usize, out: &mut BTreeMap<u64, u8>) -> u64 {
            let interval = INTERVALS[tier];
            let (start, end) = (window * interval, (window + 1) * interval);
            let mut finer = BTreeMap::new();
            let known_finer = match tier {
                0 => 0,
                _ => {
                    let parts = interval / INTERVALS[tier - 1];
                    (window * parts..(window + 1) * parts)
                        .map(|part| self.naive(tier - 1, part, &mut finer))
                        .sum()
                }
            };
            let known = if self.retained[tier][window] {
                self.count(start, end)
            } else {
                0
            };
            if known > known_finer {
                out.insert(start as u64, tier as u8);
                known
            } else {
                out.append(&mut finer);
                known_finer
            }
        }
    }

    proptest! {
        #[test]
        fn the_join_is_what_the_rule_says_window_by_window(history in history()) {
            let joined = join((0..3).map(|tier| history.level(tier)).collect());
            let mut naive = BTreeMap::new();
            for window in 0..LENGTH / INTERVALS[2] {
                history.naive(2, window, &mut naive);
            }
            let found: BTreeMap<u64, u8> = joined.iter().map(|(tier, _, row)| (row.0, *tier)).collect();
            prop_assert_eq!(found.len(), joined.len());
            prop_assert_eq!(found, naive);
        }

        #[test]
        fn nothing_is_there_twice_and_nothing_known_is_missing(history in history()) {
            let joined = join((0..3).map(|tier| history.level(tier)).collect());
            for pair in joined.windows(2) {
                prop_assert!(pair[0].2.0 + pair[0].1 <= pair[1].2.0, "{pair:?} overlap");
            }
            // A known point that some tier retains is in a window that is answered.
            for t in (0..LENGTH).filter(|&t| history.known[t]) {
                if (0..3).any(|tier| history.retained[tier][t / INTERVALS[tier]]) {
                    let t = t as u64;
                    prop_assert!(joined.iter().any(|(_, interval, row)| (row.0..row.0 + interval).contains(&t)), "{t}");
                }
            }
        }

        /// Tiers that do not fit into one another, as no schema has them: still no overlap of a coarse row.
        #[test]
        fn odd_intervals_do_no_harm(
            a in prop::collection::btree_map(0u64..60, 0u64..9, 0..20),
            b in prop::collection::btree_map(0u64..9, 0u64..9, 0..9),
        ) {
            let level = |tier, interval_ns, rows: BTreeMap<u64, u64>| Level {
                tier, interval_ns, rows: rows.into_iter().map(|(i, known)| (i * interval_ns, known)).collect(),
            };
            let joined = join(vec![level(0, 3, a), level(1, 7, b)]);
            for pair in joined.windows(2) {
                prop_assert!(pair[0].2.0 < pair[1].2.0);
            }
        }
    }
}
