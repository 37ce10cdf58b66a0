//! A disk that refuses loses nothing that it is given again.

use super::disk::Disk;
use super::samples::{any_runs, layout, run};
use super::{Archive, all, open, open_read_only};
use proptest::prelude::*;
use rondo_reader::Kind;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whenever the disk is full or bad, and for however long: an append that failed is repeated, and in
    /// the end each row is there once, in order, on stable storage.
    #[test]
    fn nothing_is_lost_or_written_twice(
        runs in any_runs(1..40),
        rooms in prop::collection::vec(prop::option::of(0usize..20_000), 40),
    ) {
        let disk = Disk::default();
        let mut archive = open(&disk, 20);
        for (run, room) in runs.iter().zip(rooms) {
            disk.set_room(room);
            disk.fail_syncs(room.is_some());
            if archive.append(run).is_err() {
                disk.set_room(None);
                archive.append(run).unwrap();
            }
            let _ = archive.sync();
        }
        disk.set_room(None);
        disk.fail_syncs(false);
        archive.sync().unwrap();
        let rows = |archive: &Archive| {
            all(archive).iter().flat_map(|run| (0..run.rows()).map(|row| (run.source.incarnation, run.row_ns(row))).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let expected: Vec<_> = runs.iter().flat_map(|run| (0..run.rows()).map(|row| (run.source.incarnation, run.row_ns(row)))).collect();
        prop_assert_eq!(rows(&archive), expected.clone());
        drop(archive);
        prop_assert_eq!(rows(&open(&disk, 20)), expected.clone());
        // Also what a sync that failed had given up.
        prop_assert_eq!(rows(&open(&disk.cut(512, 0), 20)), expected);
    }
}

/// SIGKILL in the middle of a write leaves the first part of a frame, whose rows must then be stored again.
#[test]
fn half_a_frame_is_none() {
    let layout = layout(1, &[Kind::Gauge; 8]);
    for room in [0, 100, 4_096, 5_000] {
        let disk = Disk::default();
        let mut archive = open(&disk, 3);
        archive.append(&run(1, 0, 5, &layout)).unwrap();
        archive.flush().unwrap();
        archive.append(&run(1, 5, 90, &layout)).unwrap();
        disk.set_room(Some(room));
        assert!(archive.flush().is_err());
        drop(archive);
        disk.set_room(None);
        assert_eq!(
            all(&open_read_only(&disk)),
            [run(1, 0, 5, &layout)],
            "room {room}"
        );
        let mut archive = open(&disk, 3);
        archive.append(&run(1, 0, 95, &layout)).unwrap();
        archive.flush().unwrap();
        let expected = [run(1, 0, 5, &layout), run(1, 5, 90, &layout)];
        assert_eq!(all(&archive), expected, "room {room}");
        drop(archive);
        assert_eq!(all(&open(&disk, 3)), expected, "room {room}");
    }
}
