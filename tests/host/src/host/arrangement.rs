//! The ways to get at the metrics of machines that are compared, each as the processes that people would run.

use crate::group::Group;
use crate::output::check;
use crate::usage::Counters;
use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rondo_tests::bound::bound;
use rondo_tests::servers::{Server, free_addresses, get, metric};
use serde::{Serialize, Serializer};
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long processes may take until they answer.
const START_MAX: Duration = Duration::from_secs(60);

/// Of what a machine consists, and from one point of it to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// A writer for each machine, each second, and a collector with a store that pushes.
    Rondo,
    /// A node exporter for each machine, and a Prometheus.
    NodeExporter {
        /// From one scrape to the next.
        interval_s: u64,
    },
    /// A program with `prometheus-client` for each machine, and a Prometheus.
    SmallExporter {
        /// From one scrape to the next.
        interval_s: u64,
    },
}

impl Arrangement {
    /// All, what rondo is judged by second.
    pub const ALL: [Self; 5] = [
        Self::Rondo,
        Self::NodeExporter { interval_s: 1 },
        Self::NodeExporter { interval_s: 15 },
        Self::SmallExporter { interval_s: 1 },
        Self::SmallExporter { interval_s: 15 },
    ];

    /// What tables say.
    pub fn title(self) -> String {
        match self {
            Self::Rondo => "rondo, points of 1 s".to_owned(),
            Self::NodeExporter { interval_s } => format!("Prometheus, node_exporter, {interval_s} s"),
            Self::SmallExporter { interval_s } => format!("Prometheus, small exporter, {interval_s} s"),
        }
    }

    /// From one point of a series to the next.
    pub fn interval_s(self) -> u64 {
        match self {
            Self::Rondo => 1,
            Self::NodeExporter { interval_s } | Self::SmallExporter { interval_s } => interval_s,
        }
    }

    /// Starts all of its processes, and waits until they answer.
    ///
    /// # Errors
    /// One of them cannot be started, or a signal has set `stop`.
    pub fn start(self, machines: u32, rondo: &Path, stop: &AtomicBool) -> Result<Running> {
        match self {
            Self::Rondo => start_bus(machines, rondo, stop),
            Self::NodeExporter { interval_s } => {
                let mut clients = Group::default();
                let addresses = free_addresses(machines as usize);
                for address in &addresses {
                    let listen = format!("--web.listen-address={address}");
                    let mut command = bound("prometheus-node-exporter");
                    command.arg(listen).arg("--log.level=error").stderr(Stdio::null());
                    clients.start(&mut command)?;
                }
                for &address in &addresses {
                    wait_for(address, stop)?;
                }
                scraped(clients, &addresses, interval_s, stop)
            }
            Self::SmallExporter { interval_s } => {
                let mut clients = Group::default();
                let addresses = (0..machines).map(|number| {
                    let mut command = bound(beside("bench-exporter")?);
                    let port = clients.start_and_hear(command.args(["--number", &number.to_string()]))?;
                    Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
                });
                let addresses: Vec<_> = addresses.collect::<Result<_>>()?;
                scraped(clients, &addresses, interval_s, stop)
            }
        }
    }
}

/// As commands and JSON name it.
impl Display for Arrangement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rondo => write!(f, "rondo"),
            Self::NodeExporter { interval_s } => write!(f, "node-exporter-{interval_s}s"),
            Self::SmallExporter { interval_s } => write!(f, "small-exporter-{interval_s}s"),
        }
    }
}

impl Serialize for Arrangement {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Arrangement {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.to_string() == text);
        found.ok_or_else(|| format!("there are {}", Self::ALL.map(|one| one.to_string()).join(", ")))
    }
}

/// An arrangement while it runs; ends when dropped.
pub struct Running {
    /// One process for each machine.
    clients: Group,
    server: Serving,
}

enum Serving {
    Prometheus(Server),
    Collector(Box<Collector>),
}

