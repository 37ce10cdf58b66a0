//! One machine of the demo: a process that measures itself, as a VMM would its guest.
//!
//! A worker thread runs phases of computing, writing to disk and sleeping, and times what it does
//! into histograms through handles of its own. The main thread ticks, and records at each tick what
//! the kernel says about the process. What it says of itself (`Event`) is its parent's only knowledge
//! of what has to be in the slab afterwards.

use super::event::Event;
use crate::commands::Outcome;
use crate::show;
use anyhow::Context;
use nix::sys::signal::Signal;
use procfs::process::Process;
use rondo_writer::{Counter, Histogram, SchemaConfig, SeriesHandle, SharedCounter, Unit, Writer};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a machine has room for: the default tiers, 28 gauges and counters, 4 distributions and histograms.
pub(super) fn schema() -> SchemaConfig {
    SchemaConfig::default().capacity(28, 4)
}

/// Runs machine `instance` for `seconds` ticks.
///
/// # Errors
/// The slab cannot be created, or /proc not be read.
pub fn run(bus: &Path, instance: &str, seconds: u64) -> anyhow::Result<Outcome> {
    // A demo that is killed shall not leave machines running.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut writer = Writer::builder(instance)
        .label("demo", "true")
        .schema(schema())
        .bus(bus)
        .create()?;
    let worker = Worker::new(&mut writer)?;
    let vitals = Vitals::new(&mut writer)?;
    let mut lateness = writer
        .distribution("tick_lateness_ns")
        .unit(Unit::Nanoseconds)
        .help("How long after its time a tick came.")
        .owned()?;

    say(&Event::Started {
        incarnation: show::hex(&writer.incarnation()),
        slab: writer.paths().next().map(Path::to_owned),
    })?;

    let stop = Arc::new(AtomicBool::new(false));
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || worker.run(&stop)
    });
    for _ in 0..seconds {
        let due = writer.next_tick();
        std::thread::sleep(writer.until_next_tick());
        writer.tick();
        let now = writer.ticked_ns();
        vitals.record(&writer, now)?;
        lateness.record(monotonic().saturating_sub(due).as_nanos() as f64);
        say(&Event::Tick { ticked_ns: now })?;
    }
    stop.store(true, Ordering::Relaxed);
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("the worker thread panicked"))??;
    writer.close();
    Ok(Outcome::Done)
}

fn say(event: &Event) -> anyhow::Result<()> {
    let line = serde_json::to_string(event)?;
    writeln!(std::io::stderr(), "{line}").context("the demo is gone")
}

fn monotonic() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// The thread that has something to do.
struct Worker {
    bursts: Histogram,
    writes: Histogram,
    sleeps: Histogram,
    iterations: Counter,
    written: Counter,
    phases: SharedCounter,
    clock: rondo_writer::Clock,
}

impl Worker {
    fn new(writer: &mut Writer) -> anyhow::Result<Self> {
        let mut duration =
            |name: &str, help: &str| writer.histogram(name).unit(Unit::Nanoseconds).help(help).owned();
        Ok(Self {
            bursts: duration(
                "work_burst_duration_ns",
                "How long 20,000 rounds of arithmetic took.",
            )?,
            writes: duration(
                "disk_write_duration_ns",
                "How long writing 64 KiB to a file took.",
            )?,
            sleeps: duration("sleep_duration_ns", "How long a sleep of 5 ms took.")?,
            iterations: writer
                .counter("work_iterations_total")
                .help("Turns of the work loop.")
                .owned()?,
            written: writer
                .counter("disk_written_bytes_total")
                .unit(Unit::Bytes)
                .help("Bytes written to the work file.")
                .owned()?,
            phases: writer
                .counter("work_phases_total")
                .help("Changes of what the worker does.")
                .shared()?,
            clock: writer.clock(),
        })
    }

    fn run(mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut file = tempfile::tempfile().context("cannot make the work file")?;
        let block = vec![0x5a; 64 << 10];
        let started = Instant::now();
        let mut phase = u64::MAX;
        while !stop.load(Ordering::Relaxed) {
            let now_phase = started.elapsed().as_secs() / 5 % 3;
            if phase != now_phase {
                phase = now_phase;
                self.phases.add(1);
            }
            let begin = Instant::now();
            let histogram = match phase {
                0 => {
                    compute();
                    &mut self.bursts
                }
                1 => {
                    write_block(&mut file, &block)?;
                    self.written.add(block.len() as u64);
                    &mut self.writes
                }
                _ => &mut self.sleeps,
            };
            // Some rest in every phase: a demo should not take the machine's cores.
            let rest = Duration::from_millis(5);
            let mut elapsed = begin.elapsed();
            std::thread::sleep(rest);
            if phase > 1 {
                elapsed = begin.elapsed();
            }
            let now = self.clock.now();
            histogram.record_at(now, elapsed.as_nanos() as f64);
            self.iterations.add_at(now, 1);
        }
        Ok(())
    }
}

fn compute() {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..20_000 {
        x = std::hint::black_box(x ^ x << 13);
        x ^= x >> 7;
        x ^= x << 17;
    }
    std::hint::black_box(x);
}

