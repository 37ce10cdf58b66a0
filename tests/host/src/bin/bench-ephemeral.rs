//! Benchmark C: machines that live for seconds, on the bus and by scrapes. See [`rondo_host::ephemeral`].
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rondo_host::ephemeral::kind::Kind;
use rondo_host::ephemeral::report;
use rondo_host::ephemeral::run::{Settings, run};
use rondo_tests::marked;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Compare what is known of short-lived machines by rondo and by Prometheus
#[derive(Parser)]
struct Arguments {
    /// How long machines live, in seconds
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', default_value = "5,10,30,45", value_parser = clap::value_parser!(u64).range(1..=300))]
    lives: Vec<u64>,

    /// How many live for each of these times
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    machines: u64,

    /// How many are alive at once, on average
    #[arg(long, value_name = "COUNT", default_value_t = 36, value_parser = clap::value_parser!(u64).range(1..=200))]
    at_once: u64,

    /// Another one starts them at other times
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Let processes without guests be the machines, also where KVM runs guests
    #[arg(long)]
    without_guests: bool,

    /// The program `rondo`, beside this one unless given
    #[arg(long, value_name = "FILE")]
    rondo: Option<PathBuf>,

    /// The program `rondo-vmm`, beside this one unless given
    #[arg(long, value_name = "FILE")]
    vmm: Option<PathBuf>,

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
    /// One JSON document, with all machines
    Json,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.page {
        marked::read(path, "ephemeral")?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let beside = |given: Option<PathBuf>, name: &str| match given {
        Some(program) => Ok(program),
        None => std::env::current_exe().map(|program| program.with_file_name(name)),
    };
    let settings = Settings {
        lives: arguments.lives,
        machines: arguments.machines,
        at_once: arguments.at_once,
        seed: arguments.seed,
        rondo: beside(arguments.rondo, "rondo")?,
    };
    let guestless = beside(None, "bench-guestless")?;
    let kind = if arguments.without_guests {
        Kind::WithoutGuest {
            program: guestless,
            why: "as asked".to_owned(),
        }
    } else {
        Kind::choose(beside(arguments.vmm, "rondo-vmm")?, guestless)?
    };
    let mut err = std::io::stderr();
    writeln!(err, "{}", kind.in_words())?;

    let style = "{elapsed} {wide_bar} {pos} of {len} machines over, {msg}";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    let outcome = run(&settings, &kind, &bar, &stop);
    bar.finish_and_clear();
    let outcome = outcome?;

    let text = report::text(&settings, &kind, &outcome)?;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Format::Table => writeln!(out, "{text}")?,
        Format::Json => writeln!(out, "{}", serde_json::to_string(&outcome)?)?,
    }
    if let Some(path) = &arguments.plot {
        report::plot(&outcome, path)?;
    }
    if let Some(path) = &arguments.page {
        marked::write(path, "ephemeral", &text)?;
    }
    Ok(())
}
