//! The query engine against an obvious model, over real slabs and made-up runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use rondo_collector::query::{
    LiveSlab, Plan, QueryError, Request, SeriesAnswer, StoredRuns, Tier, between, quantile,
};
use rondo_collector::store::{BucketCounts, Column, Layout, Run, Source, StoredSeries};
use rondo_reader::{PointValue, Slab};
use rondo_shm_layout::{Functions, SENTINEL, buckets};
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const INTERVALS: [u64; 3] = [1, 5, 20];
const SLOTS: u64 = 20;

/// One second of a machine.
#[derive(Debug, Clone)]
struct Second {
    load: Option<f64>,
    exits: u64,
    samples: Vec<f64>,
}

/// A machine's life, and what is retained of it.
#[derive(Debug, Clone)]
struct Life {
    start: u64,
    seconds: Vec<Second>,
    has_ended: bool,
    /// Whether the slab is still there.
    has_slab: bool,
    /// For each tier, which windows are retained, and where each is: stored or waiting.
    retained: [Vec<Place>; 3],
    /// Where runs are cut, in windows.
    run_rows: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Gone,
    Stored,
    Waiting,
}

fn life() -> impl Strategy<Value = Life> {
    let second = (
        prop::option::weighted(0.8, -100.0..100.0f64),
        prop_oneof![Just(0u64), 1..50u64],
        prop::collection::vec(0.0..5_000.0f64, 0..4),
    );
    let second = second.prop_map(|(load, exits, samples)| Second { load, exits, samples });
    let place = || {
        let ring = (0..200usize, 0..200usize).prop_map(|(oldest, waiting)| {
            (0..200)
                .map(|i| match i {
                    i if i < oldest.min(90) => Place::Gone,
                    i if i < waiting => Place::Stored,
                    _ => Place::Waiting,
                })
                .collect::<Vec<_>>()
        });
        let any = prop_oneof![1 => Just(Place::Gone), 3 => Just(Place::Stored), 1 => Just(Place::Waiting)];
        prop_oneof![ring, prop::collection::vec(any, 200)]
    };
    (
        100..140u64,
        prop::collection::vec(second, 1..90),
        any::<bool>(),
        any::<bool>(),
        [place(), place(), place()],
        1..9usize,
    )
        .prop_map(|(start, seconds, has_ended, has_slab, retained, run_rows)| Life {
            start,
            seconds,
            has_ended,
            has_slab: has_slab || !has_ended,
            retained,
            run_rows,
        })
}

/// What is known of a window.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    known: u32,
    words: [Option<u64>; 5],
    before: BucketCounts,
    after: BucketCounts,
}

const NAMES: [&str; 3] = ["load", "exits_total", "exit_ns"];

impl Life {
    fn end(&self) -> u64 {
        self.start + self.seconds.len() as u64
    }

    fn write(&self, bus: &std::path::Path) -> (Option<Writer>, Slab) {
        let tiers = INTERVALS.map(|i| TierConfig::new(Duration::from_secs(i), SLOTS));
        let mut writer = Writer::builder("vm-1")
            .bus(bus)
            .label("tenant", "blue")
            .schema(SchemaConfig::new("vmm").tiers(&tiers))
            .simulated_time(self.start * SECOND)
            .create()
            .unwrap();
        let mut load = writer.gauge(NAMES[0]).owned().unwrap();
        let mut exits = writer.counter(NAMES[1]).label("vcpu", "0").owned().unwrap();
        let mut time = writer.histogram(NAMES[2]).owned().unwrap();
        for (t, second) in (self.start..).zip(&self.seconds) {
            let t = t * SECOND;
            if let Some(value) = second.load {
                load.set_at(t, value);
            }
            if second.exits > 0 {
                exits.add_at(t, second.exits);
            }
            for &sample in &second.samples {
                time.record_at(t, sample);
            }
            writer.tick_at(t);
        }
        let path = writer.paths().next().unwrap().to_owned();
        let slab = Slab::open(path, &Default::default()).unwrap();
        let writer = if self.has_ended {
            writer.close();
            None
        } else {
            Some(writer)
        };
        (writer, slab)
    }

    /// Seconds of the machine's life in a window of a tier.
    fn in_window(&self, tier: usize, window: u64) -> Range<usize> {
        let index = |t: u64| (t.clamp(self.start, self.end()) - self.start) as usize;
        index(window * INTERVALS[tier])..index((window + 1) * INTERVALS[tier])
    }

