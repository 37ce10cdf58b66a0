//! Slabs that break every rule while they are attached: none of them takes more than its turn, and none harms another.
//!
//! Each test has a well-behaved machine beside the bad one, and in the end every row of it is right.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::collector::{Collector, PassReport};
use rondo_shm_layout::SectionKind;
use rondo_tests::raw::RawSlab;
use rondo_tests::simulation::{
    ALL, GUIDE, Host, Machine, S, START, assert_tiers, expected_rows, schema, stored,
};
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A pass over two slabs takes a millisecond; this is for a loaded machine and a debug build, and far from what a loop
/// over 2^62 nanoseconds takes.
const PASS_MAX: Duration = Duration::from_secs(10);

/// A collector, and the machine that must not suffer.
struct Scene {
    host: Host,
    collector: Collector,
    good: Machine,
    second: u64,
}

impl Scene {
    fn new() -> Self {
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
    fn pass(&mut self) -> PassReport {
        self.good.live(self.second);
        let began = Instant::now();
        let report = self.collector.pass(self.host.at(self.second), true);
        assert!(began.elapsed() < PASS_MAX, "a pass took {:?}", began.elapsed());
        self.second += 1;
        report
    }

    /// Passes in which nothing goes wrong.
    fn quiet_passes(&mut self, passes: u64) {
        for _ in 0..passes {
            let report = self.pass();
            assert!(report.errors.is_empty(), "{:?}", report.errors);
        }
    }

    /// Passes until the slab of an ended machine has been kept long enough.
    fn until_removed(&mut self, path: &Path) {
        for _ in 0..70 {
            self.pass();
        }
        assert!(!path.exists(), "{} is still there", path.display());
    }

    /// The good machine ends, and all of it has to be there.
    fn end(mut self) {
        drop(self.good);
        let report = self.collector.pass(self.host.at(self.second), true);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_tiers(self.collector.archives(), "good", 0..self.second, &GUIDE);
    }
}

fn path_of(writer: &Writer) -> PathBuf {
    writer.paths().next().unwrap().to_owned()
}

/// The bytes of a slab as they are now, and a way to change them behind everybody's back.
struct Poke {
    path: PathBuf,
    raw: RawSlab,
}

impl Poke {
    fn new(path: &Path) -> Self {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let raw = RawSlab(std::fs::read(path).unwrap());
        let path = path.to_owned();
        Self { path, raw }
    }

    fn put_u64(&self, at: usize, value: u64) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(&value.to_le_bytes(), at as u64).unwrap();
    }

    fn put_f64(&self, at: usize, value: f64) {
        self.put_u64(at, value.to_bits());
    }
}

/// Whoever loops from the last interval to the next would not come back.
#[test]
fn a_cursor_that_jumps_costs_no_more_than_the_ring() {
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    for second in 0..25 {
        bad.live(second);
        scene.quiet_passes(1);
    }
    let path = path_of(&bad.writer);
    let poke = Poke::new(&path);
    let (cursor, ticked) = (poke.raw.live(0), poke.raw.live(8));
    for jump in [1 << 62, u64::MAX, (1 << 63) - 1, 0, START, 1 << 62] {
        poke.put_u64(cursor, jump);
        poke.put_u64(ticked, jump);
        scene.quiet_passes(3);
    }
    drop(bad);
    scene.until_removed(&path);
    // What was closed before the jump is what it was.
    let rows = stored(scene.collector.archives(), "bad", 1, "gauge");
    let expected = expected_rows("gauge", 0..20, 10);
    assert!(expected.iter().all(|(t, row)| rows[t] == *row), "{rows:?}");
    scene.end();
}

