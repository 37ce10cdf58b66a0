//! Where the figures of a benchmark go: standard output, and a page and a plot if they are wanted.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use rondo_tests::marked;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What can be typed about it.
#[derive(Debug, Args)]
pub struct Output {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,

    /// Puts the tables also into this page, between its markers
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// Draws a plot into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables in Markdown
    Table,
    /// One JSON document, with all that was measured
    Json,
}

impl Output {
    /// Before a benchmark takes its time: whether the page has a part of that name, and files can be made where it and the plot go.
    ///
    /// # Errors
    /// The page cannot be read or written, or does not have the markers; a directory takes no file.
    pub fn check(&self, name: &str) -> Result<()> {
        if let Some(path) = &self.page {
            marked::read(path, name)?;
            let page = OpenOptions::new().write(true).open(path);
            page.with_context(|| format!("cannot write {}", path.display()))?;
        }
        for path in self.page.iter().chain(&self.plot) {
            let directory = marked::directory(path);
            tempfile::tempfile_in(directory).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes what was measured, `text` being its tables, wherever it is wanted.
    ///
    /// # Errors
    /// One of the places takes nothing.
    pub fn write(
        &self,
        name: &str,
        text: &str,
        measured: &impl Serialize,
        plot: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Format::Table => writeln!(out, "{text}")?,
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(measured)?)?,
        }
        if let Some(path) = &self.page {
            marked::write(path, name, text)?;
        }
        if let Some(path) = &self.plot {
            plot(path).with_context(|| format!("cannot draw {}", path.display()))?;
        }
        Ok(())
    }
}

/// What SIGINT and SIGTERM set, so that a benchmark ends what it has started.
///
/// # Errors
/// The signals cannot be handled.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Whether to go on.
///
/// # Errors
/// A signal has set it.
pub fn check(stop: &AtomicBool) -> Result<()> {
    anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped by a signal");
    Ok(())
}