    fn window(&self, series: usize, tier: usize, seconds: Range<usize>, precision: u8, count: u32) -> Window {
        let (before, these) = (&self.seconds[..seconds.start], &self.seconds[seconds.clone()]);
        let through = &self.seconds[..seconds.end];
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        let fold = |values: &[f64], pick: fn(f64, f64) -> f64| bits(values.iter().copied().reduce(pick));
        let counts = |seconds: &[Second]| {
            let mut counts = vec![0u64; count as usize];
            for sample in seconds.iter().flat_map(|second| &second.samples) {
                counts[buckets::index(*sample, precision, count)] += 1;
            }
            BucketCounts::from_dense(&counts)
        };
        let none = BucketCounts::default();
        match series {
            0 => {
                let values: Vec<f64> = these.iter().filter_map(|second| second.load).collect();
                let sum = Some(values.iter().sum::<f64>()).filter(|_| tier > 0 && !values.is_empty());
                let words = [
                    None,
                    bits(sum),
                    fold(&values, f64::min),
                    fold(&values, f64::max),
                    bits(values.last().copied()),
                ];
                Window {
                    known: values.len() as u32,
                    words,
                    before: none.clone(),
                    after: none,
                }
            }
            1 => {
                let total = through.iter().map(|second| second.exits).sum();
                Window {
                    known: these.len() as u32,
                    words: [Some(total), None, None, None, None],
                    before: none.clone(),
                    after: none,
                }
            }
            _ => {
                let samples = |seconds: &[Second]| {
                    seconds
                        .iter()
                        .flat_map(|second| second.samples.clone())
                        .collect::<Vec<f64>>()
                };
                let (all, mine) = (samples(through), samples(these));
                let words = [
                    Some(all.len() as u64),
                    bits(Some(all.iter().sum())),
                    fold(&mine, f64::min),
                    fold(&mine, f64::max),
                    bits(mine.last().copied()).filter(|_| tier == 0),
                ];
                Window {
                    known: these.len() as u32,
                    words,
                    before: counts(before),
                    after: counts(through),
                }
            }
        }
    }
}

/// A machine with its slab and runs.
struct Machine {
    slab: Option<Slab>,
    _writer: Option<Writer>,
    source: Arc<Source>,
    layouts: [Arc<Layout>; 3],
    stored: Vec<Run>,
    waiting: Vec<Run>,
    open: Vec<Run>,
    /// Of each series and tier, by second of its start.
    rows: [[BTreeMap<u64, Window>; 3]; 3],
}

/// The words that the layout keeps.
fn kept(layout: &Layout, series: usize, window: &Window) -> Vec<u64> {
    let at = |column: Column| Column::ALL.iter().position(|one| *one == column).unwrap();
    layout
        .columns(series)
        .iter()
        .map(|column| window.words[at(column)].unwrap_or(SENTINEL))
        .collect()
}

impl Machine {
    fn new(life: &Life, bus: &std::path::Path) -> Self {
        let (writer, slab) = life.write(bus);
        // Of a slab in simulated time nobody knows when it was made.
        let source = Arc::new(Source {
            created_ns: life.start * SECOND,
            interval_ns: 1_000_000_000,
            simulated_time: false,
            ..Source::from(&slab)
        });
        let series: Arc<[StoredSeries]> = slab.series().iter().map(StoredSeries::from).collect();
        let shape = series[2].buckets.unwrap();
        let functions = [Functions::default(), Functions(15), Functions::default()];
        let layouts: [Arc<Layout>; 3] = [0, 1, 2].map(|tier| {
            let interval = INTERVALS[tier] * SECOND;
            Arc::new(Layout::new(
                tier as u8,
                interval,
                functions[tier],
                &[],
                series.clone(),
            ))
        });
        let mut machine = Self {
            slab: None,
            _writer: writer,
            source,
            layouts,
            stored: Vec::new(),
            waiting: Vec::new(),
            open: Vec::new(),
            rows: Default::default(),
        };
        for tier in 0..3 {
            // Tier 0 is stored when the machine has ended.
            if tier > 0 || life.has_ended {
                machine.add_runs(life, tier, shape.precision, shape.count);
            }
        }
        // What the slab says of tier 0, where the store says nothing.
        if life.has_slab {
            let view = slab.view().unwrap();
            for (index, one) in slab.series().iter().enumerate() {
                for point in slab.range(one, &view, 0, u64::MAX).unwrap() {
                    let bits = |value: f64| Some(value.to_bits());
                    let words = match point.value {
                        PointValue::Gauge(value) => [None, None, None, None, bits(value)],
                        PointValue::Counter(total) => [Some(total), None, None, None, None],
                        PointValue::Distribution {
                            count,
                            sum,
                            min,
                            max,
                            last,
                        } => [
                            Some(count),
                            bits(sum),
                            min.and_then(bits),
                            max.and_then(bits),
                            last.and_then(bits),
                        ],
                        PointValue::Torn => unreachable!(),
                    };
                    let none = BucketCounts::default();
                    let window = Window {
                        known: 1,
                        words,
                        before: none.clone(),
                        after: none,
                    };
                    machine.rows[index][0].entry(point.t / SECOND).or_insert(window);
                }
            }
            machine.slab = Some(slab);
        }
        machine
    }