/// All of these are allowed by the format.
#[test]
fn absurd_tiers_are_collected_like_others() {
    let ms = |ms: u64, slots| TierConfig::new(Duration::from_millis(ms), slots).with(&ALL);
    let ns = |exponent: u32, slots| TierConfig::new(Duration::from_nanos(1 << exponent), slots).with(&ALL);
    const DAY_MS: u64 = 86_400_000;
    let schemas = [
        ("longest", vec![ns(20, 2), ns(61, u64::MAX)]),
        (
            "most",
            [20, 30, 31, 32, 40, 50, 60, 61]
                .map(|exponent| ns(exponent, 2))
                .to_vec(),
        ),
        ("steep", vec![ms(1, 2), ms(DAY_MS, 7)]),
        ("days", vec![ms(DAY_MS, 1 << 19), ms(2 * DAY_MS, 7)]),
        ("alone", vec![ms(1_000, 2)]),
        ("flat", vec![ms(1_000, 3), ms(2_000, 3), ms(4_000, 3)]),
    ];
    for start in [START, 1 << 62, (1 << 63) - 10 * DAY_MS * 1_000_000] {
        let mut scene = Scene::new();
        let mut paths = Vec::new();
        for (name, tiers) in &schemas {
            // 8 MiB of slots are let in, 40 are not.
            let schema = SchemaConfig::new(name).tiers(tiers).capacity(1, 0);
            let bus = scene.host.bus.path();
            let builder = Writer::builder(name)
                .schema(schema)
                .bus(bus)
                .simulated_time(start);
            let mut writer = builder.create().unwrap();
            let gauge = writer.gauge("gauge").held().unwrap();
            for step in 0..20 {
                let now = start + step * tiers[0].interval.as_nanos() as u64 / 2;
                writer.record(gauge, step as f64, now);
                writer.tick_at(now);
                scene.quiet_passes(1);
            }
            paths.push(path_of(&writer));
        }
        scene.quiet_passes(70);
        for path in &paths {
            assert!(!path.exists(), "{} is still there", path.display());
        }
        for (name, tiers) in &schemas {
            for tier in 0..tiers.len() {
                let rows = stored(scene.collector.archives(), name, tier as u8, "gauge");
                assert!(!rows.is_empty(), "{name} has nothing in tier {tier}");
                let newest = rows.values().next_back().unwrap();
                assert_eq!(newest.last, Some(19.0), "{name} in tier {tier}");
            }
        }
        scene.end();
    }
}

/// What no writer of ours would write.
#[test]
fn hostile_values_are_left_out_or_stored_as_they_are() {
    let mut scene = Scene::new();
    let mut writer = scene.host.machine("bad", schema(&GUIDE));
    let gauge = writer.gauge("gauge").held().unwrap();
    let counter = writer.counter("counter_total").held().unwrap();
    let distribution = writer.distribution("distribution").held().unwrap();
    let histogram = writer.histogram("histogram").held().unwrap();
    let path = path_of(&writer);
    for second in 0..20 {
        let now = START + second * S;
        writer.record_batch(
            &[
                (gauge, 1.0),
                (counter, 1_000.0 + second as f64),
                (distribution, 1.0),
                (histogram, 1.0),
            ],
            now,
        );
        writer.tick_at(now);
        let poke = Poke::new(&path);
        match second {
            3 => poke.put_f64(poke.raw.slot("gauge", now) + 8, f64::NAN),
            4 => poke.put_f64(poke.raw.slot("gauge", now) + 8, f64::INFINITY),
            5 => poke.put_u64(poke.raw.slot("counter_total", now) + 8, 7),
            6 => {
                let slot = poke.raw.slot("distribution", now);
                [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NAN]
                    .into_iter()
                    .zip([24, 32, 40, 48])
                    .for_each(|(value, at)| poke.put_f64(slot + at, value));
                poke.put_u64(slot + 16, u64::MAX);
            }
            7 => {
                let buckets = poke.raw.section(SectionKind::Buckets).offset;
                (0..100).for_each(|bucket| poke.put_u64(buckets + 8 * bucket, u64::MAX - bucket as u64));
            }
            _ => {}
        }
        scene.quiet_passes(1);
    }
    drop(writer);
    scene.until_removed(&path);
    let archives = scene.collector.archives();
    let gauges = stored(archives, "bad", 1, "gauge");
    let first = gauges[&START];
    assert_eq!(
        (first.known, first.sum, first.max),
        (9, Some(f64::INFINITY), Some(f64::INFINITY))
    );
    let counters = stored(archives, "bad", 1, "counter_total");
    assert_eq!(
        (counters[&START].total, counters[&START].min),
        (Some(1_009), Some(7.0))
    );
    for tier in 0..3 {
        for name in ["distribution", "histogram"] {
            assert!(!stored(archives, "bad", tier, name).is_empty());
        }
    }
    // The writer goes on from what its slot says.
    assert_eq!(stored(archives, "bad", 1, "distribution")[&START].total, Some(2));
    scene.end();
}

/// A read behind the end of a file is SIGBUS.
#[test]
fn a_slab_that_is_cut_short_is_lost_and_keeps_what_was_stored() {
    for length in [0, 4_096] {
        let mut scene = Scene::new();
        let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
        for second in 0..25 {
            bad.live(second);
            scene.quiet_passes(1);
        }
        let path = path_of(&bad.writer);
        // Its own writer would die of it.
        std::mem::forget(bad);
        let poke = Poke::new(&path);
        OpenOptions::new()
            .write(true)
            .open(&poke.path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let said: Vec<_> = (0..15).flat_map(|_| scene.pass().errors).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].to_string().contains("was cut short"), "{said:?}");
        assert_eq!(scene.collector.totals().lost, 1, "{length} bytes are left");
        assert_eq!(scene.collector.states().refused, 1);
        let rows = stored(scene.collector.archives(), "bad", 1, "gauge");
        assert_eq!(rows, expected_rows("gauge", 0..20, 10));
        scene.end();
    }
}

