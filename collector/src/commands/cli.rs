//! What can be typed: commands, options, and their help.

mod export;
mod query;

pub use export::{Export, ExportFormat};
pub use query::{Explain, Query, Selection, Typed};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

mod daemon;
pub use daemon::{Collect, Doctor, Free, Gc};

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  nothing matched, `verify` has findings, or a check of `doctor` failed
  2  wrong usage, or an error";

const LS_EXAMPLES: &str = "\
Examples:
  rondo ls                       what is on the bus
  rondo ls --bus /run/rondo      what is on another
  rondo ls -o json | jq '.slabs[] | select(.state == \"dead\") | .file'

Files that are refused, and why, are listed on standard error.";

const INFO_EXAMPLES: &str = "\
Examples:
  rondo info vm-1                the newest live slab of the machine vm-1
  rondo info vm-1/devices        its slab of the schema `devices`
  rondo info ./saved.slab        a slab in a file
  rondo info /var/lib/rondo      a store: what it holds, and what retention its budget buys
  rondo info /var/lib/rondo --instance vm-1      and what it holds of the machine vm-1
  rondo info http://127.0.0.1:9190               the JSON of a collector

CSV has the table of series only; of a store that of its tiers, or of a machine's tiers.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  rondo verify /dev/shm/rondo/*.slab     every slab of the bus
  rondo verify vm-1                      all slabs of the machine vm-1
  rondo verify -o json ./saved.slab

Prints one line for each finding, `FILE: RULE: DETAIL`, and nothing for a slab that keeps all rules of section 14 of
spec/slab.md. A slab in the bus directory also has to have the file name that its identity gives.";

const BENCH_EXAMPLES: &str = "\
Examples:
  rondo bench                    10 million records into 30 series
  rondo bench -o json
  rondo bench --points 1000000 --dir /tmp
  rondo bench --collector --machines 100,10000 --full-store
  rondo bench --remote-write --machines 100,10000

A record takes less time than reading the clock before and after it, so the latencies include the timer, whose own
cost is printed beside them. The throughput is timed as a whole.

With --collector, processes of this program write slabs in real time, 30 series each, and a collector of its own passes over
them, as `rondo collect` does. Costs are CPU time by the kernel's clocks; the store is on the disk of --store. 10,000
machines take 4.3 GB of shared memory while it runs.";

const DEMO_EXAMPLES: &str = "\
Examples:
  rondo demo                           3 machines, 45 seconds
  rondo demo --machines 10 --seconds 10 -o json
  rondo demo --store /tmp/demo-store      keeps what was stored, for rondo query
  rondo demo --bus /dev/shm/rondo --store /tmp/demo-store
  rondo demo --machines-as process     also where there is a KVM
  rondo demo --machines 1 --linux target/guest      a Linux guest; see `make demo-linux`

The machines are VMs of rondo-vmm with toy guests, which turn from port accesses to their disk to idleness and back, or, where
KVM cannot be used, processes that measure themselves. Half-way one of them, if there are several, is killed with SIGKILL; the
others end after --seconds ticks. A collector stores what they record and removes their slabs; then it ends, and all is read
back from the store. A point is a second in which every series that is recorded at each tick has a value; one is expected for
each tick that a machine reported, and so are the windows of tier 1 and 2 that have such a second, of which the machine's end
seals the last. SKIPPED are seconds in which a machine, by its own report, did not tick: its host was too busy. A VMM counts
them itself, in vmm_missed_ticks_total, and the two have to agree.

The collector looks after the whole bus that --bus names: it also stores, and removes, slabs of others that have
ended. Without --bus and --store the demo has directories of its own, and removes them.

Exit code 1 if a point or a window is missing, a slab is left, or a machine recorded another number of skipped ticks than it
reported.";

const COLLECT_EXAMPLES: &str = "\
Examples:
  rondo collect                                   the default bus, 2 GiB of store, HTTP on 127.0.0.1:9190
  rondo collect --bus /run/rondo --store-budget 20GiB
  rondo collect --listen unix:/run/rondo-collector/http.sock
  rondo collect --config /etc/rondo/collector.toml
  rondo collect --remote-write http://127.0.0.1:9090/api/v1/write

