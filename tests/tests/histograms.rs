//! Quantiles of what machines measured, from buckets that a store kept, against the samples themselves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Selector;
use rondo_collector::collector::Collector;
use rondo_collector::query::{Plan, Point, Request, Tier};
use rondo_shm_layout::buckets;
use rondo_tests::simulation::{GUIDE, Host, S, START, pass, schema};
use rondo_writer::{SeriesHandle, Writer};
use std::ops::Range;

const QUANTILES: [f64; 6] = [0.0, 0.1, 0.5, 0.9, 0.99, 1.0];

/// Twenty of any size in a second, and in every eleventh none.
fn samples(second: u64) -> Vec<f64> {
    let of = |k: u64| (second * 7_919 + k * 104_729) % 10_007 * (1 + second % 50);
    let count = if second % 11 == 5 { 0 } else { 20 };
    (0..count).map(|k| of(k) as f64 / 8.0).collect()
}

struct Machine {
    writer: Writer,
    histogram: SeriesHandle,
    clock: SeriesHandle,
}

impl Machine {
    fn start(host: &Host) -> Self {
        let mut writer = host.machine("vm", schema(&GUIDE));
        Self {
            histogram: writer.histogram("exit_ns").held().unwrap(),
            clock: writer.gauge("clock").held().unwrap(),
            writer,
        }
    }

    fn live(&mut self, second: u64) {
        let now = START + second * S;
        for sample in samples(second) {
            self.writer.record(self.histogram, sample, now);
        }
        self.writer.tick_at(now);
        // The next second begins: a collector comes just after the end of an interval.
        self.writer.record(self.clock, 0.0, now + S);
    }

    fn live_and_pass(&mut self, seconds: Range<u64>, host: &Host, collector: &mut Collector) {
        for second in seconds {
            self.live(second);
            pass(collector, host.at(second));
        }
    }
}

fn points(collector: &Collector, tier: u8) -> Vec<Point> {
    let live = collector.live(|_| true);
    let request = Request {
        tier: Tier::Number(tier),
        quantiles: QUANTILES.to_vec(),
        ..Request::new("exit_ns".parse::<Selector>().unwrap())
    };
    let answer = Plan::new(&live, collector.archives(), request).unwrap().answer();
    answer
        .series
        .into_iter()
        .flat_map(|series| series.points)
        .collect()
}

/// Compares the quantiles of the windows that have some, and returns the starts (in seconds) of those.
#[track_caller]
fn right(points: &[Point], length: u64, life: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for point in points {
        let start = (point.t - START) / S;
        let mut all: Vec<f64> = (start..(start + length).min(life)).flat_map(samples).collect();
        all.sort_by(f64::total_cmp);
        let known: Vec<f64> = point.quantiles.iter().copied().flatten().collect();
        if known.is_empty() {
            continue;
        }
        found.push(start);
        assert_eq!(known.len(), QUANTILES.len());
        for (q, found) in QUANTILES.iter().zip(known) {
            let rank = (q * all.len() as f64).ceil() as usize;
            let exact = all[rank.max(1) - 1];
            // As registered: 12.5 % up to 2^36.
            let count = buckets::count_for(1 << 36, 3);
            let bucket = buckets::index(exact, 3, count) as u32;
            let (lower, upper) = buckets::bounds(bucket, 3, count);
            let width = (upper.unwrap() - lower) as f64;
            assert!(
                (found - exact).abs() <= width,
                "the {q}-quantile from second {start} on is {exact}, not {found}"
            );
        }
    }
    found
}

/// Starts of the windows that have samples.
fn with_samples(range: Range<u64>, length: u64, life: u64) -> Vec<u64> {
    let has = |&start: &u64| (start..(start + length).min(life)).any(|second| !samples(second).is_empty());
    range.step_by(length as usize).filter(has).collect()
}

#[test]
fn quantiles_are_within_their_bucket_in_all_tiers_before_and_after_the_end() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host);
    machine.live_and_pass(0..405, &host, &mut collector);
    // The first windows begin with the series, of which the slab knows when it came.
    for (tier, length) in [(1, 10), (2, 300)] {
        let closed: Vec<Point> = points(&collector, tier)
            .into_iter()
            .filter(|point| !point.partial)
            .collect();
        assert_eq!(
            right(&closed, length, 405),
            with_samples(0..405 / length * length, length, 405)
        );
    }
    drop(machine);
    pass(&mut collector, host.at(405));
    // Stored rows of simulated time do not know whether anything was before them.
    for (tier, (length, _)) in (0..).zip(GUIDE) {
        let stored = points(&collector, tier);
        let expected = with_samples(length..405, length, 405);
        assert_eq!(right(&stored, length, 405), expected, "tier {tier}");
    }
}

/// Buckets in a slab are those of now: what a collector did not see of them is not known, and never made up.
#[test]
fn quantiles_across_a_restart_are_right_or_none() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host);
    machine.live_and_pass(0..125, &host, &mut collector);
    // Away for less than a window, and for several.
    for (last, next, present) in [(125, 128, 195), (195, 217, 405)] {
        collector.finish(host.at(last));
        drop(collector);
        (last..next).for_each(|second| machine.live(second));
        collector = host.collector();
        machine.live_and_pass(next..present, &host, &mut collector);
    }
    drop(machine);
    pass(&mut collector, host.at(405));
    // Nobody knows what the buckets were at 200 and 210.
    let mut expected = with_samples(10..405, 10, 405);
    expected.retain(|start| ![190, 200, 210].contains(start));
    assert_eq!(right(&points(&collector, 1), 10, 405), expected);
    assert_eq!(right(&points(&collector, 2), 300, 405), [300]);
    // Of tier 0 those of the last collector's time: it was there from the end of second 217 on.
    assert_eq!(
        right(&points(&collector, 0), 1, 405),
        with_samples(218..405, 1, 405)
    );
}

/// Killed, a collector forgets what it had in memory; rows are made again, buckets cannot be.
#[test]
fn quantiles_across_a_crash_are_right_or_none() {
    let host = Host::new();
    let mut collector = host.collector();
    let mut machine = Machine::start(&host);
    for second in 0..405 {
        machine.live(second);
        pass(&mut collector, host.at(second));
        if second % 67 == 66 && second < 340 {
            drop(collector);
            collector = host.collector();
        }
    }
    drop(machine);
    pass(&mut collector, host.at(405));
    let found = right(&points(&collector, 1), 10, 405);
    // At least those of the last one, which came in second 335.
    let last = with_samples(350..405, 10, 405);
    assert!(last.iter().all(|start| found.contains(start)), "{found:?}");
    right(&points(&collector, 2), 300, 405);
    right(&points(&collector, 0), 1, 405);
}
