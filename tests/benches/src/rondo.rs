//! Rondo's own rows.
//!
//! Where time is passed in, it is simulated, so that a run can stay within one interval or open a
//! new one on every call, and instruction counts repeat exactly.

use crate::row::{Row, Run, SERIES, round_robin};
use crate::samples::Samples;
use anyhow::Result;
use rondo_writer::{Builder, SchemaConfig, SeriesHandle, TierConfig, TimeSource, Writer};
use std::hint::black_box;
use std::time::Duration;

/// Length of an interval of the slabs here.
pub const INTERVAL_NS: u64 = 1_000_000_000;
/// Where simulated time starts.
pub const START_NS: u64 = 1_000 * INTERVAL_NS;

/// Where the slabs of the rows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In /dev/shm, mapped, as a VMM's; the name is removed at once.
    Bus,
    /// In private memory: the same code without the system calls that valgrind does not know.
    Private,
}

/// Room for 30 series of each kind of slot, with the ten minutes of seconds of the default schema.
pub fn schema() -> SchemaConfig {
    let series = SERIES as u32;
    let mut schema = SchemaConfig::new("bench")
        .tiers(&[TierConfig::new(Duration::from_nanos(INTERVAL_NS), 600)])
        .capacity(series, series);
    schema.shared_max = series;
    schema
}

impl Place {
    /// A writer with one slab of [`schema`].
    ///
    /// # Errors
    /// The slab cannot be made.
    pub fn writer(self, with: impl FnOnce(Builder) -> Builder) -> Result<Writer> {
        let builder = with(Writer::builder("bench").schema(schema()));
        Ok(match self {
            Self::Private => builder.create_private()?,
            Self::Bus => {
                let directory = tempfile::tempdir_in("/dev/shm")?;
                builder.bus(directory.path()).create()?
            }
        })
    }

    /// A writer whose time is what the calls say.
    ///
    /// # Errors
    /// The slab cannot be made.
    pub fn simulated(self) -> Result<Writer> {
        self.writer(|builder| builder.simulated_time(START_NS))
    }
}

/// Registers the series of a row, told apart by a label.
///
/// # Errors
/// What `register` says.
pub fn each<H>(mut register: impl FnMut(&str) -> Result<H, rondo_writer::RegisterError>) -> Result<Vec<H>> {
    (0..SERIES).map(|i| Ok(register(&i.to_string())?)).collect()
}

/// All rows.
pub fn rows(place: Place) -> Vec<Row> {
    let row = |name, title, make: fn(Place) -> Result<Run>| Row::new(name, title, move || make(place));
    vec![
        row("gauge", "rondo Gauge::set_at", gauge),
        row("counter", "rondo Counter::add_at", counter),
        row("distribution", "rondo Distribution::record_at", distribution),
        row("histogram", "rondo Histogram::record_at", histogram),
        row("held-gauge", "rondo Writer::record, gauge", held_gauge),
        row("held-counter", "rondo Writer::record, counter", held_counter),
        row(
            "held-distribution",
            "rondo Writer::record, distribution",
            held_distribution,
        ),
        row(
            "held-histogram",
            "rondo Writer::record, histogram",
            held_histogram,
        ),
        row(
            "held-batch",
            "rondo Writer::record_batch, each of 30 gauges",
            held_batch,
        ),
        row(
            "gauge-new-interval",
            "rondo Gauge::set_at, new interval on every call",
            gauge_new_interval,
        ),
        row(
            "counter-new-interval",
            "rondo Counter::add_at, new interval on every call",
            counter_new_interval,
        ),
        row(
            "distribution-new-interval",
            "rondo Distribution::record_at, new interval on every call",
            distribution_new_interval,
        ),
        row(
            "held-new-interval",
            "rondo Writer::record, gauge, new interval on every call",
            held_new_interval,
        ),
        row("gauge-coarse", "rondo Gauge::set, coarse clock", |place| {
            gauge_with_clock(place, TimeSource::Coarse)
        }),
        row("gauge-tick", "rondo Gauge::set, time from ticks", |place| {
            gauge_with_clock(place, TimeSource::Tick)
        }),
        row("counter-coarse", "rondo Counter::add, coarse clock", |place| {
            counter_with_clock(place, TimeSource::Coarse)
        }),
        row("counter-tick", "rondo Counter::add, time from ticks", |place| {
            counter_with_clock(place, TimeSource::Tick)
        }),
        row("shared-counter", "rondo SharedCounter::add", shared_counter),
        row("shared-gauge", "rondo SharedGauge::set", shared_gauge),
    ]
}

/// A time that the compiler cannot know.
fn now() -> u64 {
    black_box(START_NS + 1)
}

/// A number that is never NaN and costs no conversion.
#[inline(always)]
fn value(i: u64) -> f64 {
    f64::from_bits(i)
}

fn gauge(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let gauges = each(|i| writer.gauge("g").label("i", i).owned())?;
    let now = now();
    Ok(round_robin(gauges, move |gauge, i| gauge.set_at(now, value(i))))
}