/// `rondo collect` and what it needs.
struct Collector {
    process: Group,
    address: SocketAddr,
    receiver: Group,
    bus: TempDir,
    _store: TempDir,
}

/// What was read of machines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Read {
    /// Points of each series, of all machines: of a Prometheus the scrapes that succeeded.
    pub points: f64,
    /// Their values.
    pub values: f64,
}

/// What was left to do at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rest {
    /// CPU time for it.
    pub cpu_s: f64,
    /// Bytes written for it.
    pub written_bytes: u64,
}

impl Running {
    /// The process that has all values.
    pub fn server_pids(&self) -> Vec<i32> {
        match &self.server {
            Serving::Prometheus(server) => vec![server.pid().cast_signed()],
            Serving::Collector(collector) => collector.process.pids(),
        }
    }

    /// The processes of the machines.
    pub fn client_pids(&self) -> Vec<i32> {
        self.clients.pids()
    }

    /// What only takes pushed samples and counts them.
    pub fn receiver_pids(&self) -> Vec<i32> {
        match &self.server {
            Serving::Prometheus(_) => Vec::new(),
            Serving::Collector(collector) => collector.receiver.pids(),
        }
    }

    /// Shared memory that slabs take, whoever has them mapped.
    ///
    /// # Errors
    /// The bus is gone.
    pub fn slab_bytes(&self) -> Result<u64> {
        let Serving::Collector(collector) = &self.server else {
            return Ok(0);
        };
        let files = std::fs::read_dir(collector.bus.path())?;
        let blocks = files.map(|file| Ok(file?.metadata()?.blocks()));
        Ok(blocks.sum::<std::io::Result<u64>>()? * 512)
    }

    /// What a collector has read since it started, of machines with `series` series; 0 of a Prometheus, which is asked
    /// afterwards.
    pub fn read_before(&self, series: usize) -> Read {
        match &self.server {
            Serving::Prometheus(_) => Read::default(),
            Serving::Collector(collector) => collector.read(series),
        }
    }

    /// What has been read since `before`, which was `seconds` ago.
    pub fn read_since(&self, before: Read, seconds: u64, series: usize) -> Read {
        match &self.server {
            Serving::Collector(collector) => {
                let now = collector.read(series);
                Read {
                    points: now.points - before.points,
                    values: now.values - before.values,
                }
            }
            Serving::Prometheus(server) => {
                let sum = |name| number(server, &format!("sum(sum_over_time({name}[{seconds}s]))"));
                Read {
                    points: sum("up"),
                    values: sum("scrape_samples_scraped"),
                }
            }
        }
    }

    /// Ends the machines, and then it, and says what it had put off until then: a collector stores the seconds of a machine when that has
    /// ended, and keeps all rows for some minutes before it writes them. It had used `used` before; what it does until it is gone counts.
    ///
    /// # Errors
    /// The collector does not notice that the machines have ended, or does not end well; a signal has set `stop`.
    pub fn end(self, used: &Counters, stop: &AtomicBool) -> Result<Rest> {
        let Serving::Collector(collector) = self.server else {
            return Ok(Rest::default());
        };
        let machines = self.clients.pids().len();
        drop(self.clients);
        let start = Instant::now();
        while metric(collector.address, "rondo_machines_ended_total") < machines as f64 {
            check(stop)?;
            anyhow::ensure!(
                start.elapsed() < START_MAX,
                "the collector does not notice that machines end"
            );
            // Each look is a page that the collector has to make.
            std::thread::sleep(Duration::from_secs(1));
        }
        let life = |usage: nix::sys::resource::Usage| {
            let us = usage.user_time() + usage.system_time();
            let us = us.num_microseconds().unsigned_abs();
            (
                Duration::from_micros(us),
                usage.block_writes().unsigned_abs() * 512,
            )
        };
        let (cpu_before, written_before) = life(getrusage(UsageWho::RUSAGE_CHILDREN)?);
        collector.process.end().context("rondo collect")?;
        let (cpu, written_bytes) = life(getrusage(UsageWho::RUSAGE_CHILDREN)?);
        Ok(Rest {
            cpu_s: (cpu - cpu_before).saturating_sub(used.cpu()).as_secs_f64(),
            written_bytes: (written_bytes - written_before).saturating_sub(used.written_bytes()),
        })
    }
}

