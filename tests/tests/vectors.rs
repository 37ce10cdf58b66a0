//! The golden slabs of `spec/vectors`: the writer still makes them, and every reader reads them alike.
//!
//! `UPDATE_VECTORS=1` writes both files of each anew: the slab as the writer makes it, and the JSON as
//! the Python reader prints it, which knows nothing of the code here. Look at what changed before you
//! commit it: slabs that were written by earlier versions have to stay readable.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::foreign::{self, Answer, json_by_c, json_by_kaitai, json_by_python, json_by_rondo};
use rondo_tests::json::{difference, lay_out};
use rondo_tests::skip::skip;
use rondo_tests::vectors::{ALL, at};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn file(name: &str, extension: &str) -> PathBuf {
    foreign::root().join(format!("spec/vectors/{name}.{extension}"))
}

fn expected(name: &str) -> Value {
    let path = file(name, "json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A changed byte is a changed format: it needs a version and a line in the specification's history,
/// not just a new vector.
#[test]
fn the_writer_makes_each_vector_to_the_byte() {
    let update = std::env::var_os("UPDATE_VECTORS").is_some();
    for (name, make) in ALL {
        let (slab, path) = (make(), file(name, "slab"));
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &slab.0).unwrap();
            std::fs::write(file(name, "json"), lay_out(&json_by_python(&path).unwrap())).unwrap();
        }
        let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let first = golden.iter().zip(&slab.0).position(|(a, b)| a != b);
        assert_eq!(first, None, "{name}: the first byte that differs");
        assert_eq!(golden.len(), slab.0.len(), "{name}");
    }
}

fn each_vector_is_as_expected(test: &str, reader: impl Fn(&Path) -> Answer) {
    for (name, _) in ALL {
        match reader(&file(name, "slab")) {
            Ok(answer) => assert_eq!(difference(&expected(name), &answer), None, "{name}"),
            Err(reason) => return skip(test, &reason),
        }
    }
}

/// Four implementations that share no line: what they agree on is the specification.
#[test]
fn the_c_reader_reads_each_vector() {
    each_vector_is_as_expected("the_c_reader_reads_each_vector", json_by_c);
}

#[test]
fn the_python_reader_reads_each_vector() {
    each_vector_is_as_expected("the_python_reader_reads_each_vector", json_by_python);
}

#[test]
fn the_kaitai_parser_reads_each_vector() {
    each_vector_is_as_expected("the_kaitai_parser_reads_each_vector", json_by_kaitai);
}

#[test]
fn rondo_query_reads_each_vector() {
    each_vector_is_as_expected("rondo_query_reads_each_vector", json_by_rondo);
}

/// What a vector says of one series, worked out by hand from what the writer did and the
/// specification: a mistake that the writer and all readers share would show here.
fn says(vector: &str, series: &str, key: &str, by_hand: &Value) {
    let expected = expected(vector);
    let all = expected["series"].as_array().unwrap();
    let found = all
        .iter()
        .find(|one| one["name"] == series)
        .unwrap_or_else(|| panic!("no {series}"));
    assert_eq!(
        difference(by_hand, &found[key]),
        None,
        "{vector}: {key} of {series} is {:#}",
        found[key]
    );
}

fn point(n: u64, value: impl Into<Value>) -> Value {
    json!({"t": at(n), "value": value.into()})
}

fn filled(n: u64, value: u64) -> Value {
    json!({"t": at(n), "value": value, "filled": true})
}

fn distribution(n: u64, [count, sum, min, max, last]: [f64; 5]) -> Value {
    json!({"t": at(n), "count": count, "sum": sum, "min": min, "max": max, "last": last})
}

fn no_samples(n: u64, count: u64, sum: f64) -> Value {
    json!({"t": at(n), "count": count, "sum": sum, "min": null, "max": null, "last": null, "filled": true})
}

