//! The command line, and what it builds.

use crate::boot::{self, Linux};
use crate::devices::Console;
use crate::devices::block::DiskConfig;
use crate::disks;
use crate::ending::Ending;
use crate::error::Error;
use crate::event_log::EventLog;
use crate::event_loop::Deadline;
use crate::machine::{Machine, MachineConfig};
use crate::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use crate::terminal::RawMode;
use crate::toy::{self, Finish, Toy};
use clap::{Args, Parser};
use nix::poll::{PollFd, PollFlags, poll};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// How long a message waits for standard error.
const SAY_TIMEOUT_MS: u16 = 1000;

/// Runs a guest on KVM and records every exit on a rondo bus.
///
/// Ctrl-A X ends the machine from its console. A terminal stays raw when the VMM is killed outright (SIGKILL, or a
/// system call that its filters forbid): `stty sane` mends it, typed blindly and ended with Ctrl-J.
#[derive(Debug, Parser)]
#[command(version, name = "rondo-vmm")]
pub struct Cli {
    /// Memory of the guest, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    memory: u64,

    /// vCPUs, each with a thread of its own. From some 60 on (15 with `--metrics all`) the slab is larger than
    /// readers take by themselves
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=254))]
    cpus: u32,

    /// Name of the machine on the bus [default: vmm- and the process id]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,

    /// Bus directory
    #[arg(long, value_name = "DIRECTORY", env = "RONDO_BUS")]
    bus: Option<PathBuf>,

    /// How much to record
    #[arg(long, value_name = "SET", value_enum, default_value_t)]
    metrics: MetricsSet,

    /// A disk: a regular file or a block device; `,ro` at the end lets the guest only read. May be repeated
    #[arg(long = "disk", value_name = "PATH[,ro]")]
    disks: Vec<DiskConfig>,

    /// End after that many seconds, whatever the guest does
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,

    /// Append the machine's life to this file or pipe, a line of JSON for its start, each tick and its end
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,

    /// Run without seccomp filters
    #[arg(long)]
    no_seccomp: bool,

    #[command(flatten)]
    guest: GuestArgs,

    #[command(flatten)]
    linux: LinuxArgs,

    #[command(flatten)]
    toy: ToyArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct GuestArgs {
    /// Run the toy guest: a burst of port accesses, accesses to the block device, idleness, and again
    #[arg(long)]
    toy: bool,

    /// Boot this Linux kernel: a bzImage, or an uncompressed vmlinux
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Linux")]
struct LinuxArgs {
    /// Its initramfs
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initramfs: Option<PathBuf>,

    /// Its command line
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = boot::DEFAULT_COMMAND_LINE)]
    cmdline: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Toy guest")]
struct ToyArgs {
    /// Rounds before it ends [default: no end]
    #[arg(long, value_name = "COUNT", requires = "toy")]
    toy_rounds: Option<u64>,

    /// Pairs of port accesses in a burst [default: as many as 3 seconds take]
    #[arg(long, value_name = "COUNT", requires = "toy")]
    toy_burst: Option<u64>,

    /// Blocks to be written and read again in a disk phase; without a disk, pairs of accesses to where its
    /// registers would be [default: as many as 3 seconds take]
    #[arg(long, value_name = "COUNT", requires = "toy")]
    toy_disk: Option<u64>,

    /// Timer interrupts, 100 a second, in an idle phase
    #[arg(long, value_name = "COUNT", requires = "toy", default_value_t = 300)]
    toy_idle: u64,

    /// What it does after its last round
    #[arg(long, value_name = "HOW", requires = "toy", value_enum, default_value_t)]
    toy_finish: Finish,
}

