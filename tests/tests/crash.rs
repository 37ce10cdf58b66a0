//! SIGKILL at any moment: what a killed writer leaves behind, and how the next one goes on.
//!
//! A child writes rows (see `rondo_tests::rows`) into a slab and is killed 0 to 3 ms later; what it
//! left is checked to the value; in three of four runs another child reopens it, and so on. `RONDO_SOAK` and
//! `RONDO_SEED` as in `rondo_tests::random`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_reader::{Limits, Point, PointValue, Rule, Slab, audit};
use rondo_tests::random::{Random, seed, soak};
use rondo_tests::rows::{INTERVAL_NS, ROUNDS, SERIES, counter, gauge, sample, sum};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const KILLS: u64 = 1_000;
const WORKERS: u64 = 2;
const LIVES_MAX: usize = 4;

/// Count and sum of a distribution.
type Totals = (u64, f64);

/// What one writer did to a slab between its start and its end.
#[derive(Clone, Copy)]
struct Life {
    first_row: u64,
    /// Which sample its first was.
    first_sample: u64,
}

impl Life {
    /// Which sample is the first of row `n`.
    fn sample_of(&self, n: u64) -> u64 {
        self.first_sample + (n - self.first_row) * ROUNDS
    }

    /// Count and sum of all its samples before round `round` of row `n`.
    fn gain(&self, n: u64, round: u64) -> Totals {
        let end = self.sample_of(n) + round;
        (end - self.first_sample, sum(end) - sum(self.first_sample))
    }
}

/// A slab and its writers so far.
struct Subject {
    slab: PathBuf,
    lives: Vec<Life>,
    /// The row in which each of them died.
    last_rows: Vec<u64>,
    /// Least and greatest totals that the distribution and the histogram can go on from.
    totals: [(Totals, Totals); 2],
    /// The totals of the last row that was whole.
    whole: [Totals; 2],
}

/// What the kills hit, to be sure that they hit something.
#[derive(Debug, Default)]
struct Tally {
    reopened: u64,
    before_the_first_row: u64,
    between_two_writes: u64,
    torn_points: u64,
    torn_distributions: u64,
    whole_rows: u64,
}

/// How far a series is in the row that was being written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Progress {
    Rounds(u64),
    Torn,
}

fn plus(a: Totals, b: Totals) -> Totals {
    (a.0 + b.0, a.1 + b.1)
}

fn minus(a: Totals, b: Totals) -> Totals {
    (a.0 - b.0, a.1 - b.1)
}

impl Subject {
    fn new(slab: PathBuf) -> Self {
        let none = (0, 0.0);
        let first = Life {
            first_row: 1,
            first_sample: 0,
        };
        Self {
            slab,
            lives: vec![first],
            last_rows: Vec::new(),
            totals: [(none, none); 2],
            whole: [none; 2],
        }
    }

    /// Checks what the last life left behind, and says where the next one starts.
    fn check(&mut self, tally: &mut Tally) -> Life {
        let mut findings = audit(&self.slab, &Limits::default(), true).unwrap().findings;
        // The buckets are ahead by what is in a torn slot; how far they may be is checked below.
        findings.retain(|finding| finding.rule != Rule::Histogram);
        assert!(findings.is_empty(), "{findings:?}");
        let slab = Slab::open(&self.slab, &Limits::default()).unwrap();
        let view = slab.view().unwrap();
        let life = *self.lives.last().unwrap();
        // Nothing was written if it died before its first row.
        let cursor_row = view.cursor_ns / INTERVAL_NS;
        let wrote = cursor_row >= life.first_row && slab.series().len() == SERIES.len();
        if wrote {
            let (first, last) = view.window().unwrap();
            let columns: Vec<Vec<Point>> = slab
                .series()
                .iter()
                .map(|series| slab.range(series, &view, first, last).unwrap())
                .collect();
            assert!(
                slab.series().iter().map(|series| series.name.as_str()).eq(SERIES),
                "in this order"
            );
            self.check_whole_rows(&columns, first / INTERVAL_NS, cursor_row);
            let progress = self.check_last_row(&columns, cursor_row);
            tally.whole_rows += cursor_row - first / INTERVAL_NS;
            match progress.iter().position(|&progress| progress == Progress::Torn) {
                None => tally.between_two_writes += 1,
                Some(0 | 1) => tally.torn_points += 1,
                Some(_) => tally.torn_distributions += 1,
            }
            let buckets = slab.buckets(&slab.series()[3], &view).unwrap().unwrap();
            let (least, greatest) = self.totals[1];
            assert!(
                (least.0..=greatest.0).contains(&buckets.counts.iter().sum()),
                "{buckets:?}"
            );
        } else {
            tally.before_the_first_row += 1;
            // Whoever reopened it may have emptied the torn slots already.
            for (totals, whole) in self.totals.iter_mut().zip(self.whole) {
                totals.0 = whole;
            }
        }
        self.last_rows.push(cursor_row);
        let first_sample = if wrote {
            life.sample_of(cursor_row + 1)
        } else {
            life.first_sample
        };
        Life {
            first_row: (cursor_row + 1).max(life.first_row),
            first_sample,
        }
    }

