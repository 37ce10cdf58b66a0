//! Which of the candidates go.

use crate::commands::gc::candidate::Candidate;
use std::cmp::Reverse;
use std::time::Duration;

/// What restricts the choice.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// Younger ones stay.
    pub(crate) older_than: Duration,
    /// Younger ones are left to the collector, if one is on the bus.
    pub(crate) collector_grace: Duration,
    /// No more than it takes to free so many bytes.
    pub(crate) needed_bytes: Option<u64>,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// It goes.
    Take,
    /// It is younger than was asked for.
    TooYoung,
    /// The collector may not have stored it yet.
    LeftToCollector,
    /// Enough is free without it.
    NotNeeded,
}

/// Puts the candidates into order, the oldest first, and judges each.
pub(crate) fn judge(mut candidates: Vec<Candidate>, rules: &Rules) -> Vec<(Candidate, Verdict)> {
    candidates.sort_by(|a, b| (Reverse(a.age), &a.path).cmp(&(Reverse(b.age), &b.path)));
    let mut taken_bytes = 0u64;
    let verdict = |candidate: &Candidate| {
        if candidate.age < rules.older_than {
            Verdict::TooYoung
        } else if candidate.age < rules.collector_grace {
            Verdict::LeftToCollector
        } else if rules.needed_bytes.is_some_and(|needed| taken_bytes >= needed) {
            Verdict::NotNeeded
        } else {
            taken_bytes = taken_bytes.saturating_add(candidate.size_bytes);
            Verdict::Take
        }
    };
    let verdicts: Vec<Verdict> = candidates.iter().map(verdict).collect();
    candidates.into_iter().zip(verdicts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::gc::candidate::Reason;
    use proptest::prelude::*;

    fn candidate(name: usize, age: u64, size_bytes: u64) -> Candidate {
        Candidate {
            path: format!("{name}.slab").into(),
            file_id: (0, name as u64),
            reason: Reason::Dead,
            size_bytes,
            age: Duration::from_secs(age),
        }
    }

    fn taken(candidates: &[(u64, u64)], rules: Rules) -> Vec<u64> {
        let candidates = candidates
            .iter()
            .enumerate()
            .map(|(i, (age, size))| candidate(i, *age, *size));
        let judged = judge(candidates.collect(), &rules);
        let taken = judged
            .into_iter()
            .filter(|(_, verdict)| *verdict == Verdict::Take);
        taken.map(|(candidate, _)| candidate.age.as_secs()).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_needed() {
        let found = [(10, 100), (30, 100), (20, 100)];
        let free = |needed| Rules {
            needed_bytes: Some(needed),
            ..Rules::default()
        };
        assert_eq!(taken(&found, Rules::default()), [30, 20, 10]);
        assert!(taken(&found, free(0)).is_empty());
        assert_eq!(taken(&found, free(100)), [30]);
        assert_eq!(taken(&found, free(101)), [30, 20]);
        assert_eq!(taken(&found, free(1_000)), [30, 20, 10]);
    }

    #[test]
    fn the_young_stay_and_those_that_the_collector_may_want() {
        let rules = Rules {
            older_than: Duration::from_secs(15),
            collector_grace: Duration::from_secs(25),
            needed_bytes: None,
        };
        let judged = judge(
            vec![candidate(0, 10, 1), candidate(1, 20, 1), candidate(2, 30, 1)],
            &rules,
        );
        let verdicts: Vec<Verdict> = judged.into_iter().map(|(_, verdict)| verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Take, Verdict::LeftToCollector, Verdict::TooYoung]
        );
    }

    proptest! {
        /// Nothing that goes is younger than anything that could have gone and stays; without the last one taken
        /// it would not be enough.
        #[test]
        fn what_goes_is_older_than_what_stays(
            found in prop::collection::vec((0u64..50, 1u64..100), 0..30), needed in 0u64..2_000, grace in 0u64..50,
        ) {
            let rules = Rules {
                older_than: Duration::ZERO,
                collector_grace: Duration::from_secs(grace),
                needed_bytes: Some(needed),
            };
            let candidates: Vec<_> = found.iter().enumerate().map(|(i, (age, size))| candidate(i, *age, *size)).collect();
            let judged = judge(candidates, &rules);
            let of = |wanted: Verdict| judged.iter().filter(move |(_, verdict)| *verdict == wanted).map(|(c, _)| c);
            let youngest = of(Verdict::Take).map(|c| c.age).min();
            for stays in of(Verdict::NotNeeded) {
                prop_assert!(youngest.is_none_or(|youngest| stays.age <= youngest));
            }
            prop_assert!(youngest.is_none_or(|youngest| youngest >= Duration::from_secs(grace)));
            let bytes: u64 = of(Verdict::Take).map(|c| c.size_bytes).sum();
            let last = of(Verdict::Take).next_back().map_or(0, |c| c.size_bytes);
            prop_assert!(bytes == 0 || bytes - last < needed);
            prop_assert!(bytes >= needed || of(Verdict::NotNeeded).count() == 0);
        }
    }
}
