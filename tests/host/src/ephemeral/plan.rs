//! Which machine starts when: by chance, but the same chance each time.

use rondo_collector::commands::bench::synthetic::Dice;
use std::time::Duration;

/// How long before its start a machine is announced to whoever may know it in advance. Prometheus takes up to ten seconds to act on a
/// change of its targets.
pub const ANNOUNCED_BEFORE: Duration = Duration::from_secs(15);

/// A machine to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// Its name.
    pub instance: String,
    /// How long it lives.
    pub life_s: u64,
    /// When it starts, after the run did.
    pub at: Duration,
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say that a machine will start.
    Announce(Birth),
    /// Start it.
    Start(Birth),
}

/// `machines` of each of the `lives`, of which so many are alive at once on average, in the order in which they start. Any time is as likely as any other.
pub fn births(lives: &[u64], machines: u64, at_once: u64, seed: u64) -> Vec<Birth> {
    let mut dice = Dice(seed);
    let all_s = machines * lives.iter().sum::<u64>();
    let starts_s = all_s as f64 / at_once.max(1) as f64;
    let born = |(index, life_s): (usize, u64)| Birth {
        instance: format!("vm-{life_s}s-{index:04}"),
        life_s,
        at: ANNOUNCED_BEFORE + Duration::from_secs_f64(starts_s * dice.share()),
    };
    let lives = lives
        .iter()
        .flat_map(|&life_s| (0..machines).map(move |_| life_s));
    let mut births: Vec<Birth> = lives.enumerate().map(born).collect();
    births.sort_by_key(|birth| birth.at);
    births
}

/// All steps, by time.
pub fn steps(births: &[Birth]) -> Vec<(Duration, Step)> {
    let each = births.iter().flat_map(|birth| {
        let announced = birth.at.saturating_sub(ANNOUNCED_BEFORE);
        [
            (announced, Step::Announce(birth.clone())),
            (birth.at, Step::Start(birth.clone())),
        ]
    });
    let mut steps: Vec<_> = each.collect();
    steps.sort_by_key(|(at, _)| *at);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_is_lived_as_often_and_starts_anywhere() {
        let births = births(&[5, 45], 200, 36, 1);
        for life_s in [5, 45] {
            let of_it: Vec<_> = births.iter().filter(|birth| birth.life_s == life_s).collect();
            assert_eq!(of_it.len(), 200);
            // 200 machines of 50 s together, 36 at once: 277.8 s of starts, a quarter of them in each quarter.
            for quarter in 0..4 {
                let range_s = 15.0 + f64::from(quarter) * 69.45..15.0 + f64::from(quarter + 1) * 69.45;
                let starts = of_it
                    .iter()
                    .filter(|birth| range_s.contains(&birth.at.as_secs_f64()));
                assert!((30..70).contains(&starts.count()));
            }
        }
        let mut names: Vec<_> = births.iter().map(|birth| &birth.instance).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 400);
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        assert_eq!(births(&[5], 10, 2, 7), births(&[5], 10, 2, 7));
        assert_ne!(births(&[5], 10, 2, 7), births(&[5], 10, 2, 8));
    }

    #[test]
    fn every_machine_is_announced_long_enough_before_it_starts() {
        let steps = steps(&births(&[5, 10], 20, 4, 1));
        assert_eq!(steps.len(), 80);
        assert!(steps.is_sorted_by_key(|(at, _)| *at));
        for (at, step) in &steps {
            if let Step::Start(birth) = step {
                let announced = (*at - ANNOUNCED_BEFORE, Step::Announce(birth.clone()));
                assert!(steps.contains(&announced));
            }
        }
    }
}
