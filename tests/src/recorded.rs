//! What a machine recorded, seen from outside and through the reader.
#![allow(
    dead_code,
    reason = "not every test that takes this file in asks for all of it"
)]

use rondo_reader::{Limits, Point, PointValue, Series, Slab, View};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A second, in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// A bus of its own, in memory where there is such a place.
pub fn bus() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// The slab of a machine.
pub struct Recorded {
    /// It.
    pub slab: Slab,
    /// As it was when it was read; its values are those of now.
    pub view: View,
}

impl Recorded {
    /// The only slab on a bus.
    pub fn read(bus: &Path) -> Self {
        Self::open(&slab_path(bus))
    }

    /// A slab that may be anywhere.
    pub fn open(path: &Path) -> Self {
        let slab = Slab::open(path, &Limits::default()).unwrap();
        let view = slab.view().unwrap();
        Self { slab, view }
    }

    /// The first series of that name that has these labels.
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

    /// A series' newest value.
    pub fn latest(&self, name: &str, labels: &[(&str, &str)]) -> Option<PointValue> {
        let series = self.series(name, labels);
        self.slab
            .latest(series, &self.view)
            .unwrap()
            .map(|point| point.value)
    }

    /// A counter's newest total.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        match self.latest(name, labels) {
            Some(PointValue::Counter(total)) => total,
            other => panic!("{name} {labels:?}: {other:?}"),
        }
    }

    /// A gauge's newest value.
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

/// The only slab on a bus, which has to be there.
pub fn slab_path(bus: &Path) -> PathBuf {
    find_slab(bus).expect("a slab on the bus")
}

/// The only slab on a bus; one that is being made has a name that starts with a dot.
pub fn find_slab(bus: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(bus).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut slabs = names.filter(|name| name.ends_with(".slab") && !name.starts_with('.'));
    let name = slabs.next()?;
    assert_eq!(slabs.next(), None, "one slab");
    Some(bus.join(name))
}