/// Holes read as zeros, which no stamp is.
#[test]
fn a_slab_made_sparse_has_nothing_to_say_and_goes_on() {
    use nix::fcntl::{FallocateFlags, fallocate};
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    for second in 0..25 {
        bad.live(second);
        scene.quiet_passes(1);
    }
    let path = path_of(&bad.writer);
    let poke = Poke::new(&path);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for section in poke.raw.sections() {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if section.kind != SectionKind::Live as u32 && section.length > 0 {
            let (offset, length) = (section.offset as u64, section.length as u64);
            fallocate(&file, flags, offset.cast_signed(), length.cast_signed()).unwrap();
        }
        scene.quiet_passes(2);
    }
    for second in 25..60 {
        bad.live(second);
        scene.quiet_passes(1);
    }
    drop(bad);
    scene.until_removed(&path);
    let rows = stored(scene.collector.archives(), "bad", 1, "gauge");
    let expected = expected_rows("gauge", 0..20, 10);
    assert!(expected.iter().all(|(t, row)| rows[t] == *row));
    scene.end();
}

/// A file without a name is a slab all the same, as long as somebody writes it.
#[test]
fn an_unlinked_slab_is_collected_until_its_writer_is_gone() {
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    for second in 0..400 {
        if second == 25 {
            std::fs::remove_file(path_of(&bad.writer)).unwrap();
        }
        bad.live(second);
        scene.quiet_passes(1);
    }
    assert_eq!(scene.collector.states().live, 2);
    drop(bad);
    scene.quiet_passes(2);
    let archives = scene.collector.archives();
    assert_tiers(archives, "bad", 0..400, &GUIDE);
    assert_eq!(stored(archives, "bad", 0, "counter_total").len(), 400);
    assert_eq!(scene.collector.slabs().count(), 1, "it is let go");
    scene.end();
}

/// Two files, one identity: the rows that both have are stored once.
#[test]
fn a_slab_replaced_by_its_copy_is_stored_once() {
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    for second in 0..25 {
        bad.live(second);
        scene.quiet_passes(1);
    }
    let path = path_of(&bad.writer);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    for second in 25..60 {
        bad.live(second);
        scene.quiet_passes(1);
    }
    drop(bad);
    scene.until_removed(&path);
    let archives = scene.collector.archives();
    // `stored` refuses a window that is there twice.
    assert_eq!(stored(archives, "bad", 0, "counter_total").len(), 60);
    let rows = stored(archives, "bad", 1, "gauge");
    // The copy has ended, and with it the window from 20 on.
    for (window, row) in expected_rows("gauge", 0..60, 10) {
        assert!(rows[&window] == row || window == START + 20 * S, "{window}");
    }
    scene.end();
}

/// Killed and started again by whoever watches over it, as often as it likes.
#[test]
fn a_slab_reopened_again_and_again_misses_no_second() {
    let mut scene = Scene::new();
    let mut writer = scene.host.machine("bad", schema(&GUIDE));
    let path = path_of(&writer);
    for second in 0..120 {
        if second % 9 == 8 {
            drop(writer);
            // Found ended, or not even noticed.
            if second % 2 == 0 {
                scene.quiet_passes(1);
            }
            writer = rondo_writer::Builder::reopen(&path).unwrap();
        }
        let gauge = writer.gauge("gauge").held().unwrap();
        writer.record(gauge, second as f64, START + second * S);
        writer.tick_at(START + second * S);
        scene.quiet_passes(1);
    }
    drop(writer);
    scene.until_removed(&path);
    let points = stored(scene.collector.archives(), "bad", 0, "gauge");
    let values: Vec<f64> = points.values().filter_map(|point| point.last).collect();
    assert_eq!(values, (0..120).map(f64::from).collect::<Vec<_>>());
    scene.end();
}

/// Series that break a rule make a slab that nobody can read any more. It is said once, what was stored stays, and when its
/// writer is gone its file goes like others.
#[test]
fn a_slab_that_turns_invalid_is_given_up_once() {
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    for second in 0..25 {
        bad.live(second);
        scene.quiet_passes(1);
    }
    let path = path_of(&bad.writer);
    let poke = Poke::new(&path);
    poke.put_u64(poke.raw.live(128), 1 << 40);
    let said: usize = (0..20).map(|_| scene.pass().errors.len()).sum();
    assert_eq!(said, 1, "once, not in every pass");
    let rows = stored(scene.collector.archives(), "bad", 1, "gauge");
    assert_eq!(rows, expected_rows("gauge", 0..20, 10));
    drop(bad);
    scene.until_removed(&path);
    scene.end();
}

