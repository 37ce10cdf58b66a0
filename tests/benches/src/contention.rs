//! Two threads at once against one alone: on two series of one slab, and on one shared series.

use crate::measure::{Effort, median};
use crate::rondo::{Place, START_NS};
use anyhow::Result;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Calls in a turn: short, so that most turns are not interrupted.
const CALLS: u64 = 40_000;

/// A loop that another thread can run.
type Loop = Box<dyn FnMut(u64) + Send>;

/// One way to record from two threads.
pub struct Contention {
    /// What a table says.
    pub title: &'static str,
    /// One thread alone, ns a call.
    pub one_ns: Vec<f64>,
    /// Two threads at once, ns a call of either, the mean of both.
    pub two_ns: Vec<f64>,
}

impl Contention {
    /// Medians of one and of two threads.
    pub fn medians_ns(&self) -> (f64, f64) {
        (median(self.one_ns.clone()), median(self.two_ns.clone()))
    }

    /// Median of the ratios of neighbouring turns.
    pub fn ratio(&self) -> f64 {
        let pairs = self.two_ns.iter().zip(&self.one_ns);
        median(pairs.map(|(two, one)| two / one).collect())
    }
}

/// Times all pairs, one and two threads in turns.
///
/// # Errors
/// A row cannot be set up.
pub fn measure(effort: Effort) -> Result<Vec<Contention>> {
    let turns = effort.repetitions * 20;
    Ok(vec![
        run("rondo Gauge::set_at, two series", gauges()?, turns),
        run("rondo Counter::add_at, two series", counters()?, turns),
        run(
            "rondo Distribution::record_at, two series",
            distributions()?,
            turns,
        ),
        run("rondo SharedCounter::add, two series", shared(2)?, turns),
        run("rondo SharedCounter::add, one series", shared(1)?, turns),
        run(
            "prometheus-client Counter::inc, two counters",
            prometheus_client(2),
            turns,
        ),
        run(
            "prometheus-client Counter::inc, one counter",
            prometheus_client(1),
            turns,
        ),
        run("metrics counter handle, one counter", metrics_handle(), turns),
    ])
}

fn repeat(mut record: impl FnMut(u64) + Send + 'static) -> Loop {
    Box::new(move |calls| (0..calls).for_each(&mut record))
}

fn gauges() -> Result<[Loop; 2]> {
    let mut writer = Place::Bus.simulated()?;
    let mut one = writer.gauge("a").owned()?;
    let mut two = writer.gauge("b").owned()?;
    Ok([
        repeat(move |i| one.set_at(START_NS, f64::from_bits(i))),
        repeat(move |i| two.set_at(START_NS, f64::from_bits(i))),
    ])
}

fn counters() -> Result<[Loop; 2]> {
    let mut writer = Place::Bus.simulated()?;
    let mut one = writer.counter("a").owned()?;
    let mut two = writer.counter("b").owned()?;
    Ok([
        repeat(move |_| one.add_at(START_NS, 1)),
        repeat(move |_| two.add_at(START_NS, 1)),
    ])
}

fn distributions() -> Result<[Loop; 2]> {
    let mut writer = Place::Bus.simulated()?;
    let mut one = writer.distribution("a").owned()?;
    let mut two = writer.distribution("b").owned()?;
    Ok([
        repeat(move |i| one.record_at(START_NS, i as f64)),
        repeat(move |i| two.record_at(START_NS, i as f64)),
    ])
}

fn shared(series: usize) -> Result<[Loop; 2]> {
    let mut writer = Place::Bus.simulated()?;
    let one = writer.counter("a").shared()?;
    let two = if series == 1 {
        one.clone()
    } else {
        writer.counter("b").shared()?
    };
    Ok([repeat(move |_| one.add(1)), repeat(move |_| two.add(1))])
}

fn prometheus_client(counters: usize) -> [Loop; 2] {
    // As a program has them: the library takes each counter's memory from the heap.
    let one = prometheus_client::metrics::counter::Counter::<u64>::default();
    let two = if counters == 1 {
        one.clone()
    } else {
        Default::default()
    };
    [
        repeat(move |_| {
            one.inc();
        }),
        repeat(move |_| {
            two.inc();
        }),
    ]
}

fn metrics_handle() -> [Loop; 2] {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let one = metrics::with_local_recorder(&recorder, || metrics::counter!("c"));
    let two = one.clone();
    [
        repeat(move |_| one.increment(1)),
        repeat(move |_| two.increment(1)),
    ]
}

/// What the other thread is to do: the number of the turn, which both count.
#[derive(Default)]
struct Turn {
    number: AtomicU64,
    is_ready: AtomicBool,
    is_over: AtomicBool,
    /// Bits of the other thread's ns a call.
    other_ns: AtomicU64,
    is_done: AtomicBool,
}

fn timed(record: &mut Loop) -> f64 {
    let start = Instant::now();
    record(CALLS);
    start.elapsed().as_nanos() as f64 / CALLS as f64
}

fn wait_for(flag: &AtomicBool) {
    while !flag.swap(false, Ordering::AcqRel) {
        spin_loop();
    }
}

fn run(title: &'static str, [mut one, mut two]: [Loop; 2], turns: usize) -> Contention {
    let turn = Arc::new(Turn::default());
    let other = turn.clone();
    let thread = std::thread::spawn(move || {
        let mut number = 0;
        loop {
            other.is_ready.store(true, Ordering::Release);
            while other.number.load(Ordering::Acquire) == number {
                if other.is_over.load(Ordering::Relaxed) {
                    return;
                }
                spin_loop();
            }
            number += 1;
            let ns = timed(&mut two);
            other.other_ns.store(ns.to_bits(), Ordering::Relaxed);
            other.is_done.store(true, Ordering::Release);
        }
    });
    let mut result = Contention {
        title,
        one_ns: Vec::new(),
        two_ns: Vec::new(),
    };
    timed(&mut one);
    for _ in 0..turns {
        wait_for(&turn.is_ready);
        // The other thread spins on its own cached line meanwhile, so both turns have two busy cores.
        result.one_ns.push(timed(&mut one));
        turn.number.fetch_add(1, Ordering::AcqRel);
        let mine = timed(&mut one);
        wait_for(&turn.is_done);
        let theirs = f64::from_bits(turn.other_ns.load(Ordering::Relaxed));
        result.two_ns.push(f64::midpoint(mine, theirs));
    }
    wait_for(&turn.is_ready);
    turn.is_over.store(true, Ordering::Relaxed);
    let _ = thread.join();
    result
}