    fn add_runs(&mut self, life: &Life, tier: usize, precision: u8, count: u32) {
        let interval = INTERVALS[tier];
        let first = life.start / interval;
        let mut run: Option<(Place, Run)> = None;
        let mut runs = Vec::new();
        for (index, window) in (first..life.end().div_ceil(interval)).enumerate() {
            let is_open = (window + 1) * interval > life.end() && !life.has_ended;
            let place = if is_open {
                Place::Waiting
            } else {
                life.retained[tier][index]
            };
            if run
                .as_ref()
                .is_some_and(|(at, run)| *at != place || run.rows() >= life.run_rows)
                || is_open
            {
                runs.extend(run.take());
            }
            if place == Place::Gone {
                continue;
            }
            let layout = self.layouts[tier].clone();
            let (_, run) = run.get_or_insert_with(|| {
                (
                    place,
                    Run::new(self.source.clone(), layout.clone(), 0, window * interval * SECOND),
                )
            });
            let windows: Vec<Window> = (0..3)
                .map(|series| life.window(series, tier, life.in_window(tier, window), precision, count))
                .collect();
            let known: Vec<u32> = windows.iter().map(|window| window.known).collect();
            let words: Vec<u64> = windows
                .iter()
                .enumerate()
                .flat_map(|(series, window)| kept(&layout, series, window))
                .collect();
            run.push(&known, &words, [windows[2].after.clone()]);
            if life.has_ended && (window + 1) * interval >= life.end() {
                run.ended_ns = (life.end() - 1) * SECOND;
            }
            for (series, mut one) in windows.into_iter().enumerate().filter(|(_, one)| one.known > 0) {
                for (column, word) in Column::ALL.into_iter().zip(&mut one.words) {
                    *word = word.filter(|_| layout.columns(series).has(column));
                }
                self.rows[series][tier].insert(window * interval, one);
            }
            if is_open {
                self.open.push(run.clone());
            }
        }
        runs.extend(run.filter(|(_, run)| !self.open.contains(run)));
        for (place, run) in runs {
            match place {
                Place::Stored => self.stored.push(run),
                _ => self.waiting.push(run),
            }
        }
    }

    fn live(&self) -> Vec<LiveSlab<'_>> {
        vec![LiveSlab {
            source: self.source.clone(),
            slab: self.slab.as_ref().map(|slab| (slab, slab.view().unwrap())),
            runs: self.waiting.iter().map(Cow::Borrowed).collect(),
            open: self.open.clone(),
        }]
    }

    /// For one window of `tier`, by the rule: what the finer say, unless it knows of more itself.
    fn naive(&self, series: usize, tier: usize, window: u64, out: &mut BTreeMap<u64, usize>) -> u32 {
        let interval = INTERVALS[tier];
        let mut finer = BTreeMap::new();
        let known_finer = match tier {
            0 => 0,
            _ => {
                let parts = interval / INTERVALS[tier - 1];
                (window * parts..(window + 1) * parts)
                    .map(|part| self.naive(series, tier - 1, part, &mut finer))
                    .sum()
            }
        };
        let known = self.rows[series][tier]
            .get(&(window * interval))
            .map_or(0, |row| row.known);
        if known > known_finer {
            out.insert(window * interval, tier);
            known
        } else {
            out.append(&mut finer);
            known_finer
        }
    }
}

fn bits(value: Option<f64>) -> Option<u64> {
    value.map(f64::to_bits)
}