    /// Every row of the window but the newest, and those in which earlier lives died, is there to
    /// the last sample.
    fn check_whole_rows(&mut self, columns: &[Vec<Point>], first: u64, cursor_row: u64) {
        for n in first..cursor_row {
            let at = |column: usize| {
                let point = columns[column].iter().find(|point| point.t == n * INTERVAL_NS);
                point.filter(|point| !point.filled).map(|point| point.value)
            };
            let life = self.lives.iter().rev().find(|life| life.first_row <= n).unwrap();
            if self.last_rows.contains(&n) {
                for column in 0..SERIES.len() {
                    assert_ne!(
                        at(column),
                        Some(PointValue::Torn),
                        "row {n} after it was reopened"
                    );
                }
                continue;
            }
            assert_eq!(
                at(0),
                Some(PointValue::Gauge(gauge(n, ROUNDS - 1))),
                "gauge of row {n}"
            );
            assert_eq!(
                at(1),
                Some(PointValue::Counter(counter(n, ROUNDS - 1))),
                "counter of row {n}"
            );
            for which in 0..2 {
                let Some(PointValue::Distribution {
                    count,
                    sum,
                    min,
                    max,
                    last,
                }) = at(2 + which)
                else {
                    panic!("row {n}: {:?}", at(2 + which));
                };
                let of_row: Vec<f64> = (0..ROUNDS)
                    .map(|round| sample(life.sample_of(n) + round))
                    .collect();
                let least = of_row.iter().copied().fold(f64::INFINITY, f64::min);
                let greatest = of_row.iter().copied().fold(0.0, f64::max);
                let newest = of_row.last().copied();
                assert_eq!((min, max, last), (Some(least), Some(greatest), newest), "row {n}");
                // What the life of this row went on from.
                let before = minus((count, sum), life.gain(n, ROUNDS));
                if life.first_row == self.lives.last().unwrap().first_row {
                    let (least, greatest) = self.totals[which];
                    let is_possible = (least.0..=greatest.0).contains(&before.0)
                        && (least.1..=greatest.1).contains(&before.1);
                    assert!(
                        is_possible,
                        "row {n}: went on from {before:?}, not {least:?} to {greatest:?}"
                    );
                    self.totals[which] = (before, before);
                }
            }
        }
    }

