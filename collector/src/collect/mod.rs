//! `rondo collect`: everything around the core that collects.
//!
//! - [`settings`], each with a [`key`], from flags, environment and [`mod@file`], whose tables are read as `section`s: those
//!   of servers that rows are pushed to by `remote_write`;
//! - [`mod@daemon`], the loop that drives a [`Core`] by the [`pace`] of a second, as [`watch`] and
//!   [`signals`] tell it;
//! - [`place`], the bus directory as this collector's own by [`lock`];
//! - [`log`], kept [`quiet`], and [`notify`], what systemd is told.

mod collecting;
pub mod core;
pub mod daemon;
pub mod file;
pub mod key;
pub mod listen;
pub mod lock;
pub mod log;
pub mod notify;
pub mod pace;
mod pages;
pub mod place;
mod pushes;
pub mod quiet;
mod remote_write;
mod section;
pub mod settings;
pub mod signals;
pub mod watch;

pub use self::core::{Core, Report, Tick};
pub use collecting::Collecting;
pub use key::Key;
pub use listen::Listen;
pub use settings::Settings;

use crate::commands::Outcome;
use crate::commands::cli;
use anyhow::Context;
use settings::Sources;
use signals::Orders;
use std::ffi::OsString;
use std::path::Path;

/// `rondo collect`.
///
/// # Errors
/// The settings are wrong, the bus is another collector's, or what was collected cannot be stored at the end.
pub fn command(args: &cli::Collect) -> anyhow::Result<Outcome> {
    log::start()?;
    let settings = read_settings(args.flags(), args.config.as_deref())?;
    anyhow::ensure!(
        settings.bus.is_dir() || !settings.bus.exists(),
        "the bus {} is not a directory; name another with --bus or RONDO_BUS",
        settings.bus.display()
    );
    // Before anything that a signal must not cut short.
    let orders = Orders::from_signals().context("cannot handle signals")?;
    if settings.listen.is_exposed() {
        tracing::warn!(
            "listening on {}, which is no loopback address: anyone who reaches it can read all metrics",
            settings.listen
        );
    }
    let mut core = Collecting::open(&settings)?;
    daemon::run(&mut core, settings, &orders, || {
        read_settings(args.flags(), args.config.as_deref())
    })?;
    Ok(Outcome::Done)
}

/// Reads the settings from where they are.
pub(crate) fn read_settings(flags: Vec<(Key, OsString)>, config: Option<&Path>) -> anyhow::Result<Settings> {
    let file = match config {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
            Some((name, text))
        }
        None => None,
    };
    let settings = Settings::load(&Sources {
        flags,
        variables: std::env::vars_os().collect(),
        file,
        is_root: nix::unistd::geteuid().is_root(),
    })?;
    Ok(settings)
}
