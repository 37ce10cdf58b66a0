//! The demo's collector: `rondo collect`, as a process of its own.
//!
//! A demo that is killed leaves no collector behind ([`child`]). What it logs is kept until somebody wants to know why
//! something failed.

use super::child;
use super::places::Places;
use crate::collect::key::Key;
use crate::collect::lock::{Holder, holder};
use crate::collect::signals::Orders;
use anyhow::{Context, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a slab stays: long enough to be seen, short enough to wait for.
const KEEP: &str = "2s";

/// How long the collector may take to start or to end, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long its pages may take to come after it has the bus.
const PAGES_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// Variables of the environment that are meant for another collector, besides those of its settings.
const OTHERS: [&str; 4] = ["RONDO_CONFIG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// A collector that runs. Dropping it ends it.
pub(super) struct Collector {
    child: Child,
    log: Option<JoinHandle<Vec<String>>>,
    address: Option<SocketAddr>,
}

impl Collector {
    /// Starts it, and waits until it has the bus.
    pub(super) fn start(places: &Places, budget_bytes: u64, orders: &Orders) -> anyhow::Result<Self> {
        let bus = places.bus();
        if let Holder::Collector(pid) = holder(bus) {
            let pid = pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"));
            bail!(
                "another collector ({pid}) is on the bus {}: leave --bus out, name another bus, or query that collector's store",
                bus.display()
            );
        }
        let address = free_address()?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = child::command(&program)?;
        command.arg("collect").arg("--bus").arg(bus);
        command.arg("--store").arg(places.store());
        command.args(["--store-budget", &budget_bytes.to_string(), "--keep", KEEP]);
        command.args(["--listen", &address.to_string()]);
        for name in Key::ALL.into_iter().map(Key::variable) {
            command.env_remove(name);
        }
        for name in OTHERS {
            command.env_remove(name);
        }
        if std::env::var_os("RONDO_LOG").is_none() {
            command.env("RONDO_LOG", "warn");
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the collector")?;
        let log = child.stderr.take().map(read_log);
        let mut collector = Self {
            child,
            log,
            address: None,
        };
        collector.wait_for_bus(places, orders)?;
        collector.address = Some(address).filter(answers);
        Ok(collector)
    }

    fn wait_for_bus(&mut self, places: &Places, orders: &Orders) -> anyhow::Result<()> {
        let ours = Holder::Collector(Some(self.child.id()));
        let deadline = Instant::now() + PATIENCE;
        while holder(places.bus()) != ours {
            super::pause(orders, PAUSE)?;
            self.check()?;
            ensure!(Instant::now() < deadline, "the collector does not start");
        }
        Ok(())
    }

    /// Where it answers HTTP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether it still runs.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot wait for the collector")? {
            None => Ok(()),
            Some(status) => {
                let said = self.said();
                // What it failed with comes last.
                let why = said.last().cloned().unwrap_or_else(|| status.to_string());
                Err(anyhow!("{}", why.trim_start_matches("rondo: ")).context("the collector ended"))
            }
        }
    }

    /// Waits until it has removed these slabs, and returns those that it left.
    pub(super) fn wait_for_removal(
        &mut self,
        slabs: impl IntoIterator<Item = PathBuf>,
        orders: &Orders,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let mut left: Vec<PathBuf> = slabs.into_iter().collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            left.retain(|slab| slab.exists());
            if left.is_empty() || Instant::now() > deadline {
                return Ok(left);
            }
            super::pause(orders, PAUSE)?;
            self.check()?;
        }
    }

    /// Ends it as an operator would, and returns what it logged.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<String>> {
        self.check()?;
        let status = self.stop()?;
        let said = self.said();
        ensure!(
            status.success(),
            "the collector failed at its end ({status}): {}",
            said.join("; ")
        );
        Ok(said)
    }

    /// SIGTERM; SIGKILL if that does not help.
    fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Its log, when it is over.
    fn said(&mut self) -> Vec<String> {
        let lines = self.log.take().and_then(|log| log.join().ok());
        lines.unwrap_or_default()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Not after it was waited for: the number may be another process's by now.
        if let Ok(None) = self.child.try_wait() {
            // Nobody is left who could be told.
            let _ = self.stop();
        }
    }
}

fn read_log(stderr: ChildStderr) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).collect())
}

/// An address of this host that nobody listens on at this moment.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?)
}

/// Whether somebody listens there soon.
fn answers(address: &SocketAddr) -> bool {
    let deadline = Instant::now() + PAGES_PATIENCE;
    loop {
        if TcpStream::connect_timeout(address, PAGES_PATIENCE).is_ok() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
