//! `rondo bench --remote-write`: what it costs to push what a collector has.
//!
//! Each measurement has a process of its own, and so has the [`receiver`], which only counts. The loop of [`pusher`] is the one
//! of a sender as long as nothing goes wrong: a look at the collector, a batch, the journal, a request.

mod backlog;
mod pusher;
mod receiver;
mod report;
mod steady;

use super::parts::{directory_in, stop_on_signals, wait};
use crate::commands::cli::{Bench, BenchPush, Format};
use crate::commands::{Outcome, output};
use anyhow::Context;
use backlog::Backlog;
use nix::sys::signal::Signal;
use report::Report;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

/// Machines of the backlog.
const BACKLOG_MACHINES: u32 = 100;

/// `rondo bench --remote-write`.
pub(super) fn command(args: &Bench) -> anyhow::Result<Outcome> {
    let stop = stop_on_signals()?;
    let place = args.collecting.store.as_deref();
    let (bus, store) = (directory_in(Some(&args.dir))?, directory_in(place)?);
    let machines = BACKLOG_MACHINES.to_string();
    let store_path = store.path().to_string_lossy().into_owned();
    let fill = ["bench-store", "--store", &store_path, "--backlog", &machines];
    let mut filling = this_program()?;
    wait(filling.args(fill).spawn().context("cannot fill a store")?, &stop)?;
    let mut backlogs = Vec::new();
    for protocol in [&[][..], &["--v2"]] {
        let rounds = (0..args.collecting.rounds).map(|_| apart(bus.path(), store.path(), protocol, &stop));
        let rounds = rounds.collect::<anyhow::Result<Vec<Backlog>>>()?;
        backlogs.push(Backlog::median(rounds).context("nothing was measured")?);
    }
    drop((bus, store));
    let mut cases = Vec::new();
    for machines in &args.machines {
        let (bus, store) = (directory_in(Some(&args.dir))?, directory_in(place)?);
        let (machines, seconds) = (machines.to_string(), args.collecting.seconds.to_string());
        let how = ["--machines", &machines, "--seconds", &seconds];
        cases.push(apart(bus.path(), store.path(), &how, &stop)?);
    }
    let report = Report {
        rounds: args.collecting.rounds,
        backlogs,
        cases,
    };
    let mut out = output::stdout();
    match args.output.format {
        Format::Json => output::write_json(&mut out, &report)?,
        Format::Csv => report.write_csv(&mut out)?,
        Format::Table => report.write(&mut out)?,
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// The hidden command that measures once and prints it as JSON.
///
/// # Errors
/// Whatever keeps it from measuring.
pub(crate) fn case(args: &BenchPush) -> anyhow::Result<Outcome> {
    let stop = stop_on_signals()?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    match args.machines {
        Some(machines) => {
            let steady = steady::measure(&args.bus, &args.store, machines, args.seconds, &stop)?;
            output::write_json(&mut output::stdout(), &steady)?;
        }
        None => {
            let backlog = backlog::measure(&args.bus, &args.store, args.v2, &stop)?;
            output::write_json(&mut output::stdout(), &backlog)?;
        }
    }
    Ok(Outcome::Done)
}

/// The hidden command that counts what it is sent.
///
/// # Errors
/// It cannot listen.
pub(crate) fn receive() -> anyhow::Result<Outcome> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    receiver::command()
}

fn this_program() -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("cannot find this program")?;
    Ok(Command::new(program))
}

/// Measures in a process of its own.
fn apart<T: DeserializeOwned>(
    bus: &Path,
    store: &Path,
    how: &[&str],
    stop: &AtomicBool,
) -> anyhow::Result<T> {
    let mut command = this_program()?;
    command.arg("bench-push").arg("--bus").arg(bus);
    command.arg("--store").arg(store).args(how);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.context("cannot start a measurement")?;
    let mut stdout = child.stdout.take().context("a measurement has no output")?;
    wait(child, stop)?;
    // One line, which a pipe holds.
    let mut json = String::new();
    stdout.read_to_string(&mut json)?;
    Ok(serde_json::from_str(&json)?)
}
