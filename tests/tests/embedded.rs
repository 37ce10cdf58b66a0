//! A store in one process: every method of the guide's `Store`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::Store;
use rondo_reader::Kind;
use rondo_tests::simulation::{GUIDE, S, START, schema, world};
use rondo_writer::SchemaConfig;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn open(path: &Path, start: u64) -> Store {
    let builder = Store::builder(path, &[schema(&GUIDE)]).budget_bytes(8 << 20);
    builder.simulated_time(start).open().unwrap()
}

/// Records the seconds of a gauge and consolidates in each.
fn live(store: &mut Store, seconds: std::ops::Range<u64>) -> rondo_writer::SeriesHandle {
    let gauge = store.register("gauge", &[("cpu", "0")]).unwrap();
    for second in seconds {
        if let Some(value) = world::gauge(second) {
            store.record(gauge, value, START + second * S);
        }
        store.consolidate_at(START + second * S).unwrap();
    }
    gauge
}

fn average(first: u64, seconds: u64) -> f64 {
    let values: Vec<f64> = (first..first + seconds).filter_map(world::gauge).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn query_returns_all_written_data_of_a_range() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), START);
    let gauge = live(&mut store, 0..100);
    let points: Vec<(u64, f64)> = store
        .query(gauge, 0, START + 20 * S, START + 60 * S)
        .unwrap()
        .collect();
    let expected: Vec<(u64, f64)> = (20..60)
        .filter_map(|second| Some((START + second * S, world::gauge(second)?)))
        .collect();
    assert_eq!(points, expected);
}

/// The last ten minutes by the second, what was before by ten seconds, no point twice and none missing where they meet.
#[test]
fn query_auto_returns_the_highest_resolution_data_available() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), START);
    let gauge = live(&mut store, 0..900);
    let points: Vec<(u64, f64)> = store.query_auto(gauge, 0, u64::MAX).unwrap().collect();
    // The ring holds 300 to 899; a window of ten seconds that is not whole in it is answered as a whole.
    let coarse = (0..30).map(|window| (START + window * 10 * S, average(window * 10, 10)));
    let fine = (300..900).filter_map(|second| Some((START + second * S, world::gauge(second)?)));
    assert_eq!(points, coarse.chain(fine).collect::<Vec<_>>());
    // A range that the ring covers has seconds only.
    let recent: Vec<(u64, f64)> = store
        .query_auto(gauge, START + 400 * S, START + 405 * S)
        .unwrap()
        .collect();
    assert!(
        recent
            .iter()
            .all(|(t, value)| world::gauge((t - START) / S) == Some(*value))
    );
    assert_eq!(recent.len(), (400..405).filter_map(world::gauge).count());
    // Tier 2 by its number.
    let tier_2: Vec<(u64, f64)> = store.query(gauge, 2, 0, START + 600 * S).unwrap().collect();
    assert_eq!(
        tier_2,
        [(START, average(0, 300)), (START + 300 * S, average(300, 300))]
    );
}

#[test]
fn consolidate_returns_how_many_rows_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), START);
    let gauge = store.register("gauge", &[]).unwrap();
    let mut rows = Vec::new();
    for second in 0..=300 {
        store.record(gauge, 1.0, START + second * S);
        rows.push(store.consolidate_at(START + second * S).unwrap());
    }
    assert_eq!(rows.iter().sum::<u64>(), 30 + 1);
    assert_eq!(rows[..10], [0; 10]);
    assert!(rows.iter().all(|&rows| rows <= 2));
}

#[test]
fn a_store_goes_on_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), START);
    live(&mut store, 0..125);
    drop(store);
    let mut store = open(dir.path(), START + 125 * S);
    let gauge = live(&mut store, 125..200);
    let points: Vec<(u64, f64)> = store.query_auto(gauge, 0, u64::MAX).unwrap().collect();
    let expected: Vec<(u64, f64)> = (0..200)
        .filter_map(|second| Some((START + second * S, world::gauge(second)?)))
        .collect();
    assert_eq!(points, expected);
    assert_eq!(std::fs::read_dir(dir.path().join("slabs")).unwrap().count(), 1);
}

/// Also in simulated time, which no clock of the store follows: what was made before the ring came round is kept.
#[test]
fn a_store_that_is_dropped_keeps_what_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), START);
    live(&mut store, 0..905);
    drop(store);
    let mut store = open(dir.path(), START + 905 * S);
    let gauge = live(&mut store, 905..906);
    let rows: Vec<(u64, f64)> = store.query(gauge, 1, 0, START + 900 * S).unwrap().collect();
    let expected: Vec<(u64, f64)> = (0..90)
        .map(|window| (START + window * 10 * S, average(window * 10, 10)))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn batches_counters_and_distributions_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), START);
    let counter = store.register_as(Kind::Counter, "counter_total", &[]).unwrap();
    let distribution = store
        .register_as(Kind::Distribution, "distribution", &[])
        .unwrap();
    for second in 0..20 {
        let now = START + second * S;
        store.record_batch(
            &[
                (counter, 2.0 * second as f64),
                (distribution, second as f64),
                (distribution, 0.0),
            ],
            now,
        );
        store.consolidate_at(now).unwrap();
    }
    let totals: Vec<f64> = store
        .query(counter, 1, 0, u64::MAX)
        .unwrap()
        .map(|(_, total)| total)
        .collect();
    assert_eq!(totals, [18.0, 38.0]);
    let means: Vec<f64> = store
        .query(distribution, 0, START + 5 * S, u64::MAX)
        .unwrap()
        .map(|(_, mean)| mean)
        .collect();
    assert_eq!(
        means,
        (5..20).map(|second| second as f64 / 2.0).collect::<Vec<_>>()
    );
}

/// S3: the files are as large on the first day as they will ever be.
#[test]
fn the_directory_does_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::builder(dir.path(), &[SchemaConfig::default()])
        .budget_bytes(4 << 20)
        .simulated_time(START)
        .open()
        .unwrap();
    let size = || {
        let files = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap());
        files
            .filter(|file| file.is_file())
            .map(|file| (file.len(), file.blocks()))
            .collect::<Vec<_>>()
    };
    let before = size();
    live(&mut store, 0..2_000);
    store.sync().unwrap();
    assert_eq!(size(), before);
}

#[test]
fn a_schema_that_is_wrong_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = schema(&[(1, 600), (7, 10), (10, 10)]);
    assert!(Store::open(dir.path().join("store"), &[wrong]).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// One at a time: two would store every row twice.
#[test]
fn a_store_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path(), START);
    let refused = Store::open(dir.path(), &[]).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("pid"), "{refused}");
}