impl ToyArgs {
    fn toy(&self, has_disk: bool) -> Toy {
        let bounds = |accesses: Option<u64>, default: Toy| match accesses {
            Some(accesses) => (accesses, u64::MAX),
            None => (u64::MAX, default.burst_ticks),
        };
        let default = Toy::default();
        let (burst_accesses, burst_ticks) = bounds(self.toy_burst, default);
        let (disk_accesses, disk_ticks) = bounds(self.toy_disk, default);
        Toy {
            rounds: self.toy_rounds,
            burst_accesses,
            burst_ticks,
            has_disk,
            disk_accesses,
            disk_ticks,
            idle_ticks: self.toy_idle,
            finish: self.toy_finish,
            ..default
        }
    }
}

impl Cli {
    /// Runs the machine to its end, and says on standard error how that came.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(&self) -> Result<Ending, Error> {
        if self.memory < toy::MEMORY_MIN_MIB {
            return Err(Error::MemoryTooSmall {
                given_mib: self.memory,
                needed_mib: toy::MEMORY_MIN_MIB,
                guest: "any guest",
            });
        }
        let mut machine = Machine::new(self.machine(), self.metrics()?, console()?)?;
        if let Some(seconds) = self.seconds {
            let deadline = Deadline::new(Duration::from_secs(seconds.into()), machine.end().clone())?;
            machine.subscribe(Box::new(deadline));
        }
        let log = self.events.as_deref().map(EventLog::open).transpose()?;
        let virtio = disks::attach(&mut machine, &self.disks)?;
        let memory = machine.vm().memory.clone();
        let linux = self.linux();
        let entry = match &linux {
            Some(linux) => linux.load(&memory, self.cpus, &virtio)?,
            None => self.toy.toy(!self.disks.is_empty()).load(&memory)?,
        };
        if let Some(log) = log {
            machine.log_events(log);
        }
        say_panics();
        // The toy guest reads nothing: Ctrl-C is for the VMM.
        let raw_mode = RawMode::enter(linux.is_none())?;
        let ended = machine.run(entry);
        drop(raw_mode);
        let ending = ended?;
        if linux.is_none() {
            say(format_args!("toy guest: {}", Toy::ledger(&memory)?));
        }
        say(&ending);
        Ok(ending)
    }

    fn linux(&self) -> Option<Linux> {
        Some(Linux {
            kernel: self.guest.kernel.clone()?,
            initramfs: self.linux.initramfs.clone(),
            command_line: self.linux.cmdline.clone(),
        })
    }

    fn machine(&self) -> MachineConfig {
        MachineConfig {
            memory_mib: self.memory,
            cpus: self.cpus,
            seccomp: !self.no_seccomp,
        }
    }

    fn metrics(&self) -> Result<VmMetrics, Error> {
        let instance = self.instance.clone();
        let config = MetricsConfig {
            instance: instance.unwrap_or_else(|| format!("vmm-{}", std::process::id())),
            bus: self.bus.clone(),
            set: self.metrics,
            cpus: self.cpus,
            disks: self.disks.len() as u32,
            device_series: (0, 0),
        };
        let (mut metrics, refused) = VmMetrics::create(&config)?;
        for warning in metrics.writer().warnings() {
            say(format_args!("warning: {warning}"));
        }
        if let Some(refused) = refused {
            say(format_args!("warning: no metrics: {refused}"));
        }
        Ok(metrics)
    }
}

/// Says it on standard error, unless nobody takes it for a second: neither a pipe that is full nor one that is broken
/// keeps a machine from its end.
pub fn say(message: impl fmt::Display) {
    let (line, stderr) = (format!("rondo-vmm: {message}\n"), io::stderr());
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut descriptors, SAY_TIMEOUT_MS) == Ok(1) {
        let _ = (&stderr).write_all(line.as_bytes());
    }
}

/// From now on a panic is said in a line, without the backtrace that RUST_BACKTRACE asks for: that opens files, which the
/// filters forbid.
pub fn say_panics() {
    std::panic::set_hook(Box::new(|panic| say(panic)));
}

/// Standard output without a buffer: a guest's prompt has no line end.
fn console() -> Result<Console, Error> {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    Ok(Box::new(File::from(
        stdout.map_err(Error::system("open the console"))?,
    )))
}