    /// In the newest row, each series is as far as the order of writing allows, and if one is torn,
    /// it is the one whose turn it was.
    fn check_last_row(&mut self, columns: &[Vec<Point>], n: u64) -> Vec<Progress> {
        let life = *self.lives.last().unwrap();
        let first_sample = life.sample_of(n);
        let rounds_done = |value: PointValue| match value {
            PointValue::Torn => Progress::Torn,
            value => {
                let is_last = |round: &u64| match value {
                    PointValue::Gauge(value) => value == gauge(n, *round),
                    PointValue::Counter(value) => value == counter(n, *round),
                    PointValue::Distribution { last, .. } => last == Some(sample(first_sample + round)),
                    PointValue::Torn => false,
                };
                let round = (0..ROUNDS).find(is_last);
                Progress::Rounds(1 + round.unwrap_or_else(|| panic!("row {n} cannot have {value:?}")))
            }
        };
        let progress: Vec<Progress> = columns
            .iter()
            .map(|column| {
                match column
                    .last()
                    .filter(|point| point.t == n * INTERVAL_NS && !point.filled)
                {
                    // The zero that registering a counter writes.
                    Some(Point {
                        value: PointValue::Counter(0),
                        ..
                    })
                    | None => Progress::Rounds(0),
                    Some(point) => rounds_done(point.value),
                }
            })
            .collect();
        // The one whose turn it was has done as many rounds as those after it, or is torn.
        let behind = match progress[SERIES.len() - 1] {
            Progress::Rounds(rounds) => rounds,
            Progress::Torn => match progress[0] {
                Progress::Rounds(rounds) => rounds - 1,
                Progress::Torn => panic!("row {n}: {progress:?}"),
            },
        };
        let is_possible = (0..=SERIES.len()).any(|turn| {
            progress.iter().enumerate().all(|(i, &progress)| match progress {
                Progress::Rounds(rounds) => rounds == behind + u64::from(i < turn),
                // Points are torn only while they move to another interval.
                Progress::Torn => i == turn && (behind == 0 || i >= 2),
            })
        });
        assert!(is_possible, "row {n}: {progress:?}");
        for which in 0..2 {
            let (least, greatest) = self.totals[which];
            let greatest = plus(greatest, life.gain(n, (behind + 1).min(ROUNDS)));
            if n > life.first_row {
                self.whole[which] = plus(least, life.gain(n, 0));
            }
            // Whoever reopened it may have emptied a torn slot and died before it wrote another.
            let has_begun = n > life.first_row || matches!(progress[2 + which], Progress::Rounds(1..));
            let least = if has_begun {
                plus(least, life.gain(n, behind))
            } else {
                self.whole[which]
            };
            if let (Progress::Rounds(1..), Some(point)) = (progress[2 + which], columns[2 + which].last()) {
                let PointValue::Distribution { count, sum, .. } = point.value else {
                    panic!("{point:?}")
                };
                assert!((least.0..=greatest.0).contains(&count), "row {n}: {count}");
                assert!((least.1..=greatest.1).contains(&sum), "row {n}: {sum}");
            }
            self.totals[which] = (least, greatest);
        }
        progress
    }
}

/// Runs a writer and kills it after `delay`, which begins with its first row or, if `from_start`, with
/// its process.
fn run_and_kill(arguments: &[&str], delay: Duration, from_start: bool) {
    let mut writer = Command::new(env!("CARGO_BIN_EXE_crash_writer"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    if !from_start {
        let mut line = String::new();
        BufReader::new(writer.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "writing\n", "the writer cannot start: {arguments:?}");
    }
    thread::sleep(delay);
    assert_eq!(
        writer.try_wait().unwrap(),
        None,
        "the writer ended by itself: {arguments:?}"
    );
    writer.kill().unwrap();
    writer.wait().unwrap();
}

/// The slab on the bus, if its writer lived long enough to put one there.
fn slab_in(directory: &Path) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files.find(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'))
}

fn kill_many(mut random: Random, kills: u64) -> Tally {
    let mut tally = Tally::default();
    let (mut directory, mut subject) = (tempfile::tempdir().unwrap(), None::<Subject>);
    for _ in 0..kills {
        let (delay, from_start) = (Duration::from_micros(random.below(3_000)), random.below(8) == 0);
        if subject
            .as_ref()
            .is_some_and(|subject| subject.lives.len() > LIVES_MAX || random.below(4) == 0)
        {
            (directory, subject) = (tempfile::tempdir().unwrap(), None);
        }
        if let Some(subject) = &subject {
            let life = subject.lives.last().unwrap();
            let (slab, row) = (subject.slab.to_str().unwrap(), life.first_row.to_string());
            run_and_kill(&[slab, &row, &life.first_sample.to_string()], delay, from_start);
            tally.reopened += 1;
        } else {
            run_and_kill(&[directory.path().to_str().unwrap()], delay, from_start);
            subject = slab_in(directory.path()).map(Subject::new);
        }
        if let Some(subject) = &mut subject {
            let next = subject.check(&mut tally);
            subject.lives.push(next);
        }
    }
    tally
}

/// Nothing but the one value in flight is lost when a machine is killed, and what is lost is known
/// to be: the promise that lets a host keep metrics of machines that crash.
#[test]
fn a_killed_writer_loses_nothing_but_the_value_in_flight() {
    let (kills, seed) = (KILLS * soak(), seed());
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let start =
            |worker: u64| scope.spawn(move || kill_many(Random::of(seed ^ (worker << 32)), kills / WORKERS));
        let workers: Vec<_> = (0..WORKERS).map(start).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    println!("{tallies:#?}");
    let all = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum::<u64>();
    assert!(all(|tally| tally.reopened) > kills / 4);
    assert!(all(|tally| tally.torn_distributions) > 0 && all(|tally| tally.between_two_writes) > 0);
}
