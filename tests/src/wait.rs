//! Waiting for what comes, however busy the machine is.
#![allow(
    dead_code,
    reason = "not every test that takes this file in asks for all of it"
)]

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; nothing waits for so long unless its test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so; fails when it takes longer than [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
