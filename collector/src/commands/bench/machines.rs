//! The machines of `rondo bench --collector`: many slabs in one process, each recording every second.
//!
//! Such a process says `ready` when its slabs are there, and records until its standard input says something: then it
//! closes its slabs, as machines do that end. If its input just ends, whoever started it is gone, and it removes what
//! would be left in shared memory.

use super::synthetic::Dice;
use crate::commands::Outcome;
use crate::commands::cli::BenchMachines;
use anyhow::Context;
use rondo_writer::{SchemaConfig, SeriesHandle, Unit, Writer};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

const GAUGES: usize = 20;
const COUNTERS: usize = 6;
const DISTRIBUTIONS: usize = 4;

/// Series of a machine.
pub(crate) const SERIES: usize = GAUGES + COUNTERS + DISTRIBUTIONS;

/// Samples of each distribution in a second.
const SAMPLES: usize = 3;

/// How long after its time a tick comes: slabs of one process do not agree on it to the microsecond.
const LATE: Duration = Duration::from_millis(8);

/// A slab with 20 gauges, 6 counters and 4 distributions.
pub(crate) struct Machine {
    pub(crate) writer: Writer,
    series: Vec<SeriesHandle>,
    totals: [f64; COUNTERS],
    dice: Dice,
}

impl Machine {
    /// Creates its slab, in simulated time if that starts somewhere.
    pub(crate) fn create(bus: &Path, number: u32, simulated_start_ns: Option<u64>) -> anyhow::Result<Self> {
        let schema = SchemaConfig::default().capacity((GAUGES + COUNTERS) as u32, DISTRIBUTIONS as u32);
        let builder = Writer::builder(&format!("vm-{number:06}"))
            .label("tenant", "blue")
            .schema(schema)
            .bus(bus);
        let builder = match simulated_start_ns {
            Some(start_ns) => builder.simulated_time(start_ns),
            None => builder,
        };
        let mut writer = builder.create()?;
        let series = (0..SERIES).map(|index| {
            let device = format!("vd{}", index % 4);
            match index {
                index if index < GAUGES => writer
                    .gauge(&format!("vmm_gauge_number_{index}"))
                    .unit(Unit::Bytes)
                    .help("One sentence for people, as long as they mostly are.")
                    .label("device", &device)
                    .held(),
                index if index < GAUGES + COUNTERS => writer
                    .counter(&format!("vmm_events_{index}_total"))
                    .help("Another sentence for people, about what it counts.")
                    .label("device", &device)
                    .held(),
                _ => writer
                    .distribution(&format!("vmm_duration_{index}_ns"))
                    .unit(Unit::Nanoseconds)
                    .help("How long something took, which somebody may want to know.")
                    .label("device", &device)
                    .held(),
            }
        });
        let series = series.collect::<Result<_, _>>()?;
        Ok(Self {
            writer,
            series,
            totals: [0.0; COUNTERS],
            dice: Dice(number.into()),
        })
    }

    /// Ticks, and records every series.
    fn live(&mut self) {
        self.writer.tick();
        self.record(self.writer.ticked_ns());
    }

    /// The same at a moment of simulated time.
    pub(crate) fn live_at(&mut self, now_ns: u64) {
        self.writer.tick_at(now_ns);
        self.record(now_ns);
    }

    /// A third of the gauges constant, a third whole numbers that wander, a third decimals; counters at nearly steady rates.
    fn record(&mut self, now_ns: u64) {
        let Self { writer, dice, .. } = self;
        let (gauges, others) = self.series.split_at(GAUGES);
        let (counters, distributions) = others.split_at(COUNTERS);
        for (index, &gauge) in gauges.iter().enumerate() {
            let value = match index % 3 {
                0 => 4_096.0,
                1 => 1_000_000.0 + (dice.roll() % 5_000) as f64,
                _ => (dice.roll() % 1_000) as f64 / 10.0,
            };
            writer.record(gauge, value, now_ns);
        }
        for ((index, &counter), total) in counters.iter().enumerate().zip(&mut self.totals) {
            *total += (1_000 * (1 + index as u64) + dice.roll() % 50) as f64;
            writer.record(counter, *total, now_ns);
        }
        for &distribution in distributions {
            for _ in 0..SAMPLES {
                writer.record(distribution, (dice.roll() % 100_000) as f64, now_ns);
            }
        }
    }
}

/// The hidden command: lives until its standard input says otherwise.
///
/// # Errors
/// A slab cannot be created.
pub(crate) fn command(args: &BenchMachines) -> anyhow::Result<Outcome> {
    let (says, said) = mpsc::channel();
    std::thread::spawn(move || {
        let read = std::io::stdin().lock().read_line(&mut String::new());
        // Nobody listens any more only if this process is about to end.
        let _ = says.send(read.is_ok_and(|bytes| bytes > 0));
    });
    let create = |number| Machine::create(&args.bus, number, None);
    let mut machines = (args.first..args.first + args.machines)
        .map(create)
        .collect::<anyhow::Result<Vec<_>>>()?;
    writeln!(std::io::stdout(), "ready").context("nobody waits for these machines")?;
    let was_told = loop {
        let wait = machines[0].writer.until_next_tick() + LATE;
        match said.recv_timeout(wait) {
            Ok(was_told) => break was_told,
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => machines.iter_mut().for_each(Machine::live),
        }
    };
    if !was_told {
        for path in machines.iter().flat_map(|machine| machine.writer.paths()) {
            let _ = std::fs::remove_file(path);
        }
        let _ = std::fs::remove_dir(&args.bus);
    }
    machines.into_iter().for_each(|machine| machine.writer.close());
    Ok(Outcome::Done)
}

/// Processes with machines.
pub(crate) struct Machines(Vec<Child>);

impl Machines {
    /// Starts `count` machines in a few processes, and waits until their slabs are there.
    pub(crate) fn start(bus: &Path, count: u32) -> anyhow::Result<Self> {
        let processes = count.div_ceil(2_500).max(2).min(count);
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut machines = Self(Vec::new());
        let mut first = 0;
        for left in (1..=processes).rev() {
            let share = (count - first).div_ceil(left);
            let mut command = Command::new(&program);
            command.arg("bench-machines").arg("--bus").arg(bus).args([
                "--machines",
                &share.to_string(),
                "--first",
                &first.to_string(),
            ]);
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            machines.0.push(child.context("cannot start machines")?);
            first += share;
        }
        for child in &mut machines.0 {
            let stdout = child.stdout.take().context("machines have no output")?;
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line)?;
            anyhow::ensure!(line == "ready\n", "the machines could not be started");
        }
        Ok(machines)
    }

    /// All machines end, as they do on a host that is shut down.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        for child in &mut self.0 {
            let mut stdin = child.stdin.take().context("machines have no input")?;
            stdin.write_all(b"end\n")?;
        }
        for child in &mut self.0 {
            anyhow::ensure!(child.wait()?.success(), "machines did not end well");
        }
        Ok(())
    }
}

impl Drop for Machines {
    /// The directory is the caller's, and goes with all that is in it.
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails if it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
