//! Slabs that break every rule while they are attached: none of them takes more than its turn, and none harms another.
//!
//! Each test has a well-behaved machine beside the bad one, and in the end every row of it is right.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Selector;
use rondo_collector::query::{Plan, Request};
use rondo_shm_layout::{SectionKind, fnv1a_64};
use rondo_tests::random::Random;
use rondo_tests::raw::RawSlab;
use rondo_tests::scene::{Poke, Scene, path_of};
use rondo_tests::simulation::{ALL, GUIDE, Machine, S, START, expected_rows, schema, stored};
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use std::time::Duration;

/// Whoever loops from the last interval to the next would not come back.
#[test]
fn a_cursor_that_jumps_costs_no_more_than_the_ring() {
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    scene.live_beside(&mut bad, 0..25);
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

/// Series that break a rule make a slab that nobody can read any more. It is said once, what was stored stays, and when its
/// writer is gone its file goes like others.
#[test]
fn a_slab_that_turns_invalid_is_given_up_once() {
    let mut scene = Scene::new();
    let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
    scene.live_beside(&mut bad, 0..25);
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
    for index in [0, 40_000, 65_535] {
        let rows = stored(scene.collector.archives(), "bad", 1, &format!("g{index}"));
        let sum = (0..10).map(|second| f64::from(second * 100_000 + index)).sum();
        assert_eq!(rows[&START].sum, Some(sum), "g{index}");
    }
    scene.end();
}

/// Whatever stands in a slab: it is refused, given up, or read as something; nobody spins, and nobody panics, which an addition
/// that overflows would be here.
#[test]
fn random_words_in_slabs_harm_nobody() {
    let mut dice = Dice(Random::of_this_run());
    let mut scene = Scene::new();
    for round in 0..150 {
        let tiers = [(1, 30), (10, 9), (20, 9), (60, 9)];
        let mut writer = scene
            .host
            .machine(&format!("bad-{round}"), schema(&tiers).capacity(4, 2));
        let gauge = writer.gauge("gauge").held().unwrap();
        let counter = writer.counter("counter_total").held().unwrap();
        let distribution = writer.distribution("distribution").held().unwrap();
        let histogram = writer.histogram("histogram").held().unwrap();
        let path = path_of(&writer);
        let is_attached = dice.of(2) == 0;
        for second in 0..30 {
            let now = START + second * S;
            let all = [gauge, counter, distribution, histogram].map(|handle| (handle, second as f64));
            writer.record_batch(&all, now);
            writer.tick_at(now);
            if is_attached && second % 10 == 0 {
                scene.pass();
            }
        }
        let poke = Poke::new(&path);
        if is_attached {
            (0..4).for_each(|_| {
                let (at, word) = dice.word(&poke.raw);
                poke.put_u64(at, word);
                scene.pass();
            });
            let live = scene.collector.live(|_| true);
            let request = Request::new("{instance=~\"bad.*\"}".parse::<Selector>().unwrap());
            if let Ok(plan) = Plan::new(&live, scene.collector.archives(), request) {
                plan.answer();
            }
            drop(live);
            drop(writer);
        } else {
            // As somebody puts it there, of whom nothing is known yet.
            drop(writer);
            let mut raw = poke.raw;
            for _ in 0..=dice.of(4) {
                let (at, word) = dice.word(&raw);
                raw.put_u64(at, word);
            }
            let tiers = raw.section(SectionKind::Tiers);
            let hash = fnv1a_64(&raw.0[tiers.offset..tiers.offset + tiers.length]);
            raw.put_u64(16, hash);
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, &raw.0).unwrap();
        }
        scene.pass();
        scene.pass();
        let _ = std::fs::remove_file(&path);
    }
    scene.quiet_passes(2);
    scene.end();
}

struct Dice(Random);

impl Dice {
    fn of(&mut self, sides: u64) -> u64 {
        self.0.below(sides)
    }

    /// A place of a slab, most often one that means something, and what to put there.
    fn word(&mut self, raw: &RawSlab) -> (usize, u64) {
        let sections = raw.sections();
        let known: Vec<_> = sections.iter().filter(|section| section.length >= 8).collect();
        let section = known[self.of(known.len() as u64) as usize];
        let at = section.offset + 8 * self.of(section.length as u64 / 8) as usize;
        let words = [
            0,
            1,
            2,
            START,
            START + 29 * S,
            1 << 61,
            1 << 62,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
            f64::NAN.to_bits(),
            f64::INFINITY.to_bits(),
            f64::NEG_INFINITY.to_bits(),
            raw.u64(at) ^ 1 << self.of(64),
            self.0.word(),
        ];
        (at, words[self.of(words.len() as u64) as usize])
    }
}
