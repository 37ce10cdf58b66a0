//! Runs `rondo-vmm` and reads what it recorded, from outside and through the reader.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test uses another part, and one that cannot go on fails"
)]

#[path = "../../../tests/src/skip.rs"]
mod skip;

pub use skip::skip;

use rondo_reader::{Limits, Point, PointValue, Series, Slab, View};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub const SECOND: u64 = 1_000_000_000;

/// Whether guests can run here; says so aloud if not.
pub fn has_kvm(test: &str) -> bool {
    match kvm_ioctls::Kvm::new() {
        Ok(_) => true,
        Err(error) => {
            skip(test, &format!("/dev/kvm cannot be opened: {error}"));
            false
        }
    }
}

/// A bus of its own, in memory where there is such a place.
pub fn bus() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// The toy guest's shortest life.
pub const BRIEF: [&str; 8] = [
    "--toy-rounds",
    "1",
    "--toy-burst",
    "1",
    "--toy-disk",
    "1",
    "--toy-idle",
    "1",
];

/// The VMM with a toy guest and further arguments.
pub fn vmm(bus: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("rondo-vmm"));
    command
        .args(["--toy", "--instance", "vm-1", "--bus"])
        .arg(bus)
        .args(arguments)
        .env_remove("RONDO_BUS")
        .stdin(Stdio::null());
    command
}

/// What a VMM that ended said and recorded.
pub struct Run {
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub ledger: BTreeMap<String, u64>,
    pub recorded: Recorded,
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Run {
    let bus = bus();
    let output = vmm(bus.path(), arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Run {
        exit_code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        ledger: ledger(&stderr),
        stderr,
        recorded: Recorded::read(bus.path()),
    }
}

/// Starts it, with its output thrown away. It ends by itself when the test fails and leaves it alone.
pub fn start(bus: &Path, arguments: &[&str]) -> Child {
    vmm(bus, arguments)
        .args(["--seconds", "30"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The numbers of the line in which the toy guest says what it did.
fn ledger(stderr: &str) -> BTreeMap<String, u64> {
    let line = stderr.lines().find_map(|line| line.split_once("toy guest: "));
    let (_, numbers) = line.unwrap_or_else(|| panic!("no ledger: {stderr}"));
    let number = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    numbers.split(' ').map(number).collect()
}

/// The slab of a machine.
pub struct Recorded {
    pub slab: Slab,
    pub view: View,
}

impl Recorded {
    /// The only slab on a bus.
    pub fn read(bus: &Path) -> Self {
        Self::open(&slab_path(bus))
    }

    pub fn open(path: &Path) -> Self {
        let slab = Slab::open(path, &Limits::default()).unwrap();
        let view = slab.view().unwrap();
        Self { slab, view }
    }

    pub fn series(&self, name: &str, labels: &[(&str, &str)]) -> &Series {
        let has = |series: &Series, (name, value): (&str, &str)| {
            series.labels.iter().any(|(n, v)| n == name && v == value)
        };
        let found = self
            .slab
            .series()
            .iter()
            .find(|series| series.name == name && labels.iter().all(|label| has(series, *label)));
        found.unwrap_or_else(|| panic!("no series {name} {labels:?}"))
    }

    pub fn latest(&self, name: &str, labels: &[(&str, &str)]) -> Option<PointValue> {
        let series = self.series(name, labels);
        self.slab
            .latest(series, &self.view)
            .unwrap()
            .map(|point| point.value)
    }

    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        match self.latest(name, labels) {
            Some(PointValue::Counter(total)) => total,
            other => panic!("{name} {labels:?}: {other:?}"),
        }
    }

    pub fn gauge(&self, name: &str) -> f64 {
        match self.latest(name, &[]) {
            Some(PointValue::Gauge(value)) => value,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// How many samples a distribution or histogram has, their sum, and the greatest of its last interval.
    pub fn samples(&self, name: &str, labels: &[(&str, &str)]) -> (u64, f64, f64) {
        match self.latest(name, labels) {
            Some(PointValue::Distribution { count, sum, max, .. }) => (count, sum, max.unwrap_or(0.0)),
            None => (0, 0.0, 0.0),
            other => panic!("{name} {labels:?}: {other:?}"),
        }
    }

    /// Exits of a vCPU for one reason.
    pub fn exits(&self, vcpu: &str, reason: &str) -> u64 {
        self.counter("vcpu_exits_total", &[("vcpu", vcpu), ("reason", reason)])
    }

    /// All points from the first interval of `name` to the slab's last tick.
    pub fn points(&self, name: &str, labels: &[(&str, &str)]) -> Vec<Point> {
        let series = self.series(name, labels);
        let first = series.registered_ns - series.registered_ns % SECOND;
        self.slab
            .range(series, &self.view, first, self.view.ticked_ns)
            .unwrap()
    }
}

pub fn slab_path(bus: &Path) -> PathBuf {
    find_slab(bus).expect("a slab on the bus")
}

/// The only slab on a bus; one that is being made has a name that starts with a dot.
fn find_slab(bus: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(bus).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut slabs = names.filter(|name| name.ends_with(".slab") && !name.starts_with('.'));
    let name = slabs.next()?;
    assert_eq!(slabs.next(), None, "one slab");
    Some(bus.join(name))
}

/// Waits until something is so; fails when it takes longer than 10 s.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never came: {what}");
}

/// Waits until the VMM's guest has left for the VMM some times.
pub fn wait_for_exits(bus: &Path) {
    wait_until("exits", || {
        let slab = find_slab(bus).and_then(|path| Slab::open(path, &Limits::default()).ok());
        // The last series that is registered before the guest runs.
        let is_ready = |slab: &Slab| {
            let mut series = slab.series().iter();
            series.any(|series| series.name == "vcpu_cpu_time_ns_total")
        };
        slab.as_ref().is_some_and(is_ready) && Recorded::read(bus).exits("0", "io_out") > 20
    });
}