/// Compares an answer with the rows that should be in it, by second of their start.
fn check(
    answer: &SeriesAnswer,
    machine: &Machine,
    series: usize,
    expected: &BTreeMap<u64, usize>,
    life: &Life,
) {
    let found: Vec<(u64, usize)> = answer
        .points_by_part()
        .flat_map(|(part, points)| {
            points
                .iter()
                .map(|point| (point.t / SECOND, usize::from(part.tier)))
        })
        .collect();
    assert_eq!(
        found,
        expected.iter().map(|(t, tier)| (*t, *tier)).collect::<Vec<_>>()
    );
    for pair in answer.parts.windows(2) {
        assert!(pair[0].end_ns <= pair[1].start_ns, "{pair:?}");
    }
    for (part, point) in answer
        .points_by_part()
        .flat_map(|(part, points)| points.iter().map(move |p| (part, p)))
    {
        let (tier, t) = (usize::from(part.tier), point.t / SECOND);
        let rows = &machine.rows[series][tier];
        let (row, is) = (&rows[&t], point.row);
        let words = [is.total, bits(is.sum), bits(is.min), bits(is.max), bits(is.last)];
        assert_eq!((is.known, words), (row.known, row.words), "tier {tier} at {t}");
        assert_eq!(part.step_ns, INTERVALS[tier] * SECOND);
        assert_eq!(part.expected, Some(INTERVALS[tier] as u32));
        let end = t + INTERVALS[tier];
        assert_eq!(
            point.partial,
            !life.has_ended && end >= life.end() + u64::from(tier > 0),
            "at {t} of {life:?}"
        );
        let is_cut = tier > 0 && life.has_ended && end > life.end();
        assert_eq!(point.sealed_ns, is_cut.then_some((life.end() - 1) * SECOND));
        if series == 0 && tier == 1 {
            let sum = f64::from_bits(row.words[1].unwrap());
            assert_eq!(point.gauge(part), Some(sum / f64::from(row.known)));
        }
        // Quantiles follow from the row and the one before it, if both have buckets.
        if series == 2 {
            let shape = answer.series.buckets.unwrap();
            let has_base = t <= life.start
                || t.checked_sub(INTERVALS[tier])
                    .and_then(|t| rows.get(&t))
                    .is_some_and(|before| !before.after.as_bytes().is_empty() || before.words[0] == Some(0));
            let is_known = !row.after.as_bytes().is_empty() || (row.words[0] == Some(0));
            let median = (has_base && is_known).then(|| {
                quantile(
                    &between(&row.before, &row.after).unwrap(),
                    shape,
                    0.5,
                    is.min,
                    is.max,
                )
            });
            // A slab has no buckets of each second.
            if tier > 0 || !life.has_slab {
                assert_eq!(point.quantiles, [median.flatten()], "tier {tier} at {t}");
            }
        } else {
            assert!(point.quantiles.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, .. ProptestConfig::default() })]

    /// Every tier, and the join of all, over any range of any history.
    #[test]
    fn answers_are_those_of_the_model(life in life(), from in 90..240u64, length in 0..150u64, is_all: bool) {
        let bus = tempfile::tempdir().unwrap();
        let machine = Machine::new(&life, bus.path());
        let live = machine.live();
        let range = if is_all { 0..10_000 } else { from..from + length };
        for tier in [Tier::Auto, Tier::Number(0), Tier::Number(1), Tier::Number(2)] {
            let request = Request {
                range: i128::from(range.start * SECOND)..i128::from(range.end * SECOND),
                tier,
                quantiles: vec![0.5],
                ..Request::new("{}".parse().unwrap())
            };
            let plan = Plan::new(&live, machine.stored.as_slice(), request).unwrap();
            let answer = plan.answer();
            prop_assert!(answer.warnings.is_empty());
            let points: usize = answer.series.iter().map(|series| series.points.len()).sum();
            prop_assert!(points as u64 <= plan.points_max(), "{points} of at most {}", plan.points_max());
            for (index, name) in NAMES.iter().enumerate() {
                let mut expected = BTreeMap::new();
                match tier {
                    Tier::Auto => for window in 0..20 {
                        machine.naive(index, 2, window, &mut expected);
                    },
                    Tier::Number(tier) => {
                        let tier = usize::from(tier);
                        expected.extend(machine.rows[index][tier].keys().map(|&t| (t, tier)));
                    }
                }
                expected.retain(|&t, tier| t < range.end && t + INTERVALS[*tier] > range.start && !range.is_empty());
                match answer.series.iter().find(|series| series.series.name == *name) {
                    Some(series) => check(series, &machine, index, &expected, &life),
                    None => prop_assert!(expected.is_empty(), "{name} is missing: {expected:?}"),
                }
            }
        }
    }
}

