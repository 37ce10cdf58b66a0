//! What the loop drives: the part of a collector that collects.

use crate::collect::settings::Settings;
use std::fmt;

/// What collects.
pub trait Core {
    /// Slabs may have come or gone: attach the new ones. Called between passes, soon after the change; pauses grow with
    /// what it costs.
    ///
    /// # Errors
    /// Logged, and tried again with the next pass.
    fn attach(&mut self) -> anyhow::Result<()>;

    /// Read what is new, once a second. The bus directory may only be listed if [`Tick::bus_changed`]: it may be
    /// missing, or another collector's, otherwise.
    ///
    /// # Errors
    /// The pass could not be made, or not list the directory: tried again with the next one. Like [`Report::errors`], this
    /// is logged, at most once a minute for the same text.
    fn pass(&mut self, tick: &Tick) -> anyhow::Result<Report>;

    /// Settings that can change in a running collector have changed: `keep`, the limits, and where to push to.
    fn reload(&mut self, settings: &Settings);

    /// The end: store everything that is complete.
    ///
    /// # Errors
    /// What is then the command's.
    fn finish(&mut self) -> anyhow::Result<()>;
}

/// When and why a pass is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Slabs may have come or gone since the last look at the directory.
    pub bus_changed: bool,
    /// Ticks so far that had no pass because an earlier one took too long.
    pub missed_count: u64,
}

/// What a pass found.
#[derive(Debug, Default)]
pub struct Report {
    /// Slabs whose writer lives.
    pub live_count: u64,
    /// Slabs whose writer is gone.
    pub ended_count: u64,
    /// Files that were not let in.
    pub refused_count: u64,
    /// What went wrong with single slabs, or with the store, and is tried again by itself.
    pub errors: Vec<anyhow::Error>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            live_count,
            ended_count,
            refused_count,
            errors: _,
        } = self;
        write!(
            f,
            "{live_count} live slabs, {ended_count} ended, {refused_count} refused"
        )
    }
}
