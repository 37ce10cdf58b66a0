//! Benchmark C: machines that live for seconds, on the bus and by scrapes. See [`rondo_host::ephemeral`].
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rondo_host::ephemeral::kind::Kind;
use rondo_host::ephemeral::report;
use rondo_host::ephemeral::run::{Settings, run};
use rondo_host::output::{Output, stop_on_signals};
use std::io::Write;
use std::path::PathBuf;

/// Its part of the page.
const PART: &str = "ephemeral";

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

    #[command(flatten)]
    output: Output,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    arguments.output.check(PART)?;
    let stop = stop_on_signals()?;
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

    let text = report::text(&kind, &outcome)?;
    arguments
        .output
        .write(PART, &text, &outcome, |path| report::plot(&outcome, path))
}
