//! A machine that behaves, beside one that does not, and bytes of slabs changed behind everybody's back.

use crate::raw::RawSlab;
use crate::simulation::{GUIDE, Host, Machine, assert_tiers, schema};
use rondo_collector::collector::{Collector, PassReport};
use rondo_writer::Writer;
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A pass over two slabs takes a millisecond; this is for a loaded machine and a debug build, and far from what a loop
/// over 2^62 nanoseconds takes.
const PASS_MAX: Duration = Duration::from_secs(10);

/// A collector, and the machine that must not suffer.
pub struct Scene {
    /// Where they are.
    pub host: Host,
    /// What looks at them.
    pub collector: Collector,
    good: Machine,
    second: u64,
}

impl Scene {
    /// On a bus of their own.
    #[allow(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        let host = Host::new();
        let collector = host.collector();
        let good = Machine::start(&host, "good", schema(&GUIDE));
        Self {
            host,
            collector,
            good,
            second: 0,
        }
    }

    /// A second of the good machine, and a pass.
    pub fn pass(&mut self) -> PassReport {
        self.good.live(self.second);
        let began = Instant::now();
        let report = self.collector.pass(self.host.at(self.second), true);
        assert!(began.elapsed() < PASS_MAX, "a pass took {:?}", began.elapsed());
        self.second += 1;
        report
    }

    /// Passes in which nothing goes wrong.
    pub fn quiet_passes(&mut self, passes: u64) {
        for _ in 0..passes {
            let report = self.pass();
            assert!(report.errors.is_empty(), "{:?}", report.errors);
        }
    }

    /// Seconds of another machine beside the good one, each with a pass in which nothing goes wrong.
    pub fn live_beside(&mut self, other: &mut Machine, seconds: Range<u64>) {
        for second in seconds {
            other.live(second);
            self.quiet_passes(1);
        }
    }

    /// Passes until the slab of an ended machine has been kept long enough.
    pub fn until_removed(&mut self, path: &Path) {
        for _ in 0..70 {
            self.pass();
        }
        assert!(!path.exists(), "{} is still there", path.display());
    }

    /// The good machine ends, and all of it has to be there.
    pub fn end(mut self) {
        drop(self.good);
        let report = self.collector.pass(self.host.at(self.second), true);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_tiers(self.collector.archives(), "good", 0..self.second, &GUIDE);
    }
}

/// The file of a machine that has one.
pub fn path_of(writer: &Writer) -> PathBuf {
    writer.paths().next().unwrap().to_owned()
}

/// The bytes of a slab as they are now, and a way to change them behind everybody's back.
pub struct Poke {
    path: PathBuf,
    /// As it was when it was read.
    pub raw: RawSlab,
}

impl Poke {
    /// Reads it, and lets its owner write to it.
    pub fn new(path: &Path) -> Self {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let raw = RawSlab(std::fs::read(path).unwrap());
        let path = path.to_owned();
        Self { path, raw }
    }

    /// Replaces a word of the file.
    pub fn put_u64(&self, at: usize, value: u64) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(&value.to_le_bytes(), at as u64).unwrap();
    }

    /// Replaces a number of the file.
    pub fn put_f64(&self, at: usize, value: f64) {
        self.put_u64(at, value.to_bits());
    }
}
