//! The readers in C and Python, against a writer that never rests.
//!
//! Each value that the writer writes can be checked by itself (see `rondo_tests::rows`), so a reader
//! knows a value that is mixed from two when it sees one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::foreign::{c_program, python_reader};
use rondo_tests::skip::skip;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const SECONDS: u64 = 5;

/// Torn values must not pass for whole ones while slots change millions of times a second. Both
/// readers look at the same time, as on a host with several collectors.
///
/// That some are reported as torn is right: a writer that the kernel stops in the middle of a write
/// leaves its slot so for longer than a reader tries. But it stands in one slot, so there is at most
/// one in a round, more or less.
#[test]
fn foreign_readers_never_see_a_torn_value_as_present() {
    let readers = [
        ("C", c_program("slab_watch").map(Command::new), vec![]),
        ("Python", python_reader(), vec!["watch"]),
    ];
    let directory = tempfile::tempdir().unwrap();
    // Longer than the readers, so that they always have somebody to race with.
    let mut writer = Command::new(env!("CARGO_BIN_EXE_fast_writer"))
        .arg(directory.path())
        .arg((2 * SECONDS + 10).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut slab = String::new();
    BufReader::new(writer.stdout.take().unwrap())
        .read_line(&mut slab)
        .unwrap();

    let mut watchers = Vec::new();
    for (name, reader, arguments) in readers {
        match reader {
            Ok(mut reader) => {
                reader
                    .args(arguments)
                    .arg(slab.trim_end())
                    .arg(SECONDS.to_string());
                watchers.push((name, reader.stdout(Stdio::piped()).spawn().unwrap()));
            }
            Err(reason) => skip(
                &format!("foreign_readers_never_see_a_torn_value_as_present ({name})"),
                &reason,
            ),
        }
    }
    for (name, watcher) in watchers {
        let output = watcher.wait_with_output().unwrap();
        let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |key: &str| tally[key].as_u64().unwrap();
        println!("{name}: {tally}");
        assert_eq!(count("wrong"), 0, "{name}: {tally}");
        assert!(count("present") > 0, "{name}: {tally}");
        assert!(count("torn") <= count("rounds"), "{name}: {tally}");
        assert!(output.status.success(), "{name}: {tally}");
    }
    assert!(
        writer.try_wait().unwrap().is_none(),
        "the writer ended before the readers"
    );
    writer.kill().unwrap();
    writer.wait().unwrap();
}