/// What fits into no extent cannot be stored, now or later. It is said, and the rest goes on.
#[test]
fn rows_that_no_extent_takes_are_given_up() {
    let mut scene = Scene::new();
    let mut schema = schema(&GUIDE).capacity(512, 0);
    schema.strings_max = 4 << 20;
    let mut writer = scene.host.machine("bad", schema);
    let path = path_of(&writer);
    for index in 0..512 {
        let series = writer.gauge(&format!("gauge_{index}"));
        series.label("text", &format!("{index:01000}")).held().unwrap();
    }
    let gauge = writer
        .gauge("gauge_0")
        .label("text", &format!("{:01000}", 0))
        .held()
        .unwrap();
    let mut said = Vec::new();
    for second in 0..400 {
        writer.record(gauge, 1.0, START + second * S);
        writer.tick_at(START + second * S);
        said.extend(scene.pass().errors);
    }
    drop(writer);
    for _ in 0..70 {
        said.extend(scene.pass().errors);
    }
    assert!(!path.exists(), "it is still there");
    assert!(!said.is_empty() && said.len() < 20, "{} errors", said.len());
    let text = format!("{:#}", said[0]);
    assert!(text.contains("a row of bad and its layout need"), "{text}");
    scene.end();
}

/// As many as the format allows.
#[test]
fn a_slab_of_65_536_series_is_stored_whole() {
    let mut scene = Scene::new();
    let tiers = [
        TierConfig::new(Duration::from_secs(1), 2),
        TierConfig::new(Duration::from_secs(10), 9),
    ];
    let mut schema = SchemaConfig::new("s").tiers(&tiers).capacity(65_536, 0);
    schema.strings_max = 1 << 20;
    let mut writer = scene.host.machine("bad", schema);
    let path = path_of(&writer);
    let handles: Vec<_> = (0..65_536)
        .map(|index| writer.gauge(&format!("g{index}")).held().unwrap())
        .collect();
    for second in 0..12 {
        let now = START + second * S;
        for (index, &handle) in handles.iter().enumerate() {
            writer.record(handle, (second * 100_000) as f64 + index as f64, now);
        }
        writer.tick_at(now);
        scene.quiet_passes(1);
    }
    drop(writer);
    scene.until_removed(&path);
    for index in [0, 511, 512, 40_000, 65_535] {
        let rows = stored(scene.collector.archives(), "bad", 1, &format!("g{index}"));
        let sum = (0..10).map(|second| f64::from(second * 100_000 + index)).sum();
        assert_eq!(rows[&START].sum, Some(sum), "g{index}");
    }
    scene.end();
}

/// What one user brings too much of is counted and left alone.
#[test]
fn a_uid_over_its_limits_is_refused_and_others_are_not() {
    use std::os::unix::fs::chown;
    let host = Host::new();
    let mut settings = host.settings();
    settings.limits.slabs_per_uid_max = 4;
    let mut collector = Collector::open(settings, host.start).unwrap();
    let mut good = Machine::start(&host, "good", schema(&GUIDE));
    let mut greedy: Vec<Machine> = (0..10)
        .map(|number| Machine::start(&host, &format!("greedy-{number}"), schema(&GUIDE)))
        .collect();
    for machine in &greedy {
        if chown(path_of(&machine.writer), Some(64_001), None).is_err() {
            return rondo_tests::skip::skip(
                "a_uid_over_its_limits_is_refused_and_others_are_not",
                "not root",
            );
        }
    }
    for second in 0..45 {
        good.live(second);
        greedy.iter_mut().for_each(|machine| machine.live(second));
        assert!(collector.pass(host.at(second), true).errors.is_empty());
        let states = collector.states();
        assert_eq!((states.live, states.refused), (5, 6));
    }
    // The room of those that end is the next ones', and nothing of these is lost.
    drop(greedy);
    drop(good);
    for second in 45..300 {
        assert!(collector.pass(host.at(second), true).errors.is_empty());
    }
    assert_eq!(std::fs::read_dir(host.bus.path()).unwrap().count(), 0);
    assert_tiers(collector.archives(), "good", 0..45, &GUIDE);
    for number in 0..10 {
        assert_tiers(collector.archives(), &format!("greedy-{number}"), 0..45, &GUIDE);
    }
}