impl Collector {
    fn read(&self, series: usize) -> Read {
        let values = metric(self.address, "rondo_points_read_total");
        Read {
            points: values / series as f64,
            values,
        }
    }
}

fn start_bus(machines: u32, rondo: &Path, stop: &AtomicBool) -> Result<Running> {
    let (bus, store) = (tempfile::tempdir_in("/dev/shm")?, tempfile::tempdir()?);
    let (mut clients, mut process, mut receiver) = (Group::default(), Group::default(), Group::default());
    for number in 0..machines {
        let mut command = bound(beside("bench-machine")?);
        command.arg("--bus").arg(bus.path());
        clients.start_and_hear(command.args(["--number", &number.to_string()]))?;
    }
    // From a file of its own, or half of the program's pages would be its share and not the collector's.
    let receiving = store.path().join("receiver");
    std::fs::copy(rondo, &receiving).with_context(|| format!("cannot copy {}", rondo.display()))?;
    let port = receiver.start_and_hear(bound(receiving).arg("bench-receiver"))?;
    let address = free_addresses(1)[0];
    let log = File::create(store.path().join("log"))?;
    let mut command = bound(rondo);
    command.arg("collect").arg("--bus").arg(bus.path());
    command.arg("--store").arg(store.path().join("store"));
    command.arg("--listen").arg(address.to_string());
    command.arg("--remote-write");
    command.arg(format!("http://127.0.0.1:{port}/api/v1/write"));
    process.start(command.stderr(log))?;
    if let Err(error) = wait_for(address, stop) {
        let log = std::fs::read_to_string(store.path().join("log"))?;
        return Err(error.context(format!("rondo collect does not start:\n{log}")));
    }
    let collector = Collector {
        process,
        address,
        receiver,
        bus,
        _store: store,
    };
    Ok(Running {
        clients,
        server: Serving::Collector(Box::new(collector)),
    })
}

/// Starts a Prometheus, and waits until it has had each of the machines once: it starts by looking for targets every five
/// seconds, and then comes to each at a moment of its own.
fn scraped(clients: Group, addresses: &[SocketAddr], interval_s: u64, stop: &AtomicBool) -> Result<Running> {
    let targets: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let targets = targets.join(", ");
    let server = Server::prometheus(&format!(
        "scrape_configs:\n- job_name: machines\n  scrape_interval: {interval_s}s\n  scrape_timeout: {interval_s}s\n  static_configs:\n  - targets: [{targets}]\n",
    ));
    let start = Instant::now();
    let up = || number(&server, "sum(up)");
    while up() < addresses.len() as f64 {
        check(stop)?;
        anyhow::ensure!(
            start.elapsed() < START_MAX,
            "Prometheus reaches {} of {} machines:\n{}",
            up(),
            addresses.len(),
            server.log()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(Running {
        clients,
        server: Serving::Prometheus(server),
    })
}

/// What a query for a single number answers now; 0 if nothing.
fn number(server: &Server, expression: &str) -> f64 {
    let answer = server.query(expression, jiff::Timestamp::now().as_millisecond());
    let value = answer.first().and_then(|series| series["value"][1].as_str());
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// A program of this package, which is where this one is.
fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Waits until somebody answers HTTP there.
fn wait_for(address: SocketAddr, stop: &AtomicBool) -> Result<()> {
    let start = Instant::now();
    while get(address, "/").is_none() {
        check(stop)?;
        anyhow::ensure!(start.elapsed() < START_MAX, "nobody answers at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
