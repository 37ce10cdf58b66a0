//! Figures of many machines of one life, for each side that looked at them.

use super::machine::Machine;
use super::scraped::Job;
use crate::figures::quantile;
use serde::Serialize;

/// What a side knows of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Captured {
    /// Values of a gauge that the machine records each second.
    pub points: u64,
    /// By how much a counter went up in the machine's life; none if there is no answer.
    pub increase: Option<f64>,
    /// The newest total of that counter.
    pub last: Option<f64>,
    /// From the start of the machine's process to the first value, where that is known.
    pub seen_after_s: Option<f64>,
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The collector, and its store afterwards.
    Rondo,
    /// Prometheus.
    Prometheus(Job),
}

impl Side {
    /// All, in the order of tables and of [`Life::captured`].
    pub fn all() -> Vec<Self> {
        let jobs = Job::ALL.into_iter().map(Self::Prometheus);
        std::iter::once(Self::Rondo).chain(jobs).collect()
    }

    /// What tables say.
    pub fn title(self) -> String {
        match self {
            Self::Rondo => "rondo, 1 s".to_owned(),
            Self::Prometheus(job) => job.title(),
        }
    }
}

/// A machine, and what each side knows of it.
#[derive(Debug, Clone, Serialize)]
pub struct Life {
    /// The truth.
    pub machine: Machine,
    /// By side.
    pub captured: Vec<Captured>,
}

/// What a side knows of all machines that lived for as long.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// How long they were told to live.
    pub life_s: u64,
    /// Who looked.
    pub side: Side,
    /// How many there were.
    pub machines: usize,
    /// Seconds that they recorded, on average.
    pub recorded_mean: f64,
    /// Seconds in between in which they did not tick, on average.
    pub missed_mean: f64,
    /// Points of a machine: mean, and deciles 1, 5 and 9.
    pub points_mean: f64,
    /// One machine in ten has no more.
    pub points_p10: f64,
    /// The median.
    pub points_p50: f64,
    /// One machine in ten has no less.
    pub points_p90: f64,
    /// Points of all machines, as a part of those that there are: of rondo the seconds in which they recorded, of scrapes one for each
    /// whole second of their lives. (A life of 45 s has a part in 46 seconds of the clock; no scrape each second can have a point of all.)
    pub points_share: f64,
    /// Machines of which every second is there.
    pub complete: f64,
    /// Machines of which the answer for the counter's increase is right, to half a count.
    pub increase_exact: f64,
    /// Machines of which it is right to a twentieth.
    pub increase_within_5_percent: f64,
    /// The answer as a part of what is true, the mean of all machines; no answer is 0, one that is too high is above 1.
    pub increase_mean: f64,
    /// The same of the newest total.
    pub last_mean: f64,
    /// Machines of which nothing is there.
    pub never_seen: usize,
    /// The median time until a machine that is seen at all is.
    pub seen_after_p50_s: Option<f64>,
}