fn a_life(seconds: u64) -> Life {
    Life {
        start: 100,
        seconds: (0..seconds)
            .map(|t| Second {
                load: Some(t as f64),
                exits: t,
                samples: vec![t as f64],
            })
            .collect(),
        has_ended: true,
        has_slab: false,
        retained: std::array::from_fn(|_| vec![Place::Stored; 200]),
        run_rows: 50,
    }
}

fn stored(runs: &[Run], selector: &str) -> Vec<SeriesAnswer> {
    let request = Request::new(selector.parse().unwrap());
    Plan::new(&[], runs, request).unwrap().answer().series
}

/// A second run of the machine is not the first one's continuation.
#[test]
fn two_incarnations_stay_two_series() {
    let buses = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let machines = [a_life(45), a_life(30)].map(|life| {
        (
            Machine::new(&life, buses[usize::from(life.seconds.len() == 30)].path()),
            life,
        )
    });
    let runs: Vec<Run> = machines
        .iter()
        .flat_map(|(machine, _)| machine.stored.clone())
        .collect();
    let found = stored(&runs, "load{instance=\"vm-1\"}");
    assert_eq!(
        found
            .iter()
            .map(|series| series.points.len())
            .collect::<HashSet<_>>(),
        HashSet::from([45, 30])
    );
    let incarnations: HashSet<_> = found.iter().map(|series| series.source.incarnation).collect();
    assert_eq!(incarnations.len(), 2);
    // And one of them can be asked for.
    let hex: String = found[0]
        .source
        .incarnation
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(stored(&runs, &format!("load{{incarnation=\"{hex}\"}}")).len(), 1);
}

#[test]
fn selectors_see_the_machine_and_a_series_own_label_comes_first() {
    let bus = tempfile::tempdir().unwrap();
    let machine = Machine::new(&a_life(20), bus.path());
    let mut runs = machine.stored.clone();
    let count = |runs: &[Run], selector: &str| stored(runs, selector).len();
    for (selector, matches) in [
        ("{}", 3),
        ("{tenant=\"blue\"}", 3),
        ("{tenant!=\"blue\"}", 0),
        ("{instance=~\"vm-.*\",schema=\"vmm\",vcpu=\"0\"}", 1),
        ("{schema!=\"vmm\"}", 0),
        ("load{instance=\"vm-2\"}", 0),
        ("{incarnation=\"00\"}", 0),
        ("{__name__=~\"exit.*\"}", 2),
    ] {
        assert_eq!(count(&runs, selector), matches, "{selector}");
    }
    for run in &mut runs {
        let labels = vec![("vcpu".to_owned(), "all".to_owned())];
        run.source = Arc::new(Source {
            labels,
            ..(*run.source).clone()
        });
    }
    assert_eq!(count(&runs, "{vcpu=\"all\"}"), 2);
    assert_eq!(count(&runs, "{vcpu=\"0\"}"), 1);
}

/// The clock was set between two runs: all are shown by the newest offset, in one piece.
#[test]
fn a_clock_step_leaves_no_seam() {
    let bus = tempfile::tempdir().unwrap();
    let mut life = a_life(40);
    life.run_rows = 10;
    let machine = Machine::new(&life, bus.path());
    let mut runs: Vec<Run> = machine
        .stored
        .iter()
        .filter(|run| run.layout.tier() == 0)
        .cloned()
        .collect();
    let step = 600 * SECOND;
    runs[3].clock_offset_ns = step.cast_signed();
    let request = |range| Request {
        range,
        ..Request::new("load".parse().unwrap())
    };
    let wall = |t: u64| i128::from(t * SECOND + step);
    let found = Plan::new(&[], runs.as_slice(), request(wall(105)..wall(135)))
        .unwrap()
        .answer()
        .series;
    let times: Vec<i128> = found[0]
        .points
        .iter()
        .map(|point| found[0].wall_ns(point.t))
        .collect();
    assert_eq!(times, (105..135).map(wall).collect::<Vec<_>>());
}

