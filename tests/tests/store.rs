//! The golden store of `spec/vectors/store`: the collector and the Python reader read it alike, and read alike
//! what the collector makes today.
//!
//! `UPDATE_VECTORS=1` makes it anew. Look at what changed before you commit it: stores that were written by
//! earlier versions have to stay readable.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::foreign::{root, store_json_by_python};
use rondo_tests::json::{difference, lay_out};
use rondo_tests::skip::skip;
use rondo_tests::store::{json_by_rondo, make};
use serde_json::{Value, json};
use std::path::PathBuf;

fn golden() -> PathBuf {
    root().join("spec/vectors/store")
}

fn expected() -> Value {
    let path = root().join("spec/vectors/store.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let _ = std::fs::remove_dir_all(golden());
        make(&golden());
        std::fs::write(&path, lay_out(&store_json_by_python(&golden()).unwrap())).unwrap();
    }
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// In one test, so that updating comes before all else. The Python reader was written from the page
/// alone: what both agree on is the specification.
#[test]
fn the_golden_store_and_one_of_today_read_as_expected() {
    let expected = expected();
    let today = tempfile::tempdir().unwrap();
    make(today.path());
    for dir in [&golden(), today.path()] {
        assert_eq!(
            difference(&expected, &json_by_rondo(dir)),
            None,
            "{}",
            dir.display()
        );
        match store_json_by_python(dir) {
            Ok(answer) => assert_eq!(difference(&expected, &answer), None, "{}", dir.display()),
            Err(reason) => skip(
                "the_golden_store_and_one_of_today_read_as_expected (Python)",
                &reason,
            ),
        }
    }

    // Some of it by hand: a mistake that the writer and both readers share would show here.
    let archives = expected["archives"].as_array().unwrap();
    let runs = |tier: usize| archives[tier]["runs"].as_array().unwrap();
    let column = |index: usize, name: &str| runs(0)[0]["series"][index]["columns"][name].clone();
    assert_eq!(column(3, "last")[11], json!(1_016_500.0));
    assert_eq!(
        column(7, "last"),
        json!([0.0, null, 0.5, 0.75, null, 1.25, 1.5, null, 2.0, 2.25, null, 2.75])
    );
    assert_eq!(column(9, "total")[4], json!(4_001));
    assert_eq!(column(10, "total")[2], json!(0));
    assert_eq!(runs(0)[0]["ended_ns"], json!(1_700_000_111_999_999_995u64));
    // Of 11 frames, 4 to an extent and 2 extents, the first 4 are overwritten.
    assert_eq!(runs(1).len(), 7);
    assert_eq!(
        runs(1)[6]["series"][0]["columns"]["total"],
        json!([1000, 1001, 1002, 1003, 1004, 1005])
    );
    assert_eq!(
        runs(1)[6]["series"][1]["buckets"][3],
        json!([[9, 27], [18, 54], [27, 81], [36, 108]])
    );
    // One was damaged after it was synchronised, and one is torn.
    assert_eq!((runs(2).len(), &archives[2]["damaged"]), (2, &json!(1)));
    assert_eq!(runs(2)[1]["tier"], json!(3));
}