Each setting is also a variable, RONDO_STORE_BUDGET=20GiB, and a key of the file, store_budget = \"20GiB\". Flags come
before the environment, that before the file. SIGTERM and SIGINT store what is complete and end it, a second one ends it at
once; SIGHUP reads the file again: keep, the limits and remote_write change, anything else needs a restart. RONDO_LOG is the
level of its log on standard error.";

const GC_EXAMPLES: &str = "\
Examples:
  rondo gc                             what could go, and why
  rondo gc --remove                    removes it
  rondo gc --remove --min-free 20%     the oldest, until a fifth of the file system is free
  rondo gc --remove --older-than 10m

Takes slabs whose writer is gone, and files that writers which died while making a slab left behind; never a live slab. While a
collector is on the bus, what ended in the last two minutes is left to it, unless --force is given. Exit code 1 if
--min-free cannot be met.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  rondo doctor                         the default bus and store
  rondo doctor --bus /run/rondo --store /var/lib/rondo
  rondo doctor --url http://127.0.0.1:9190
  rondo doctor -o json | jq '.findings[] | select(.level != \"ok\")'

Run it as the collector's user, or as root: other users see less. Exit code 1 if a check fails; warnings are no failure.";

/// Reads what machines record, from shared memory.
#[derive(Debug, Parser)]
#[command(name = "rondo", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the slabs of the bus
    #[command(after_help = LS_EXAMPLES)]
    Ls(Ls),
    /// Show who writes a slab, what it has room for, and its series; or what a store holds
    #[command(after_help = INFO_EXAMPLES)]
    Info(Info),
    /// Print the points of series
    #[command(after_help = query::QUERY_EXAMPLES)]
    Query(Query),
    /// Say which tier answers a query, what each has, and why there is nothing
    #[command(after_help = query::EXPLAIN_EXAMPLES)]
    Explain(Explain),
    /// Take the rows of a store or slab away: OpenMetrics, CSV or JSON lines
    #[command(after_help = export::EXPORT_EXAMPLES)]
    Export(Export),
    /// Check slabs against every rule of the format
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Collect what all machines record, each second, into a store of fixed size
    #[command(after_help = COLLECT_EXAMPLES)]
    Collect(Collect),
    /// Remove slabs that no one owns
    #[command(after_help = GC_EXAMPLES)]
    Gc(Gc),
    /// Find what is wrong with the bus, the store and the collector, and say what mends it
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Doctor),
    /// Measure what a record costs on this machine
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// Start machines that record themselves and a collector, kill a machine, and read all back from the store
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(Demo),
    /// One machine of the demo
    #[command(hide = true)]
    DemoMachine(DemoMachine),
    /// A program that ends with the demo
    #[command(hide = true)]
    DemoChild(DemoChild),
    /// Machines of the collector's benchmark
    #[command(hide = true)]
    BenchMachines(BenchMachines),
    /// Fills a store for it
    #[command(hide = true)]
    BenchStore(BenchStore),
    /// One of its measurements, in a process of its own
    #[command(hide = true)]
    BenchCase(BenchCase),
    /// One measurement of remote write
    #[command(hide = true)]
    BenchPush(BenchPush),
    /// A server that counts what is pushed
    #[command(hide = true)]
    BenchReceiver,
}

/// Arguments of `rondo ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// Which bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `rondo info`.
#[derive(Debug, Args)]
pub struct Info {
    /// A path of a slab (ending in .slab, or starting with / or .), an instance on the bus, INSTANCE/SCHEMA, the
    /// directory of a store, or a collector: http://HOST:PORT or unix:PATH
    pub target: String,
    /// Of a store, also what it holds of this machine
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Which bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `rondo verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Slabs: paths (ending in .slab, or starting with / or .), or instances on the bus
    #[arg(required = true, value_name = "SLAB")]
    pub slabs: Vec<String>,
    /// Which bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `rondo bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Records in each loop
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000_000))]
    pub points: u64,
    /// Series written in turn, a fifth of them distributions
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub series: u32,
    /// Where to make slabs, which are removed at the end
    #[arg(long, default_value = "/dev/shm", value_name = "DIR")]
    pub dir: PathBuf,
    /// How many machines the collector collects from, one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "100", requires = "what", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub machines: Vec<u32>,
    /// How the collector is measured.
    #[command(flatten)]
    pub collecting: BenchCollecting,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How the collector is measured.
