//! The collector's log: lines on standard error, filtered by `RONDO_LOG`.

use anyhow::Context;
use nix::sys::stat::fstat;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Starts it. `RONDO_LOG` is a level or a list such as `info,rondo_collector::store=debug`.
///
/// # Errors
/// `RONDO_LOG` cannot be understood, or there is a log already.
pub fn start() -> anyhow::Result<()> {
    let filter = match std::env::var("RONDO_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| {
            format!(
                "RONDO_LOG: `{text}` is neither error, warn, info, debug or trace, nor a list of TARGET=LEVEL"
            )
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // Of errors in writing the log it would tell with `eprintln!`, which panics then.
        .log_internal_errors(false);
    let started = if is_journal() {
        log.without_time().try_init()
    } else {
        log.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("{error}"))
}

/// Whether standard error goes to systemd's journal, which notes the time itself.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