fn counter(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let counters = each(|i| writer.counter("c").label("i", i).owned())?;
    let now = now();
    Ok(round_robin(counters, move |counter, _| counter.add_at(now, 1)))
}

fn distribution(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let distributions = each(|i| writer.distribution("d").label("i", i).owned())?;
    let (now, samples) = (now(), Samples::new());
    Ok(round_robin(distributions, move |distribution, i| {
        distribution.record_at(now, samples.get(i));
    }))
}

fn histogram(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let histograms = each(|i| writer.histogram("h").label("i", i).owned())?;
    let (now, samples) = (now(), Samples::new());
    Ok(round_robin(histograms, move |histogram, i| {
        histogram.record_at(now, samples.get(i));
    }))
}

fn held_run(writer: Writer, handles: Vec<SeriesHandle>, mut value: impl FnMut(u64) -> f64 + 'static) -> Run {
    // Behind a pointer, as in a program that has it in a structure of its own.
    let (now, writer) = (now(), Box::new(writer));
    round_robin(handles, move |handle, i| {
        writer.record(*handle, value(i), now);
    })
}

fn held_gauge(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let handles = each(|i| writer.gauge("g").label("i", i).held())?;
    Ok(held_run(writer, handles, value))
}

fn held_counter(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let handles = each(|i| writer.counter("c").label("i", i).held())?;
    let mut total = 0.0;
    // Totals that grow from call to call; `i` starts over with each run.
    let next = move |_| {
        total += 1.0;
        total
    };
    Ok(held_run(writer, handles, next))
}

fn held_distribution(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let handles = each(|i| writer.distribution("d").label("i", i).held())?;
    let samples = Samples::new();
    Ok(held_run(writer, handles, move |i| samples.get(i)))
}

fn held_histogram(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let handles = each(|i| writer.histogram("h").label("i", i).held())?;
    let samples = Samples::new();
    Ok(held_run(writer, handles, move |i| samples.get(i)))
}

fn held_batch(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let handles = each(|i| writer.gauge("g").label("i", i).held())?;
    let mut batch: Vec<(SeriesHandle, f64)> = handles.into_iter().map(|handle| (handle, 0.0)).collect();
    let now = now();
    Ok(Box::new(move |iterations| {
        let mut left = black_box(iterations) as usize;
        while left > 0 {
            let count = left.min(batch.len());
            for (entry, i) in batch[..count].iter_mut().zip(0..) {
                entry.1 = value(i);
            }
            writer.record_batch(&batch[..count], now);
            left -= count;
        }
    }))
}

/// Time that moves on by one interval after each round, so every call opens a new one.
fn rounds() -> impl FnMut() -> u64 {
    let mut now_ns = START_NS;
    let mut calls = 0;
    move || {
        if calls == 0 {
            calls = SERIES;
            now_ns += INTERVAL_NS;
        }
        calls -= 1;
        now_ns
    }
}

fn gauge_new_interval(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let gauges = each(|i| writer.gauge("g").label("i", i).owned())?;
    let mut now = rounds();
    Ok(round_robin(gauges, move |gauge, i| gauge.set_at(now(), value(i))))
}

fn counter_new_interval(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let counters = each(|i| writer.counter("c").label("i", i).owned())?;
    let mut now = rounds();
    Ok(round_robin(counters, move |counter, _| counter.add_at(now(), 1)))
}

fn distribution_new_interval(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let distributions = each(|i| writer.distribution("d").label("i", i).owned())?;
    let (mut now, samples) = (rounds(), Samples::new());
    Ok(round_robin(distributions, move |distribution, i| {
        distribution.record_at(now(), samples.get(i));
    }))
}

fn held_new_interval(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let handles = each(|i| writer.gauge("g").label("i", i).held())?;
    let mut now = rounds();
    Ok(round_robin(handles, move |handle, i| {
        writer.record(*handle, value(i), now());
    }))
}

fn gauge_with_clock(place: Place, source: TimeSource) -> Result<Run> {
    let mut writer = place.writer(|builder| builder.time_source(source))?;
    let gauges = each(|i| writer.gauge("g").label("i", i).owned())?;
    Ok(round_robin(gauges, |gauge, i| gauge.set(value(i))))
}

fn counter_with_clock(place: Place, source: TimeSource) -> Result<Run> {
    let mut writer = place.writer(|builder| builder.time_source(source))?;
    let counters = each(|i| writer.counter("c").label("i", i).owned())?;
    Ok(round_robin(counters, |counter, _| counter.add(1)))
}

fn shared_counter(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let counters = each(|i| writer.counter("c").label("i", i).shared())?;
    Ok(round_robin(counters, |counter, _| counter.add(1)))
}

fn shared_gauge(place: Place) -> Result<Run> {
    let mut writer = place.simulated()?;
    let gauges = each(|i| writer.gauge("g").label("i", i).shared())?;
    Ok(round_robin(gauges, |gauge, i| gauge.set(value(i))))
}
