//! Machines that are gone, for tests of what looks after their slabs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]
#![allow(dead_code, reason = "each test uses another part")]

#[path = "../../../tests/src/skip.rs"]
mod skip;

pub use skip::skip;

use rondo_writer::Writer;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const SECOND: u64 = 1_000_000_000;

/// A slab whose writer is gone without closing it, and whose clock says nothing about its age.
pub fn dead(bus: &Path, instance: &str, age: Duration) -> PathBuf {
    let builder = Writer::builder(instance).bus(bus).simulated_time(100 * SECOND);
    let mut writer = builder.create().unwrap();
    writer.tick_at(100 * SECOND);
    let path = writer.paths().next().unwrap().to_owned();
    // What a killed process leaves: all of the file but the mark of a close, and no lock.
    let bytes = std::fs::read(&path).unwrap();
    writer.close();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    path
}
