//! What a slab's file holds, and child processes for tests that need one of their own.
#![allow(dead_code, reason = "each test uses another part")]

use rondo_shm_layout::{Image, Kind, Layout, LiveWords, Read, SENTINEL, SectionKind, Series};
use rondo_writer::{Builder, SchemaConfig, TierConfig, Writer};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

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

/// `slots` seconds; room for 12 gauges and counters, 4 of them shared, and 6 distributions.
pub fn schema(slots: u64) -> SchemaConfig {
    let mut schema = SchemaConfig::new("vmm")
        .tiers(&[TierConfig::new(Duration::from_secs(1), slots)])
        .capacity(12, 6);
    schema.shared_max = 4;
    schema
}

/// A machine of 8 seconds with simulated time from [`START`] on.
pub fn simulated(bus: &Path) -> Builder {
    Writer::builder("vm-1")
        .bus(bus)
        .schema(schema(8))
        .simulated_time(START)
}

/// The file of a writer with one slab.
pub fn path(writer: &Writer) -> PathBuf {
    writer.paths().next().unwrap().to_owned()
}

/// Names of all files in a directory.
pub fn listing(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct Lines([u8; 128]);

/// A copy of a slab, validated like a stranger's.
pub struct Copy {
    lines: Vec<Lines>,
    len: usize,
    pub layout: Layout,
    pub series: Vec<Series>,
}

/// A slot: `[value]` of a gauge or counter; count, sum, min, max and last of a distribution, as bits.
pub type Words = Vec<u64>;

impl Copy {
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self::of_bytes(&std::fs::read(path).unwrap())
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut lines = vec![Lines([0; 128]); bytes.len().div_ceil(128)];
        for (line, chunk) in lines.iter_mut().zip(bytes.chunks(128)) {
            line.0[..chunk.len()].copy_from_slice(chunk);
        }
        // SAFETY: aligned, long enough, and kept by the result, which nobody else accesses.
        let image = unsafe { Image::new(NonNull::from(lines.as_slice()).cast(), bytes.len()) };
        let layout = Layout::validate(image).unwrap();
        let count = layout.live(image).unwrap().directory().published() as u32;
        let series = (0..count)
            .map(|index| Series::read(image, &layout, index).unwrap().unwrap())
            .collect();
        Self {
            len: bytes.len(),
            layout,
            series,
            lines,
        }
    }

    pub fn image(&self) -> Image<'_> {
        // SAFETY: as in `of_bytes`.
        unsafe { Image::new(NonNull::from(self.lines.as_slice()).cast(), self.len) }
    }

    pub fn live(&self) -> LiveWords<'_> {
        self.layout.live(self.image()).unwrap()
    }

    /// Refused registrations, and stale, future and bad samples.
    pub fn refusals(&self) -> [u64; 4] {
        let live = self.live();
        [
            live.refused_count,
            live.stale_count,
            live.future_count,
            live.bad_count,
        ]
        .map(|word| word.load(Ordering::Relaxed))
    }

    pub fn find(&self, name: &str) -> &Series {
        self.series.iter().find(|series| series.name == name).unwrap()
    }

    /// What a series holds by interval; unwritten slots must hold the sentinel, and none be torn.
    pub fn slots(&self, name: &str) -> BTreeMap<u64, Words> {
        let series = self.find(name);
        let mut slots = BTreeMap::new();
        for index in 0..self.layout.axis.slot_count() {
            let at = series.slot_offset(index);
            if series.kind.is_distribution() {
                match self.image().distribution_slot(at).unwrap().raw() {
                    Read::Present([0, rest @ ..]) => assert_eq!(rest, [SENTINEL; 5]),
                    Read::Present([stamp, rest @ ..]) => {
                        slots.insert(stamp, rest.to_vec());
                    }
                    other => panic!("{name}: {other:?}"),
                }
            } else {
                let slot = self.image().point_slot(at).unwrap();
                match slot.read_any() {
                    Read::Present((stamp, [word])) => {
                        slots.insert(stamp, vec![word]);
                    }
                    Read::Absent => assert_eq!(slot.words()[0].load(Ordering::Relaxed), SENTINEL),
                    Read::Torn => panic!("{name} is torn"),
                }
            }
        }
        assert!(
            slots
                .keys()
                .all(|&stamp| stamp <= self.live().cursor_ns.load(Ordering::Relaxed))
        );
        slots
    }

    /// The newest value of a gauge or counter as bits, or count of a distribution.
    pub fn newest(&self, name: &str) -> u64 {
        self.slots(name).pop_last().unwrap().1[0]
    }

    pub fn buckets(&self, name: &str) -> Vec<u64> {
        let array = self.find(name).buckets.unwrap();
        let words = self.image().words(array.offset, array.count as usize).unwrap();
        words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    pub fn cell(&self, name: &str) -> u64 {
        self.image()
            .shared_cell(self.find(name).cell_offset.unwrap())
            .unwrap()
            .get()
    }

    /// Where a slot starts in the file, to be poked.
    pub fn slot_offset(&self, name: &str, stamp: u64) -> u64 {
        let series = self.find(name);
        series.slot_offset(self.layout.axis.slot_index(stamp))
    }

    pub fn live_offset(&self) -> u64 {
        self.layout.section(SectionKind::Live).offset
    }

    /// Each histogram's buckets add up to its newest count.
    pub fn assert_buckets_add_up(&self) {
        for series in self.series.iter().filter(|series| series.kind == Kind::Histogram) {
            if !self.slots(&series.name).is_empty() {
                assert_eq!(
                    self.buckets(&series.name).iter().sum::<u64>(),
                    self.newest(&series.name)
                );
            }
        }
    }
}

/// Says that a test cannot run here, past the capture of the test harness, and in the file that
/// `RONDO_SKIP_LOG` names.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(log) = std::env::var_os("RONDO_SKIP_LOG") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// What the child of a test was told, in the child.
pub fn told() -> Option<String> {
    std::env::var("RONDO_TEST_CHILD").ok()
}

/// The test `name` of this binary once more, alone, in the first thread of a process of its own, and
/// told something.
pub fn child(name: &str, told: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env("RONDO_TEST_CHILD", told);
    command
}

/// Whether the slab's writer lives, as a reader of another process sees it: asked through an open
/// file of its own.
pub fn is_locked(path: &Path) -> bool {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    let file = std::fs::File::open(path).unwrap();
    let mut lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
    lock.l_type != libc::F_UNLCK as libc::c_short
}