/// Cursor 19 and 8 slots: the window is 12 to 19.
#[test]
fn a_window_has_what_the_ring_still_holds_and_what_follows_from_it() {
    let expected = expected("wrapped");
    assert_eq!(
        (expected["start_ns"].as_u64(), expected["end_ns"].as_u64()),
        (Some(at(12)), Some(at(20)))
    );
    // Every third is a gap, and infinity is nothing that JSON can say.
    let by_hand = [
        point(13, 6.5),
        point(14, 7.0),
        point(16, 8.0),
        point(17, Value::Null),
        point(19, 9.5),
    ];
    says("wrapped", "temperature", "points", &json!(by_hand));
    // 1 + 3 + … + 13 = 49. Of 12 nothing is known: the slot of 11 is that of 19 now.
    let odd = [
        point(13, 49),
        filled(14, 49),
        point(15, 64),
        filled(16, 64),
        point(17, 81),
        filled(18, 81),
    ];
    let odd = [odd.as_slice(), &[point(19, 100)]].concat();
    says("wrapped", "odd_total", "points", &json!(odd));
    // Its one slot is from before the window, and nothing can have been overwritten since.
    let idle: Vec<Value> = (12..=19).map(|n| filled(n, 5)).collect();
    says("wrapped", "idle_total", "points", &json!(idle));
    says("wrapped", "idle_total", "latest", &point(3, 5));
    // Slots 1, 10 and 19 are there. That of 10 is more than a lap before 19: one of 11 may be lost.
    says("wrapped", "rare_total", "points", &json!([point(19, 3)]));
}

#[test]
fn a_distribution_runs_on_through_intervals_without_samples() {
    let latency = [
        no_samples(0, 0, 0.0),
        distribution(1, [3.0, 6.0, 1.0, 3.0, 2.0]),
        distribution(2, [4.0, 0.5, -5.5, -5.5, -5.5]),
        no_samples(3, 4, 0.5),
        distribution(4, [5.0, 1e300, 1e300, 1e300, 1e300]),
        no_samples(5, 5, 1e300),
        no_samples(6, 5, 1e300),
    ];
    says("distribution", "latency", "points", &json!(latency));
    let silent: Vec<Value> = (0..=6).map(|n| no_samples(n, 0, 0.0)).collect();
    says("distribution", "silent", "points", &json!(silent));
    says("distribution", "silent", "latest", &Value::Null);
}

/// Eight buckets to a doubling: one wide below 16, two wide below 32, 64 wide from 512 to 1,024.
#[test]
fn a_histogram_counts_each_sample_in_the_bucket_that_has_it() {
    let size = json!([
        [0, 1, 2],
        [1, 2, 1],
        [7, 8, 1],
        [8, 9, 1],
        [15, 16, 1],
        [16, 18, 2],
        [18, 20, 1],
        [960, 1_024, 1],
        [1_024, null, 1],
    ]);
    says("histogram", "size", "buckets", &size);
    let coarse = json!([[0, 1, 1], [1, 2, 1], [2, 4, 2], [4, 8, 1], [1u64 << 63, null, 1]]);
    says("histogram", "coarse", "buckets", &coarse);
    says(
        "histogram",
        "size",
        "latest",
        &distribution(3, [11.0, 1_000_001_083.4, 1.0, 1.0, 1.0]),
    );
}

#[test]
fn a_shared_series_is_as_new_as_its_cell() {
    says(
        "shared",
        "depth",
        "points",
        &json!([point(1, 1.25), point(2, 2.25), point(3, 3.25)]),
    );
    says("shared", "depth", "latest", &point(3, 99.5));
    says("shared", "unset", "points", &json!([]));
    says("shared", "unset", "latest", &Value::Null);
    says(
        "shared",
        "total",
        "points",
        &json!([point(0, 0), point(1, 10), point(2, 20), point(3, 30)]),
    );
    says("shared", "total", "latest", &point(3, 37));
    says(
        "shared",
        "held_total",
        "points",
        &json!([point(0, 0), point(1, 2), point(2, 4), point(3, 6)]),
    );
}

/// The disk went away in interval 3: it is known to have been idle until then, and no longer.
#[test]
fn nothing_is_known_of_a_series_after_its_end() {
    says("unplugged", "reads_total", "ended_ns", &json!(at(3)));
    says(
        "unplugged",
        "reads_total",
        "points",
        &json!([point(0, 0), point(1, 3), filled(2, 3), filled(3, 3)]),
    );
    let all = expected("unplugged")["series"].clone();
    let disk = |name: &str| {
        all.as_array()
            .unwrap()
            .iter()
            .find(|one| one["labels"]["disk"] == name)
            .unwrap()
            .clone()
    };
    let again = [
        point(0, 0),
        point(1, 1),
        filled(2, 1),
        filled(3, 1),
        filled(4, 1),
        point(5, 2),
        filled(6, 2),
    ];
    assert_eq!(disk("b")["ended_ns"], Value::Null);
    assert_eq!(difference(&json!(again), &disk("b")["points"]), None);
    assert_eq!(
        difference(&json!([point(5, 0), filled(6, 0)]), &disk("c")["points"]),
        None
    );
}