/// Rows by life, and by side within it.
pub fn rows(lives: &[Life]) -> Vec<Row> {
    let mut lengths: Vec<u64> = lives.iter().map(|life| life.machine.life_s).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let sides = Side::all();
    let each = lengths.into_iter().flat_map(|life_s| {
        let of_it: Vec<&Life> = lives
            .iter()
            .filter(|life| life.machine.life_s == life_s)
            .collect();
        let sides = sides.iter().enumerate();
        sides
            .map(|(index, &side)| {
                let pairs = of_it
                    .iter()
                    .filter_map(|life| Some((&life.machine, *life.captured.get(index)?)));
                row(life_s, side, &pairs.collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
    });
    each.collect()
}

fn row(life_s: u64, side: Side, machines: &[(&Machine, Captured)]) -> Row {
    let count = machines.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Machine, &Captured) -> f64| {
        machines
            .iter()
            .map(|(machine, captured)| of(machine, captured))
            .sum::<f64>()
            / count
    };
    let share = |is: &dyn Fn(&Machine, &Captured) -> bool| {
        mean(&|machine, captured| f64::from(u8::from(is(machine, captured))))
    };
    let part = |answer: Option<f64>, machine: &Machine| answer.unwrap_or(0.0) / machine.exits as f64;
    let error = |machine: &Machine, captured: &Captured| {
        (captured.increase.unwrap_or(0.0) - machine.exits as f64).abs()
    };
    let mut points: Vec<f64> = machines
        .iter()
        .map(|(_, captured)| captured.points as f64)
        .collect();
    points.sort_by(f64::total_cmp);
    let mut seen_after: Vec<f64> = machines
        .iter()
        .filter_map(|(_, captured)| captured.seen_after_s)
        .collect();
    seen_after.sort_by(f64::total_cmp);
    let recorded_mean = mean(&|machine, _| machine.ticks.len() as f64);
    let lived_mean = mean(&|machine, _| machine.lived_s());
    let points_mean = mean(&|_, captured| captured.points as f64);
    let possible_mean = match side {
        Side::Rondo => recorded_mean,
        Side::Prometheus(_) => lived_mean,
    };
    Row {
        life_s,
        side,
        machines: machines.len(),
        recorded_mean,
        missed_mean: mean(&|machine, _| machine.missed_ticks as f64),
        points_mean,
        points_p10: quantile(&points, 0.1),
        points_p50: quantile(&points, 0.5),
        points_p90: quantile(&points, 0.9),
        points_share: points_mean / possible_mean,
        complete: share(&|machine, captured| captured.points >= machine.ticks.len() as u64),
        increase_exact: share(&|machine, captured| error(machine, captured) < 0.5),
        increase_within_5_percent: share(&|machine, captured| {
            error(machine, captured) <= machine.exits as f64 / 20.0
        }),
        increase_mean: mean(&|machine, captured| part(captured.increase, machine)),
        last_mean: mean(&|machine, captured| part(captured.last, machine)),
        never_seen: machines
            .iter()
            .filter(|(_, captured)| captured.points == 0)
            .count(),
        seen_after_p50_s: (!seen_after.is_empty()).then(|| quantile(&seen_after, 0.5)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(ticks: u64, exits: u64) -> Machine {
        Machine {
            instance: "vm-1".to_owned(),
            life_s: 45,
            born_ms: 0,
            ended_ms: 45_000,
            ticks: (0..ticks).collect(),
            missed_ticks: 0,
            exits,
            guest_exits: None,
        }
    }

    fn captured(points: u64, increase: Option<f64>, last: Option<f64>) -> Captured {
        Captured {
            points,
            increase,
            last,
            seen_after_s: (points > 0).then_some(points as f64),
        }
    }

    #[test]
    fn a_row_counts_what_is_missing_and_what_was_never_seen() {
        let machine = machine(46, 1_000);
        let all = [
            (&machine, captured(46, Some(1_000.2), Some(1_000.0))),
            (&machine, captured(3, Some(960.0), Some(900.0))),
            (&machine, captured(1, None, Some(500.0))),
            (&machine, captured(0, None, None)),
        ];
        let scraped = row(45, Side::Prometheus(Job::ALL[0]), &all);
        let row = row(45, Side::Rondo, &all);
        assert_eq!((row.machines, row.never_seen), (4, 1));
        assert_eq!((row.points_mean, row.recorded_mean), (12.5, 46.0));
        assert_eq!(
            (row.points_share, scraped.points_share),
            (12.5 / 46.0, 12.5 / 45.0)
        );
        assert_eq!(
            (row.complete, row.increase_exact, row.increase_within_5_percent),
            (0.25, 0.25, 0.5)
        );
        assert!((row.increase_mean - 0.49005).abs() < 1e-9, "{row:?}");
        assert_eq!(row.last_mean, 0.6);
        assert_eq!(row.seen_after_p50_s, Some(3.0));
    }

    /// An answer that is too high is as wrong as one that is too low.
    #[test]
    fn an_increase_above_the_truth_is_not_exact() {
        let machine = machine(45, 1_000);
        let row = row(
            45,
            Side::Rondo,
            &[(&machine, captured(45, Some(1_100.0), Some(1_000.0)))],
        );
        assert_eq!((row.increase_exact, row.increase_within_5_percent), (0.0, 0.0));
        assert_eq!(row.increase_mean, 1.1);
    }

    #[test]
    fn there_is_a_row_for_each_life_and_side() {
        let life = |life_s| Life {
            machine: Machine {
                life_s,
                ..machine(5, 10)
            },
            captured: vec![captured(5, Some(10.0), Some(10.0)); 7],
        };
        let rows = rows(&[life(45), life(5), life(5)]);
        let counts: Vec<_> = rows.iter().map(|row| (row.life_s, row.machines)).collect();
        assert_eq!(counts, [[(5, 2); 7], [(45, 1); 7]].concat());
        assert_eq!(rows[0].side, Side::Rondo);
    }
}