#[derive(Debug, Clone, Args)]
pub struct BenchCollecting {
    /// Measure the collector instead
    #[arg(long, group = "what")]
    pub collector: bool,
    /// Measure remote write instead: a backlog of 50 minutes, and the collector without and with a destination
    #[arg(long, group = "what")]
    pub remote_write: bool,
    /// Seconds for which its passes are measured; rows are stored after five minutes
    #[arg(long, default_value_t = 60, requires = "what", value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub seconds: u64,
    /// Fill its store of 2 GiB first
    #[arg(long, requires = "collector")]
    pub full_store: bool,
    /// How often a backlog is caught up with
    #[arg(long, hide = true, default_value_t = 5, requires = "what", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Where to make its store, which is removed at the end; the directory for temporary files unless given
    #[arg(long, requires = "what", value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// Arguments of the benchmark's machines.
#[derive(Debug, Args)]
pub struct BenchMachines {
    /// Directory of the slabs
    #[arg(long)]
    pub bus: PathBuf,
    /// How many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub machines: u32,
    /// Number of the first
    #[arg(long)]
    pub first: u32,
}

/// Arguments of what fills a store.
#[derive(Debug, Args)]
pub struct BenchStore {
    /// Where to
    #[arg(long)]
    pub store: PathBuf,
    /// With 50 minutes of so many machines, instead of all that fits
    #[arg(long, value_name = "MACHINES")]
    pub backlog: Option<u32>,
}

/// Arguments of one measurement of remote write.
#[derive(Debug, Args)]
pub struct BenchPush {
    /// Directory of the bus
    #[arg(long)]
    pub bus: PathBuf,
    /// Directory of the store
    #[arg(long)]
    pub store: PathBuf,
    /// How many machines live
    #[arg(long)]
    pub machines: Option<u32>,
    /// Seconds without a destination, and with one
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// By the words of 2.0
    #[arg(long)]
    pub v2: bool,
}

/// Arguments of one measurement.
#[derive(Debug, Args)]
pub struct BenchCase {
    /// How many machines
    #[arg(long)]
    pub machines: u32,
    /// Where to make slabs
    #[arg(long)]
    pub dir: PathBuf,
    /// How.
    #[command(flatten)]
    pub collecting: BenchCollecting,
}

/// Arguments of `rondo demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// How many machines
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub machines: u32,
    /// How many ticks each lives
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u64).range(4..=600))]
    pub seconds: u64,
    /// What the machines are
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub machines_as: MachinesAs,
    /// The VMM of VMs [default: rondo-vmm beside this program]
    #[arg(long, value_name = "FILE")]
    pub vmm: Option<PathBuf>,
    /// VMs run this Linux, `vmlinuz` and `initramfs` of vmm/guest/build.sh, and their consoles are shown
    #[arg(long, value_name = "DIR")]
    pub linux: Option<PathBuf>,
    /// Directory of the slabs, which has to exist [default: one of its own, in /dev/shm]
    #[arg(long, value_name = "DIR")]
    pub bus: Option<PathBuf>,
    /// Directory of the store, which stays [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What the demo's machines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum MachinesAs {
    /// VMs if a guest runs here, otherwise processes
    #[default]
    Auto,
    /// VMs, or an error that says why not
    Vmm,
    /// Processes that measure themselves
    Process,
}

/// Arguments of a machine of the demo.
#[derive(Debug, Args)]
pub struct DemoMachine {
    /// Its name
    #[arg(long)]
    pub instance: String,
    /// How many ticks it lives
    #[arg(long)]
    pub seconds: u64,
    /// Directory of the slabs
    #[arg(long)]
    pub bus: PathBuf,
}

/// What a child of the demo becomes.
#[derive(Debug, Args)]
pub struct DemoChild {
    /// The program
    pub program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// Which bus.
#[derive(Debug, Args)]
pub struct BusArgs {
    /// Directory of the slabs
    #[arg(long, env = "RONDO_BUS", default_value = "/dev/shm/rondo", value_name = "DIR")]
    pub bus: PathBuf,
    /// Largest slab that is read, in MiB
    #[arg(long, default_value_t = 16, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub slab_max: u64,
}

/// How to print.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// How to print; always a table unless told otherwise
    #[arg(short = 'o', long, visible_alias = "output", value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}
