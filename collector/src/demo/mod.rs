//! `rondo demo`: machines record themselves, one is killed, and all is read back from outside.
//!
//! The machines are processes of this same program ([`machine`]). The parent never writes to a slab:
//! it starts them, kills one with SIGKILL in the middle of its life, waits for the others, and then
//! reads what is there ([`report`]).

pub mod machine;
pub mod report;

use crate::cli::{Demo, Format};
use crate::{Outcome, output};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use report::Report;
use rondo_reader::{Bus, Limits, Slab};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `rondo demo`.
///
/// # Errors
/// The machines cannot run, or their slabs not be read.
pub fn command(args: &Demo) -> anyhow::Result<Outcome> {
    let settings = Settings {
        bus: args.bus.bus.clone(),
        machines: args.machines,
        seconds: args.seconds,
    };
    let report = Report::read(&settings.bus, &run(&settings)?)?;
    let mut out = output::stdout();
    match args.output.format {
        Format::Json => output::write_json(&mut out, &report)?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            report
                .machines
                .iter()
                .try_for_each(|machine| csv.serialize(machine))?;
            csv.flush()?;
        }
        Format::Table => report.write(&mut out)?,
    }
    out.flush()?;
    Ok(if report.is_complete() {
        Outcome::Done
    } else {
        Outcome::Found
    })
}

/// What the demo does.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bus directory.
    pub bus: PathBuf,
    /// How many machines.
    pub machines: u32,
    /// How many ticks each lives.
    pub seconds: u64,
}

/// A machine as its parent saw it.
#[derive(Debug)]
pub struct Witness {
    /// Its name.
    pub instance: String,
    /// Its slab, as it said.
    pub slab: PathBuf,
    /// Whether it was killed.
    pub killed: bool,
    /// Starts of the intervals that it reported, in order.
    pub ticks: Vec<u64>,
}

/// Runs the machines and returns what was seen of them.
///
/// # Errors
/// The bus is not usable, or a machine cannot be started or fails.
pub fn run(settings: &Settings) -> anyhow::Result<Vec<Witness>> {
    make_bus(&settings.bus)?;
    remove_earlier_demos(&settings.bus)?;
    let victim = settings.machines / 2;
    let machines = (0..settings.machines)
        .map(|i| Machine::start(settings, i, settings.machines > 1 && i == victim))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bar = ProgressBar::new(settings.seconds).with_style(
        ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} s")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(format!("{} machines recording", settings.machines));
    let started = Instant::now();
    let mut to_kill = Some(victim as usize).filter(|_| settings.machines > 1);
    let mut machines = machines;
    while machines.iter_mut().any(|machine| !machine.is_over()) {
        std::thread::sleep(Duration::from_millis(50));
        bar.set_position(started.elapsed().as_secs().min(settings.seconds));
        // In the middle of its life and of an interval.
        if let Some(i) = to_kill
            && started.elapsed().as_millis() as u64 > settings.seconds * 500 + 200
        {
            machines[i].child.kill().context("cannot kill a machine")?;
            bar.set_message(format!("killed {}", machines[i].instance));
            to_kill = None;
        }
    }
    bar.finish_and_clear();
    machines.into_iter().map(Machine::finish).collect()
}

/// Makes the bus directory if it is the default one; anything else has to exist.
fn make_bus(bus: &Path) -> anyhow::Result<()> {
    if bus == Path::new(rondo_writer::DEFAULT_BUS) && !bus.exists() {
        std::fs::create_dir(bus).with_context(|| format!("cannot make {}", bus.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(bus, mode)?;
    }
    anyhow::ensure!(
        bus.is_dir(),
        "bus directory {} does not exist; create it, or leave --bus out",
        bus.display()
    );
    Ok(())
}

/// Slabs stay after their machines, so those of the last demo are removed by the next.
fn remove_earlier_demos(bus: &Path) -> anyhow::Result<()> {
    let bus = Bus::open(bus, &Limits::default())?;
    let paths: Vec<_> = bus
        .slabs()
        .filter(|slab| is_demo(slab))
        .map(|slab| slab.path().to_owned())
        .collect();
    for path in paths {
        // Another demo may have done so meanwhile.
        match Slab::open(&path, &Limits::default()).and_then(|slab| slab.remove()) {
            Ok(_) | Err(rondo_reader::Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_demo(slab: &Slab) -> bool {
    let identity = slab.identity();
    let number = identity.instance.strip_prefix("demo-");
    number.is_some_and(|number| number.parse::<u32>().is_ok())
        && identity
            .labels
            .iter()
            .any(|(name, value)| name == "demo" && value == "true")
        && slab.owner_uid() == nix::unistd::geteuid().as_raw()
}

/// What a machine printed: its slab, then the start of each interval that it ticked.
type Said = (Option<PathBuf>, Vec<u64>);

struct Machine {
    instance: String,
    child: Child,
    said: std::thread::JoinHandle<Said>,
    is_victim: bool,
}

impl Machine {
    fn start(settings: &Settings, index: u32, is_victim: bool) -> anyhow::Result<Self> {
        let instance = format!("demo-{}", index + 1);
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .arg("demo-machine")
            .arg("--bus")
            .arg(&settings.bus)
            .args([
                "--instance",
                &instance,
                "--seconds",
                &settings.seconds.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a machine")?;
        let mut lines = BufReader::new(child.stdout.take().context("a machine has no output")?)
            .lines()
            .map_while(Result::ok);
        let said = std::thread::spawn(move || {
            let slab = lines.next().map(PathBuf::from);
            (slab, lines.filter_map(|line| line.parse().ok()).collect())
        });
        Ok(Self {
            instance,
            child,
            said,
            is_victim,
        })
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    fn finish(mut self) -> anyhow::Result<Witness> {
        let status = self.child.wait()?;
        let (slab, ticks) = self
            .said
            .join()
            .map_err(|_| anyhow::anyhow!("cannot read what {} said", self.instance))?;
        anyhow::ensure!(
            status.success() || self.is_victim,
            "machine {} failed: {status}",
            self.instance
        );
        Ok(Witness {
            slab: slab.with_context(|| format!("{} made no slab", self.instance))?,
            instance: self.instance,
            killed: !status.success(),
            ticks,
        })
    }
}
