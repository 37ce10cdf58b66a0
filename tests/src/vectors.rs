//! The golden slabs of `spec/vectors`: what each of them holds, made by the real writer.
//!
//! Time is simulated and the origin given, so they come out the same to the byte on every machine.
//! All have 8 slots of a second; `at(n)` is the n-th second. To add one, write a function that makes
//! it and name it in [`ALL`]; `UPDATE_VECTORS=1 cargo test -p rondo-tests --test vectors` writes the files.

use crate::later;
use crate::raw::RawSlab;
use rondo_shm_layout::BUSY;
use rondo_writer::{
    Builder, ConsolidationFn, Counter, Distribution, Gauge, Histogram, Origin, SchemaConfig, TierConfig,
    Unit, Writer,
};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A vector: its name, and how it is made.
pub type Vector = (&'static str, fn() -> RawSlab);

/// All of them.
pub const ALL: [Vector; 11] = [
    ("empty", empty),
    ("wrapped", wrapped),
    ("full_directory", full_directory),
    ("distribution", distribution),
    ("histogram", histogram),
    ("shared", shared),
    ("unplugged", unplugged),
    ("closed", closed),
    ("crashed", crashed),
    ("reopened", reopened),
    ("later_minor", later_minor),
];

const SECOND: u64 = 1_000_000_000;

/// Start of the n-th interval.
pub const fn at(n: u64) -> u64 {
    (1_700_000_000 + n) * SECOND
}

/// A machine that never was, at the beginning of its interval 0.
struct Machine {
    writer: Writer,
    _bus: TempDir,
}

impl Machine {
    /// With room for so many points, distributions, shared series and buckets.
    fn new(series_max: u32, distribution_max: u32, shared_max: u32, buckets_max: u32) -> Self {
        let second = Duration::from_secs(1);
        let coarse = TierConfig::new(10 * second, 60);
        let schema = SchemaConfig {
            tiers: vec![
                TierConfig::new(second, 8),
                coarse.with(&[ConsolidationFn::Average, ConsolidationFn::Max]),
            ],
            series_max,
            distribution_max,
            shared_max,
            buckets_max,
            strings_max: 512,
            ..SchemaConfig::new("vmm")
        };
        let origin = Origin {
            incarnation: *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
            boot_id: [0xB0; 16],
            pid: 4_242,
            uid: 1_000,
            monotonic_ns: 5 * SECOND,
            realtime_ns: at(0),
        };
        let bus = tempfile::tempdir().expect("a temporary directory");
        let builder = Writer::builder("vm-1")
            .label("tenant", "blue")
            .label("image", "debian 13");
        let builder = builder
            .origin(origin)
            .simulated_time(at(0))
            .schema(schema)
            .bus(bus.path());
        Self {
            writer: builder.create().expect("a slab"),
            _bus: bus,
        }
    }

    fn path(&self) -> PathBuf {
        self.writer.paths().next().expect("one slab").to_owned()
    }

    /// The slab as SIGKILL leaves it at this moment.
    fn kill(self) -> RawSlab {
        RawSlab(std::fs::read(self.path()).expect("the slab"))
    }

    /// The slab as a clean end leaves it. All handles are gone.
    fn close(self) -> RawSlab {
        let path = self.path();
        self.writer.close();
        RawSlab(std::fs::read(path).expect("the slab"))
    }
}

/// No series, nothing but the first tick.
fn empty() -> RawSlab {
    Machine::new(1, 0, 0, 0).kill()
}

/// Columns that went round more than twice, with gaps, among them one longer than a lap.
fn wrapped() -> RawSlab {
    let mut machine = Machine::new(4, 0, 0, 0);
    let writer = &mut machine.writer;
    let mut temperature = writer.gauge("temperature").owned().unwrap();
    let mut odd = writer.counter("odd_total").owned().unwrap();
    let mut idle = writer.counter("idle_total").owned().unwrap();
    let mut rare = writer.counter("rare_total").owned().unwrap();
    for n in 1..=19 {
        // Anywhere in the interval is in the interval.
        let (early, late) = (at(n), at(n + 1) - 1);
        writer.tick_at(late);
        if n == 17 {
            temperature.set_at(early, f64::INFINITY);
        } else if n % 3 != 0 {
            temperature.set_at(early, 0.0);
            temperature.set_at(late, n as f64 * 0.5);
        }
        if n % 2 == 1 {
            odd.add_at(late, n);
        }
        if n == 3 {
            idle.add_at(early, 5);
        }
        // Each slot but the first is another one, so that the old ones stay.
        if n % 9 == 1 {
            rare.add_at(early, 1);
        }
    }
    machine.kill()
}

/// No record is free; texts of every kind; four registrations and three samples refused.
fn full_directory() -> RawSlab {
    let mut machine = Machine::new(2, 1, 0, 0);
    let writer = &mut machine.writer;
    let gauge = writer
        .gauge("memory:used")
        .unit(Unit::Bytes)
        .help("What the guest \"uses\" \\ 使用: ½ €.");
    let mut gauge = gauge
        .label("zone", "a\"b\\c ü")
        .label("_node", "0")
        .owned()
        .unwrap();
    let counter = writer.counter("exits_total").label("vcpu", &"7".repeat(40));
    let mut counter = counter.owned().unwrap();
    let mut distribution = writer
        .distribution("latency")
        .unit(Unit::Microseconds)
        .owned()
        .unwrap();
    assert!(writer.gauge("one_more").owned().is_err());
    assert!(writer.histogram("one_more").owned().is_err());
    assert!(writer.counter("7up").owned().is_err());
    assert!(writer.counter("memory:used").owned().is_err());
    gauge.set_at(at(1), 1.0 / 3.0);
    gauge.set_at(at(1), f64::NAN);
    gauge.set_at(at(0), 7.0);
    counter.set_total_at(at(1), u64::MAX - 1);
    distribution.record_at(at(1), 0.1);
    distribution.record_at(at(1), f64::INFINITY);
    writer.tick_at(at(1));
    machine.kill()
}

/// Samples in some intervals, and a series without any.
fn distribution() -> RawSlab {
    let mut machine = Machine::new(0, 2, 0, 0);
    let writer = &mut machine.writer;
    let mut latency = writer
        .distribution("latency")
        .unit(Unit::Nanoseconds)
        .owned()
        .unwrap();
    let _silent = writer.distribution("silent").owned().unwrap();
    for sample in [3.0, 1.0, 2.0] {
        latency.record_at(at(1), sample);
    }
    latency.record_at(at(2), -5.5);
    latency.record_at(at(4), 1e300);
    latency.record_at(at(3), 9.0); // too late
    writer.tick_at(at(6));
    machine.kill()
}

/// Buckets at both ends and where their width changes, with the finest and the coarsest precision.
fn histogram() -> RawSlab {
    let mut machine = Machine::new(0, 2, 0, 1_000);
    let writer = &mut machine.writer;
    let mut size = writer
        .histogram("size")
        .unit(Unit::Kibibytes)
        .resolution(3, 1_000)
        .owned()
        .unwrap();
    let mut coarse = writer
        .histogram("coarse")
        .resolution(0, u64::MAX)
        .owned()
        .unwrap();
    for sample in [0.0, 0.9, 7.0, 8.0, 15.5, 16.0, 17.0, 18.0, 1_000.0, 1e9] {
        size.record_at(at(1), sample);
    }
    size.record_at(at(3), 1.0);
    size.record_at(at(3), -1.0); // histograms take none below 0
    for sample in [0.0, 1.0, 2.0, 3.0, 4.0, 1e300] {
        coarse.record_at(at(2), sample);
    }
    writer.tick_at(at(4));
    machine.kill()
}

/// Series that any thread writes, whose cells are ahead of their slots; and series that the writer holds.
fn shared() -> RawSlab {
    let mut machine = Machine::new(6, 1, 4, 0);
    let writer = &mut machine.writer;
    let depth = writer.gauge("depth").shared().unwrap();
    let _unset = writer.gauge("unset").shared().unwrap();
    let total = writer.counter("total").shared().unwrap();
    let held_gauge = writer.gauge("held_gauge").held().unwrap();
    let held_counter = writer.counter("held_total").held().unwrap();
    let held_distribution = writer.distribution("held_latency").held().unwrap();
    for n in 1..=3 {
        depth.set(n as f64 + 0.25);
        total.add(10);
        writer.record_batch(&[(held_gauge, n as f64), (held_counter, 2.0 * n as f64)], at(n));
        writer.record(held_distribution, -1.0, at(n));
        writer.tick_at(at(n));
    }
    depth.set(99.5);
    total.add(7);
    machine.kill()
}

/// A disk that was unplugged, one that was plugged in again, and one that came late.
fn unplugged() -> RawSlab {
    let mut machine = Machine::new(5, 1, 0, 0);
    let writer = &mut machine.writer;
    let mut reads = writer.counter("reads_total").label("disk", "a").owned().unwrap();
    let mut depth = writer.gauge("depth").label("disk", "a").owned().unwrap();
    let mut latency = writer.distribution("latency").label("disk", "a").owned().unwrap();
    let mut again = writer.counter("reads_total").label("disk", "b").owned().unwrap();
    reads.add_at(at(1), 3);
    depth.set_at(at(1), 4.0);
    latency.record_at(at(1), 5.0);
    again.add_at(at(1), 1);
    writer.tick_at(at(3) + 500);
    reads.end();
    depth.end();
    latency.end();
    again.end();
    writer.tick_at(at(5));
    let mut again = writer.counter("reads_total").label("disk", "b").owned().unwrap();
    again.add_at(at(5), 1);
    let _late = writer.counter("reads_total").label("disk", "c").owned().unwrap();
    writer.tick_at(at(6));
    machine.kill()
}

/// One series of each kind.
struct OneOfEach {
    gauge: Gauge,
    counter: Counter,
    distribution: Distribution,
    histogram: Histogram,
}

impl OneOfEach {
    fn register(writer: &mut Writer) -> Self {
        Self {
            gauge: writer.gauge("gauge").owned().unwrap(),
            counter: writer.counter("counter_total").owned().unwrap(),
            distribution: writer.distribution("distribution").owned().unwrap(),
            histogram: writer.histogram("histogram").resolution(2, 100).owned().unwrap(),
        }
    }

    /// Two rounds of interval `n`.
    fn write(&mut self, writer: &mut Writer, n: u64) {
        for sample in [n as f64, 10.0 * n as f64] {
            self.gauge.set_at(at(n), sample);
            self.counter.add_at(at(n), n);
            self.distribution.record_at(at(n), sample);
            self.histogram.record_at(at(n), sample);
        }
        writer.tick_at(at(n));
    }
}

/// A machine that ran from interval 1 to 5.
fn five_intervals() -> (Machine, OneOfEach) {
    let mut machine = Machine::new(4, 2, 1, 100);
    let mut series = OneOfEach::register(&mut machine.writer);
    (1..=5).for_each(|n| series.write(&mut machine.writer, n));
    (machine, series)
}

/// A clean end.
fn closed() -> RawSlab {
    let (machine, series) = five_intervals();
    drop(series);
    machine.close()
}

/// Killed while four threads were writing, each in the middle of a write.
fn crashed() -> RawSlab {
    let (machine, _series) = five_intervals();
    let mut slab = machine.kill();
    // All had raised the cursor, or somebody for them; the tick had not come.
    let cursor = slab.live(0);
    slab.put_u64(cursor, at(6));
    // The gauge: opening interval 6, the new value stored, the new stamp not.
    let slot = slab.slot("gauge", at(6));
    slab.put_u64(slot, BUSY);
    slab.put_f64(slot + 8, 6.0);
    // The counter: opening interval 6, nothing stored yet.
    let slot = slab.slot("counter_total", at(6));
    slab.put_u64(slot, BUSY);
    // The distribution: another sample of interval 5, count and sum stored, the rest not.
    let slot = slab.slot("distribution", at(5));
    let (sequence, count) = (slab.u64(slot), slab.u64(slot + 16));
    slab.put_u64(slot, sequence + 1);
    slab.put_u64(slot + 16, count + 1);
    slab.put_f64(slot + 24, f64::from_bits(slab.u64(slot + 24)) + 500.0);
    // The histogram: opening interval 6 with the sample 6, the bucket stored, the new stamp not.
    let slot = slab.slot("histogram", at(6));
    let words = [
        slab.u64(slot) + 1,
        BUSY,
        11,
        171f64.to_bits(),
        6f64.to_bits(),
        6f64.to_bits(),
        6f64.to_bits(),
    ];
    for (i, word) in words.into_iter().enumerate() {
        slab.put_u64(slot + 8 * i, word);
    }
    let bucket = slab.offset(slab.series("histogram") + 104) + 6 * 8;
    slab.put_u64(bucket, slab.u64(bucket) + 1);
    slab
}

/// [`crashed`], and then gone on with.
fn reopened() -> RawSlab {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("crashed.slab");
    std::fs::write(&path, crashed().0).expect("the slab");
    let mut writer = Builder::reopen(&path).expect("a crashed slab can be reopened");
    let mut series = OneOfEach::register(&mut writer);
    series.write(&mut writer, 7);
    let mut slab = RawSlab(std::fs::read(&path).expect("the slab"));
    // Of all that the writer wrote, this alone depends on the process.
    let writer_pid = slab.live(136);
    slab.put_u64(writer_pid, 4_243);
    slab
}

/// What a later 1.x may look like: a reader of 1.0 finds in it what is in [`closed`], and a shared counter.
fn later_minor() -> RawSlab {
    let (mut machine, series) = five_intervals();
    machine.writer.counter("shared_total").shared().unwrap().add(8);
    machine
        .writer
        .gauge("of_a_later_kind")
        .owned()
        .unwrap()
        .set_at(at(6), 1.0);
    machine.writer.tick_at(at(6));
    drop(series);
    later::rewrite(&machine.close())
}
