//! Slabs to read, by the real writer, and files made from them byte by byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test uses another part")]

pub mod everything;

use rondo_reader::{Limits, Series, Slab};
use rondo_shm_layout::SectionKind;
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Length of an interval.
pub const SECOND: u64 = 1_000_000_000;

/// Start of the first interval of simulated slabs.
pub const START: u64 = 1_000 * SECOND;

/// A bus of its own, in memory where there is such a place.
pub fn bus() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}

/// A writer with simulated time and `slots` seconds, whose last tick is [`START`].
pub fn writer(bus: &Path, instance: &str, slots: u64) -> Writer {
    let schema = SchemaConfig::new("vmm")
        .tiers(&[TierConfig::new(Duration::from_secs(1), slots)])
        .capacity(8, 4);
    Writer::builder(instance)
        .bus(bus)
        .schema(schema)
        .simulated_time(START)
        .create()
        .unwrap()
}

/// The one slab of a writer.
pub fn path(writer: &Writer) -> PathBuf {
    writer.paths().next().unwrap().to_owned()
}

pub fn open(path: &Path) -> Slab {
    Slab::open(path, &Limits::default()).unwrap()
}

pub fn series<'s>(slab: &'s Slab, name: &str) -> &'s Series {
    slab.series().iter().find(|series| series.name == name).unwrap()
}

/// The bytes of a slab with one series of each kind, a shared one, labels, some history and gaps.
pub fn sample_bytes() -> Vec<u8> {
    let bus = bus();
    let path = sample(bus.path());
    std::fs::read(path).unwrap()
}

/// The file of the slab of [`sample_bytes`], closed.
pub fn sample(bus: &Path) -> PathBuf {
    let mut writer = writer(bus, "vm-1", 8);
    let mut gauge = writer.gauge("gauge").label("vcpu", "0").owned().unwrap();
    let mut counter = writer.counter("counter").help("Counts.").owned().unwrap();
    let shared = writer.counter("shared").shared().unwrap();
    let mut distribution = writer.distribution("distribution").owned().unwrap();
    let mut histogram = writer
        .histogram("histogram")
        .resolution(2, 1 << 20)
        .owned()
        .unwrap();
    for second in 0..20 {
        let now = START + second * SECOND;
        if second % 3 != 1 {
            gauge.set_at(now, second as f64);
            counter.add_at(now, second);
            distribution.record_at(now, second as f64 - 3.0);
            histogram.record_at(now, second as f64);
        }
        shared.add(1);
        writer.tick_at(now);
    }
    path(&writer)
}

/// Writes a file as it is, without holes.
pub fn file(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o440)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// The bytes of a slab, to be changed by offset.
#[derive(Clone)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    pub fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.0[at as usize..][..8].try_into().unwrap())
    }

    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}

/// Where things are in the slab of [`sample_bytes`].
pub struct Places {
    pub slab: Slab,
    _bus: TempDir,
}

pub fn places() -> Places {
    let bus = bus();
    let slab = open(&sample(bus.path()));
    Places { slab, _bus: bus }
}

impl Places {
    pub fn section(&self, kind: SectionKind) -> u64 {
        self.slab.layout().section(kind).offset
    }

    /// The descriptor of a series.
    pub fn descriptor(&self, name: &str) -> u64 {
        self.section(SectionKind::Series) + 128 * u64::from(series(&self.slab, name).index)
    }

    /// The slot of a series that holds an interval.
    pub fn slot(&self, name: &str, t: u64) -> u64 {
        series(&self.slab, name).slot_offset(self.slab.layout().axis.slot_index(t))
    }

    /// A word of the live section.
    pub fn live(&self, offset: u64) -> u64 {
        self.section(SectionKind::Live) + offset
    }
}