/// Interval n had the samples n and 10 n, each counter n twice; 6 was being opened, and of the
/// distribution's 5 another sample was being added.
#[test]
fn a_crash_tears_only_what_was_being_written() {
    let torn = |n: u64| json!({"t": at(n), "torn": true});
    let gauge = [
        point(1, 10.0),
        point(2, 20.0),
        point(3, 30.0),
        point(4, 40.0),
        point(5, 50.0),
    ];
    says(
        "crashed",
        "gauge",
        "points",
        &json!([&gauge[..], &[torn(6)]].concat()),
    );
    let counter = [
        point(0, 0),
        point(1, 2),
        point(2, 6),
        point(3, 12),
        point(4, 20),
        point(5, 30),
    ];
    says(
        "crashed",
        "counter_total",
        "points",
        &json!([&counter[..], &[torn(6)]].concat()),
    );
    let whole = [
        no_samples(0, 0, 0.0),
        distribution(1, [2.0, 11.0, 1.0, 10.0, 10.0]),
        distribution(2, [4.0, 33.0, 2.0, 20.0, 20.0]),
        distribution(3, [6.0, 66.0, 3.0, 30.0, 30.0]),
        distribution(4, [8.0, 110.0, 4.0, 40.0, 40.0]),
    ];
    says(
        "crashed",
        "distribution",
        "points",
        &json!([&whole[..], &[torn(5)]].concat()),
    );
    let five = distribution(5, [10.0, 165.0, 5.0, 50.0, 50.0]);
    says(
        "crashed",
        "histogram",
        "points",
        &json!([&whole[..], &[five.clone(), torn(6)]].concat()),
    );
    says("crashed", "histogram", "latest", &five);
}

/// The counter goes on from 30; the distribution from the 11 samples that its torn slot had counted;
/// the histogram's count from the 11 in its buckets, its sum from the last whole slot.
#[test]
fn totals_go_on_after_a_crash() {
    let gap = [point(5, 30), filled(6, 30), point(7, 44)];
    let counter = [
        &[point(0, 0), point(1, 2), point(2, 6), point(3, 12), point(4, 20)],
        &gap[..],
    ]
    .concat();
    says("reopened", "counter_total", "points", &json!(counter));
    says(
        "reopened",
        "distribution",
        "latest",
        &distribution(7, [13.0, 165.0 + 500.0 + 77.0, 7.0, 70.0, 70.0]),
    );
    says(
        "reopened",
        "histogram",
        "latest",
        &distribution(7, [13.0, 165.0 + 77.0, 7.0, 70.0, 70.0]),
    );
}

/// All that is new in it changes nothing in what an old reader finds.
#[test]
fn a_later_minor_version_reads_like_this_one() {
    let (later, closed) = (expected("later_minor"), expected("closed"));
    let names: Vec<&Value> = later["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        names,
        [
            "gauge",
            "counter_total",
            "distribution",
            "histogram",
            "shared_total"
        ]
    );
    says(
        "later_minor",
        "histogram",
        "buckets",
        &closed["series"][3]["buckets"],
    );
    says("later_minor", "gauge", "points", &closed["series"][0]["points"]);
    says(
        "later_minor",
        "distribution",
        "latest",
        &closed["series"][2]["latest"],
    );
}

/// An auditor that cries wolf over slabs that are as they should be would not be listened to; a crash
/// is not a broken rule.
#[test]
fn no_vector_breaks_a_rule() {
    for (name, _) in ALL {
        let audit = rondo_reader::audit(file(name, "slab"), &rondo_reader::Limits::default(), false).unwrap();
        assert!(audit.is_clean(), "{name}: {:?}", audit.findings);
        assert_eq!(audit.newer_minor, (name == "later_minor").then_some(7), "{name}");
    }
}