/// A series that was registered later starts from zero, a series whose past was overwritten does not.
#[test]
fn quantiles_of_a_first_row_start_from_zero_only_if_it_is_the_first() {
    let bus = tempfile::tempdir().unwrap();
    let machine = Machine::new(&a_life(40), bus.path());
    let all: Vec<Run> = machine
        .stored
        .iter()
        .filter(|run| run.layout.tier() == 1)
        .cloned()
        .collect();
    let cut = |run: &Run, rows: Range<usize>, series: usize| {
        let of = &run.layout;
        let layout = Layout::new(
            1,
            of.interval_ns(),
            of.functions(),
            &[],
            of.series()[..series].into(),
        );
        let mut part = Run::new(run.source.clone(), Arc::new(layout), 0, run.row_ns(rows.start));
        for row in rows {
            let words = row * of.width()..row * of.width() + of.words(series - 1).end;
            let buckets = run.buckets(row, 2).filter(|_| series == 3).cloned();
            part.push(&run.known[row * 3..row * 3 + series], &run.words[words], buckets);
        }
        part
    };
    let medians = |runs: &[Run]| {
        let request = Request {
            quantiles: vec![0.5],
            tier: Tier::Number(1),
            ..Request::new("exit_ns".parse().unwrap())
        };
        let series = Plan::new(&[], runs, request).unwrap().answer().series;
        series[0]
            .points
            .iter()
            .map(|point| point.quantiles[0].is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(medians(&all), [true; 8]);
    assert_eq!(medians(&[cut(&all[0], 2..5, 3)]), [false, true, true]);
    assert_eq!(
        medians(&[cut(&all[0], 0..2, 2), cut(&all[0], 2..5, 3)]),
        [true; 3]
    );
    assert_eq!(
        medians(&[cut(&all[0], 1..3, 3), cut(&all[0], 4..5, 3)]),
        [false, true, false]
    );
}

#[test]
fn too_much_is_refused_before_it_is_read_and_the_error_says_what_to_narrow() {
    /// An archive that must not be asked for rows.
    struct HeadsOnly<'r>(&'r [Run]);
    impl StoredRuns for HeadsOnly<'_> {
        type Key = usize;
        type Error = String;
        fn find(
            &self,
            filter: &rondo_collector::query::RunFilter<'_>,
            visit: &mut dyn FnMut(rondo_collector::query::RunHead, usize) -> std::ops::ControlFlow<()>,
        ) -> Result<(), String> {
            self.0.find(filter, visit).map_err(|error| match error {})
        }
        fn read_series(&self, _: &usize, _: usize) -> Result<rondo_collector::query::SeriesRows, String> {
            Err("it is damaged".into())
        }
    }
    let bus = tempfile::tempdir().unwrap();
    let machine = Machine::new(&a_life(45), bus.path());
    let store = HeadsOnly(&machine.stored);
    let mut request = Request::new("{}".parse().unwrap());
    // 45 seconds of each series, and a sealed window of 20 s that goes beyond them.
    request.limits.points_max = 137;
    let error = Plan::new(&[], &store, request.clone()).err().unwrap();
    assert_eq!(
        error,
        QueryError::TooManyPoints {
            points: 138,
            series: 3,
            points_max: 137
        }
    );
    assert!(error.to_string().contains("shorter range"), "{error}");
    request.limits.series_max = 2;
    let error = Plan::new(&[], &store, request.clone()).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("more than 2 series match; add matchers"),
        "{error}"
    );
    // What is damaged is left out, and said once.
    request.limits = Default::default();
    let answer = Plan::new(&[], &store, request).unwrap().answer();
    assert_eq!(
        answer.warnings,
        ["stored rows of vm-1 cannot be read: it is damaged"]
    );
    assert_eq!(answer.series.len(), 3);
}

/// A slab that was cut short takes nothing from what is stored.
#[test]
fn a_lost_slab_is_a_warning() {
    let bus = tempfile::tempdir().unwrap();
    let mut life = a_life(45);
    (life.has_slab, life.has_ended) = (true, false);
    let mut machine = Machine::new(&life, bus.path());
    // A copy, as the writer's own mapping must stay whole.
    let copy = bus.path().join("copy.slab");
    std::fs::write(
        &copy,
        std::fs::read(machine.slab.as_ref().unwrap().path()).unwrap(),
    )
    .unwrap();
    machine.slab = Some(Slab::open(&copy, &Default::default()).unwrap());
    let live = machine.live();
    let request = Request::new("load".parse().unwrap());
    let plan = Plan::new(&live, machine.stored.as_slice(), request).unwrap();
    let file = std::fs::File::options().write(true).open(&copy).unwrap();
    file.set_len(0).unwrap();
    let answer = plan.answer();
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
    let known: u32 = answer.series[0].points.iter().map(|point| point.row.known).sum();
    assert_eq!(known, 45);
}
