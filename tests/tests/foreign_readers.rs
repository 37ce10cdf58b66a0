//! The readers in C and Python, against a writer that never rests.
//!
//! Each value that the writer writes can be checked by itself (see `rondo_tests::rows`), so a reader
//! knows a value that is mixed from two when it sees one.

use rondo_tests::foreign::{c_program, python_reader};
use rondo_tests::skip::skip;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const SECONDS: u64 = 5;

/// Torn values must not pass for whole ones while slots change millions of times a second. Both
/// readers look at the same time, as on a host with several collectors.
///
/// That some are reported as torn is right: a writer that the kernel stops in the middle of a write
/// leaves its slot so for longer than a reader tries. But it stands in one slot, so there is at most
/// one in a round, more or less.
#[test]
fn foreign_readers_never_see_a_torn_value_as_present() {
    let directory = tempfile::tempdir().unwrap();
    // Longer than the readers, so that they always have somebody to race with.
    let mut writer = Command::new(env!("CARGO_BIN_EXE_fast_writer"))
        .arg(directory.path())
        .arg((SECONDS + 3).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut slab = String::new();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut slab).unwrap();
    let slab = slab.trim_end();

    let watch = |name: &str, reader: Result<Command, String>, arguments: &[&str]| -> Option<Child> {
        match reader {
            Ok(mut reader) => Some(reader.args(arguments).stdout(Stdio::piped()).spawn().unwrap()),
            Err(reason) => {
                skip(&format!("foreign_readers_never_see_a_torn_value_as_present ({name})"), &reason);
                None
            }
        }
    };
    let seconds = SECONDS.to_string();
    let watchers = [
        ("C", watch("C", c_program("slab_watch").map(Command::new), &[slab, &seconds])),
        ("Python", watch("Python", python_reader(), &["watch", slab, &seconds])),
    ];
    for (name, watcher) in watchers {
        let Some(watcher) = watcher else { continue };
        let output = watcher.wait_with_output().unwrap();
        let tally: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = |key: &str| tally[key].as_u64().unwrap();
        println!("{name}: {tally}");
        assert_eq!(count("wrong"), 0, "{name}: {tally}");
        assert!(count("present") > 0, "{name}: {tally}");
        assert!(count("torn") <= count("rounds"), "{name}: {tally}");
        assert!(output.status.success(), "{name}: {tally}");
    }
    assert!(writer.try_wait().unwrap().is_none(), "the writer ended before the readers");
    writer.kill().unwrap();
    writer.wait().unwrap();
}
