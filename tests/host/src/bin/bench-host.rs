//! Benchmark B: what a host pays for the metrics of its machines, rondo beside Prometheus with exporters.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use rondo_host::host::arrangement::Arrangement;
use rondo_host::host::case::Case;
use rondo_host::host::measure::{Settings, measure};
use rondo_host::host::report::Report;
use rondo_host::network::{self, Loopback};
use rondo_host::output::{Output, stop_on_signals};
use rondo_tests::thirty::default_slab_bytes;
use std::path::PathBuf;
use std::time::Duration;

/// Its part of the page.
const PART: &str = "host";

/// What a host pays for the metrics of its machines, rondo beside Prometheus with exporters.
#[derive(Parser)]
struct Arguments {
    /// How many machines
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "10,50,100", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    machines: Vec<u32>,
    /// Length of a window
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Seconds before each window
    #[arg(long, default_value_t = 20)]
    warm_up: u64,
    /// Windows of each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Only these
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values_t = Arrangement::ALL)]
    only: Vec<Arrangement>,
    /// Where the data of servers are while they run: on a disk, as theirs would be
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    work: PathBuf,
    /// The program `rondo`, beside this one unless given
    #[arg(long, value_name = "FILE")]
    rondo: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    arguments.output.check(PART)?;
    let loopback = network::leave()?;
    let stop = stop_on_signals()?;
    let work =
        statfs(&arguments.work).with_context(|| format!("cannot use --work {}", arguments.work.display()))?;
    anyhow::ensure!(
        work.filesystem_type() != TMPFS_MAGIC,
        "{} is in memory; choose a directory on a disk with --work",
        arguments.work.display()
    );
    // For the servers of tests, which choose their directories themselves.
    let _ = tempfile::env::override_temp_dir(&arguments.work);
    let rondo = match arguments.rondo {
        Some(rondo) => rondo,
        None => std::env::current_exe()?.with_file_name("rondo"),
    };
    anyhow::ensure!(
        rondo.exists(),
        "{} is missing; build it with `cargo build --release -p rondo-collector`",
        rondo.display()
    );
    let settings = Settings {
        warm_up: Duration::from_secs(arguments.warm_up),
        seconds: arguments.seconds,
        rondo,
    };

    let default_slab_bytes = default_slab_bytes();
    let cases = arguments.machines.iter().flat_map(|&machines| {
        arguments.only.iter().map(move |&arrangement| Case {
            arrangement,
            machines,
            windows: Vec::new(),
        })
    });
    let mut cases: Vec<_> = cases.collect();
    for round in 1..=arguments.rounds {
        // From the other end every other time, so that what changes slowly does not hit the same ones.
        let mut turn: Vec<_> = cases.iter_mut().collect();
        if round % 2 == 0 {
            turn.reverse();
        }
        for case in turn {
            let title = case.arrangement.title();
            eprintln!("round {round}: {title}, {} machines", case.machines);
            let window = measure(case.arrangement, case.machines, &settings, &stop);
            let window = window.with_context(|| format!("{title}, {} machines", case.machines))?;
            case.windows.push(window);
        }
    }
    let report = Report {
        seconds: arguments.seconds,
        warm_up_s: arguments.warm_up,
        rounds: arguments.rounds,
        is_private_network: loopback == Loopback::Private,
        default_slab_bytes,
        cases,
    };
    let text = report.markdown()?;
    arguments
        .output
        .write(PART, &text, &report, |path| report.plot(path))
}
