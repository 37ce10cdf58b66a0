//! `rondo collect` as a process, and what its store has when it is over.

use super::machine::{Machine, TICKED, counted};
use super::summary::Captured;
use crate::group::Group;
use anyhow::{Context, Result, ensure};
use rondo_tests::bound::bound;
use rondo_tests::servers::{free_addresses, get, metric};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that is under way.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room for all machines of a run several times over.
const STORE: &str = "256MiB";

/// A collector over a bus of its own, in shared memory.
pub struct Collecting {
    rondo: PathBuf,
    process: Group,
    address: SocketAddr,
    bus: TempDir,
    directory: TempDir,
}

/// What a store has, by machine.
pub struct Stored(HashMap<String, Known>);

#[derive(Default)]
struct Known {
    /// Starts of the seconds of which there is a row, in slab time.
    stamps: BTreeSet<u64>,
    /// The sum of the newest totals.
    exits: f64,
}

/// What `rondo query -o json` says (`spec/query.md`).
#[derive(Deserialize)]
struct Answer {
    series: Vec<Series>,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Series {
    instance: String,
    clock_offset_ns: i64,
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    wall_ns: i64,
    value: Option<f64>,
}

impl Collecting {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(rondo: PathBuf) -> Result<Self> {
        let (bus, directory) = (tempfile::tempdir_in("/dev/shm")?, tempfile::tempdir()?);
        let address = free_addresses(1)[0];
        let log = directory.path().join("log");
        let mut command = bound(&rondo);
        command.arg("collect").arg("--bus").arg(bus.path());
        command.arg("--store").arg(directory.path().join("store"));
        command.args(["--store-budget", STORE, "--listen", &address.to_string()]);
        let mut process = Group::default();
        process.start(command.stderr(File::create(&log)?))?;
        let this = Self {
            rondo,
            process,
            address,
            bus,
            directory,
        };
        let answers = wait_until(|| get(this.address, "/-/ready").is_some_and(|(status, _)| status == 200));
        ensure!(
            answers,
            "rondo collect does not start:\n{}",
            fs::read_to_string(&log)?
        );
        Ok(this)
    }

    /// Where machines put their slabs.
    pub fn bus(&self) -> &Path {
        self.bus.path()
    }

    /// Lets the collector look at the machines a last time, ends it, and reads its store, as anybody would.
    ///
    /// # Errors
    /// It does not end well, or its store cannot be read.
    pub fn end(self) -> Result<Stored> {
        let passes = || metric(self.address, "rondo_passes_total");
        // The one that runs now may have begun before the last machine was gone.
        let last = passes() + 2.0;
        ensure!(wait_until(|| passes() >= last), "rondo collect makes no passes");
        self.process.end().context("rondo collect")?;
        let store = self.directory.path().join("store");
        let rows = query(&self.rondo, &store, TICKED)?;
        let totals = query(&self.rondo, &store, &counted(""))?;
        let mut machines = HashMap::<String, Known>::new();
        for series in &rows {
            let stamps = series.points.iter();
            let stamps =
                stamps.map(|point| point.wall_ns.wrapping_sub(series.clock_offset_ns).cast_unsigned());
            machines
                .entry(series.instance.clone())
                .or_default()
                .stamps
                .extend(stamps);
        }
        for series in &totals {
            let newest = series.points.last().and_then(|point| point.value);
            machines.entry(series.instance.clone()).or_default().exits += newest.unwrap_or(0.0);
        }
        Ok(Stored(machines))
    }
}

/// The series of a store that a selector has, second by second.
fn query(rondo: &Path, store: &Path, selector: &str) -> Result<Vec<Series>> {
    let mut command = Command::new(rondo);
    command.arg("query").arg(store).arg(selector);
    let output = command
        .args(["--range", "all", "--tier", "0", "-o", "json"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "rondo query {selector}: {said}");
    let answer: Answer = serde_json::from_slice(&output.stdout)?;
    ensure!(
        answer.warnings.is_empty(),
        "rondo query {selector}: {:?}",
        answer.warnings
    );
    Ok(answer.series)
}

/// Whether it becomes so.
fn wait_until(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

impl Stored {
    /// What it has of a machine. A row of a second in which the machine did not tick is an error, not a point.
    ///
    /// # Errors
    /// There is such a row.
    pub fn captured(&self, machine: &Machine) -> Result<Captured> {
        let Some(known) = self.0.get(&machine.instance) else {
            return Ok(Captured::default());
        };
        let invented: Vec<_> = known.stamps.difference(&machine.ticks).collect();
        ensure!(
            invented.is_empty(),
            "{}: the store has rows of {invented:?}, when the machine did not tick",
            machine.instance
        );
        Ok(Captured {
            points: known.stamps.len() as u64,
            // A counter of rondo's begins with the zero of its registration.
            increase: Some(known.exits),
            last: Some(known.exits),
            seen_after_s: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(ticks: &[u64]) -> Machine {
        Machine {
            instance: "vm-1".to_owned(),
            life_s: 5,
            born_ms: 0,
            ended_ms: 5_000,
            ticks: ticks.iter().copied().collect(),
            missed_ticks: 0,
            exits: 7,
            guest_exits: None,
        }
    }

    #[test]
    fn a_row_that_no_tick_stands_behind_is_an_error() {
        let known = Known {
            stamps: [3, 4].into(),
            exits: 7.0,
        };
        let stored = Stored(HashMap::from([("vm-1".to_owned(), known)]));
        assert_eq!(stored.captured(&machine(&[3, 4, 5])).unwrap().points, 2);
        let error = stored.captured(&machine(&[4, 5])).unwrap_err().to_string();
        assert!(error.contains("rows of [3]"), "{error}");
        let unknown = Machine {
            instance: "vm-2".to_owned(),
            ..machine(&[1])
        };
        assert_eq!(stored.captured(&unknown).unwrap(), Captured::default());
    }
}