fn write_block(file: &mut File, block: &[u8]) -> anyhow::Result<()> {
    if file.stream_position()? > 4 << 20 {
        file.rewind()?;
    }
    file.write_all(block).context("cannot write to the work file")
}

/// What the kernel says about this process.
struct Vitals {
    process: Process,
    started: Instant,
    tick_ns: f64,
    page_bytes: f64,
    series: Vec<SeriesHandle>,
}

/// Kind, name, unit, help; in the order of [`Vitals::measure`].
const VITALS: [(bool, &str, Unit, &str); 24] = [
    (
        true,
        "process_user_cpu_ns_total",
        Unit::Nanoseconds,
        "CPU time in user mode.",
    ),
    (
        true,
        "process_system_cpu_ns_total",
        Unit::Nanoseconds,
        "CPU time in the kernel.",
    ),
    (
        true,
        "process_minor_faults_total",
        Unit::None,
        "Page faults without I/O.",
    ),
    (
        true,
        "process_major_faults_total",
        Unit::None,
        "Page faults with I/O.",
    ),
    (
        true,
        "sched_run_ns_total",
        Unit::Nanoseconds,
        "Time the main thread ran.",
    ),
    (
        true,
        "sched_wait_ns_total",
        Unit::Nanoseconds,
        "Time the main thread waited for a CPU.",
    ),
    (
        true,
        "sched_timeslices_total",
        Unit::None,
        "Times the main thread got a CPU.",
    ),
    (
        true,
        "io_read_chars_total",
        Unit::Bytes,
        "Bytes asked for by read calls.",
    ),
    (
        true,
        "io_written_chars_total",
        Unit::Bytes,
        "Bytes given to write calls.",
    ),
    (true, "io_read_calls_total", Unit::None, "Read system calls."),
    (true, "io_write_calls_total", Unit::None, "Write system calls."),
    (
        true,
        "io_read_bytes_total",
        Unit::Bytes,
        "Bytes fetched from storage.",
    ),
    (
        true,
        "io_written_bytes_total",
        Unit::Bytes,
        "Bytes sent to storage.",
    ),
    (
        true,
        "voluntary_switches_total",
        Unit::None,
        "Times the main thread gave up its CPU.",
    ),
    (
        true,
        "involuntary_switches_total",
        Unit::None,
        "Times the main thread lost its CPU.",
    ),
    (false, "process_rss_bytes", Unit::Bytes, "Memory in RAM."),
    (
        false,
        "process_rss_peak_bytes",
        Unit::Bytes,
        "Most memory in RAM so far.",
    ),
    (
        false,
        "process_data_bytes",
        Unit::Bytes,
        "Size of the data segment.",
    ),
    (false, "process_virtual_bytes", Unit::Bytes, "Address space."),
    (
        false,
        "process_locked_bytes",
        Unit::Bytes,
        "Memory locked into RAM.",
    ),
    (false, "process_page_table_bytes", Unit::Bytes, "Page tables."),
    (false, "process_threads", Unit::None, "Threads."),
    (false, "process_open_fds", Unit::None, "Open file descriptors."),
    (
        false,
        "process_uptime_seconds",
        Unit::Seconds,
        "Time since the machine's start.",
    ),
];

impl Vitals {
    fn new(writer: &mut Writer) -> anyhow::Result<Self> {
        let series = VITALS.iter().map(|(is_counter, name, unit, help)| {
            if *is_counter {
                writer.counter(name).unit(unit.clone()).help(help).held()
            } else {
                writer.gauge(name).unit(unit.clone()).help(help).held()
            }
        });
        Ok(Self {
            series: series.collect::<Result<_, _>>()?,
            process: Process::myself()?,
            started: Instant::now(),
            tick_ns: 1e9 / procfs::ticks_per_second() as f64,
            page_bytes: procfs::page_size() as f64,
        })
    }

    fn record(&self, writer: &Writer, now_ns: u64) -> anyhow::Result<()> {
        for (handle, value) in self.series.iter().zip(self.measure()?) {
            writer.record(*handle, value, now_ns);
        }
        Ok(())
    }

    fn measure(&self) -> anyhow::Result<[f64; VITALS.len()]> {
        let stat = self.process.stat()?;
        let io = self.process.io()?;
        let status = self.process.status()?;
        let sched = self.process.schedstat()?;
        let kib = |value: Option<u64>| value.unwrap_or(0) as f64 * 1024.0;
        Ok([
            stat.utime as f64 * self.tick_ns,
            stat.stime as f64 * self.tick_ns,
            stat.minflt as f64,
            stat.majflt as f64,
            sched.sum_exec_runtime as f64,
            sched.run_delay as f64,
            sched.pcount as f64,
            io.rchar as f64,
            io.wchar as f64,
            io.syscr as f64,
            io.syscw as f64,
            io.read_bytes as f64,
            io.write_bytes as f64,
            status.voluntary_ctxt_switches.unwrap_or(0) as f64,
            status.nonvoluntary_ctxt_switches.unwrap_or(0) as f64,
            stat.rss as f64 * self.page_bytes,
            kib(status.vmhwm),
            kib(status.vmdata),
            stat.vsize as f64,
            kib(status.vmlck),
            kib(status.vmpte),
            stat.num_threads as f64,
            self.process.fd_count()? as f64,
            self.started.elapsed().as_secs_f64(),
        ])
    }
}
