//! Two threads at once against one alone: on two series of one slab, and on one shared series.
//!
//! On a machine that is not idle, two threads that should run at once often do not. Turns count only
//! if both were seen to run, and one turn was over before the other began by a small part of it at most.

use crate::measure::{Effort, calls_for};
use crate::rondo::{Place, START_NS};
use anyhow::Result;
use rondo_host::figures::median;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Short, so that most turns are not interrupted.
const TURN: Duration = Duration::from_micros(200);

/// How much of the longer of two turns both must have run at once.
const OVERLAP_MIN: f64 = 0.9;

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
    /// Turns that were tried.
    pub turn_count: usize,
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
    let turns = effort.repetitions * 10;
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

/// When and how long a thread ran its loop.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: Instant,
    end: Instant,
    calls: u64,
}

impl Span {
    fn of(record: &mut Loop, calls: u64) -> Self {
        let start = Instant::now();
        record(calls);
        Self {
            start,
            end: Instant::now(),
            calls,
        }
    }

    fn ns(&self) -> f64 {
        self.end.duration_since(self.start).as_nanos() as f64 / self.calls as f64
    }

    /// What part of the longer span both have in common.
    fn overlap(&self, other: &Self) -> f64 {
        let common = self
            .end
            .min(other.end)
            .saturating_duration_since(self.start.max(other.start));
        let longer = (self.end - self.start).max(other.end - other.start);
        common.as_secs_f64() / longer.as_secs_f64()
    }
}

/// What the two threads tell each other.
#[derive(Default)]
struct Signals {
    /// The other thread waits for `go`.
    is_ready: AtomicBool,
    go: AtomicBool,
    is_over: AtomicBool,
    /// What the other thread did.
    span: Mutex<Option<Span>>,
}

fn wait_for(flag: &AtomicBool) {
    while !flag.swap(false, Ordering::AcqRel) {
        spin_loop();
    }
}

fn run(title: &'static str, [mut one, mut two]: [Loop; 2], turns: usize) -> Contention {
    let calls = calls_for(&mut one, TURN);
    let signals = Arc::new(Signals::default());
    let thread = std::thread::spawn({
        let signals = signals.clone();
        move || {
            loop {
                signals.is_ready.store(true, Ordering::Release);
                wait_for(&signals.go);
                if signals.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let span = Span::of(&mut two, calls);
                *signals.span.lock().unwrap_or_else(PoisonError::into_inner) = Some(span);
            }
        }
    });
    let mut result = Contention {
        title,
        one_ns: Vec::new(),
        two_ns: Vec::new(),
        turn_count: 0,
    };
    while result.two_ns.len() < turns && result.turn_count < turns * 20 {
        result.turn_count += 1;
        wait_for(&signals.is_ready);
        // The other thread spins on a line of its own meanwhile, so both turns have two busy cores.
        let alone = Span::of(&mut one, calls);
        signals.go.store(true, Ordering::Release);
        let mine = Span::of(&mut one, calls);
        while !signals.is_ready.load(Ordering::Acquire) {
            spin_loop();
        }
        let theirs = signals.span.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(theirs) = theirs.filter(|theirs| mine.overlap(theirs) > OVERLAP_MIN) {
            result.one_ns.push(alone.ns());
            result.two_ns.push(f64::midpoint(mine.ns(), theirs.ns()));
        }
    }
    wait_for(&signals.is_ready);
    signals.is_over.store(true, Ordering::Relaxed);
    signals.go.store(true, Ordering::Release);
    let _ = thread.join();
    result
}
