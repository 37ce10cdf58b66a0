//! What happens to the file of a slab while it is attached: unlinked, replaced, reopened, cut short, full of holes, or one too many.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::collector::Collector;
use rondo_shm_layout::SectionKind;
use rondo_tests::scene::{Poke, Scene, path_of};
use rondo_tests::simulation::{GUIDE, Host, Machine, S, START, assert_tiers, expected_rows, schema, stored};
use std::fs::OpenOptions;

/// A read behind the end of a file is SIGBUS.
#[test]
fn a_slab_that_is_cut_short_is_lost_and_keeps_what_was_stored() {
    for length in [0, 4_096] {
        let mut scene = Scene::new();
        let mut bad = Machine::start(&scene.host, "bad", schema(&GUIDE));
        scene.live_beside(&mut bad, 0..25);
        let path = path_of(&bad.writer);
        // Its own writer would die of it.
        std::mem::forget(bad);
        Poke::new(&path);
        OpenOptions::new()
            .write(true)
            .open(&path)
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
    scene.live_beside(&mut bad, 0..25);
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
    scene.live_beside(&mut bad, 25..60);
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
    scene.live_beside(&mut bad, 0..25);
    let path = path_of(&bad.writer);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    scene.live_beside(&mut bad, 25..60);
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
