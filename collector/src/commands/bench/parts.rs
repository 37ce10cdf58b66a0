//! The processes of `rondo bench --collector`: each measurement has one of its own, whose memory is nobody else's.
//!
//! Slabs and stores are in temporary directories that go with the process, also if it is interrupted; if one is killed, the
//! slabs go with their writers.

use super::collector::{self, Case};
use super::report::Report;
use super::{first_row, machines as machine_process, short_machines, synthetic};
use crate::commands::cli::{Bench, BenchCase, BenchMachines, BenchStore, Format};
use crate::commands::{Outcome, output};
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// How often it is asked whether a process has ended or a signal came.
const POLL: Duration = Duration::from_millis(50);

/// `rondo bench --collector`.
pub(super) fn command(args: &Bench) -> anyhow::Result<Outcome> {
    let stop = stop_on_signals()?;
    let mut cases = Vec::new();
    for &machines in &args.machines {
        cases.push(measure_apart(args, machines, &stop)?);
    }
    let store = args.collecting.store.as_deref();
    let (bus, dir) = (directory_in(Some(&args.dir))?, directory_in(store)?);
    let first_row = first_row::measure(bus.path(), dir.path(), &stop)?;
    drop((bus, dir));
    let (bus, dir) = (directory_in(Some(&args.dir))?, directory_in(store)?);
    let short_machines = short_machines::measure(bus.path(), dir.path(), &stop)?;
    let report = Report {
        cases,
        first_row,
        short_machines,
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

/// The hidden command that measures one case and prints it as JSON.
///
/// # Errors
/// Whatever keeps it from measuring.
pub(crate) fn case(args: &BenchCase) -> anyhow::Result<Outcome> {
    let stop = stop_on_signals()?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    let (bus, store) = (
        directory_in(Some(&args.dir))?,
        directory_in(args.collecting.store.as_deref())?,
    );
    if args.collecting.full_store {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench-store").arg("--store").arg(store.path());
        let filling = command
            .stdout(Stdio::null())
            .spawn()
            .context("cannot fill a store")?;
        wait(filling, &stop)?;
    }
    let case = collector::measure(args, bus.path(), store.path(), &stop)?;
    output::write_json(&mut output::stdout(), &case)?;
    Ok(Outcome::Done)
}

/// The hidden command that is many machines.
///
/// # Errors
/// A slab cannot be created.
pub(crate) fn machines(args: &BenchMachines) -> anyhow::Result<Outcome> {
    machine_process::command(args)
}

/// The hidden command that fills a store.
///
/// # Errors
/// Those of the store.
pub(crate) fn fill_store(args: &BenchStore) -> anyhow::Result<Outcome> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    match args.backlog {
        Some(machines) => synthetic::fill_backlog(&args.store, machines)?,
        None => synthetic::fill(&args.store).map(drop)?,
    }
    Ok(Outcome::Done)
}

fn measure_apart(args: &Bench, machines: u32, stop: &AtomicBool) -> anyhow::Result<Case> {
    let how = &args.collecting;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command
        .arg("bench-case")
        .arg("--collector")
        .arg("--dir")
        .arg(&args.dir)
        .args([
            "--machines",
            &machines.to_string(),
            "--seconds",
            &how.seconds.to_string(),
        ]);
    command.args(how.full_store.then_some("--full-store"));
    if let Some(store) = &how.store {
        command.arg("--store").arg(store);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a measurement")?;
    let mut stdout = child.stdout.take().context("a measurement has no output")?;
    wait(child, stop)?;
    // One line, which a pipe holds.
    let mut json = String::new();
    stdout.read_to_string(&mut json)?;
    Ok(serde_json::from_str(&json)?)
}

/// Waits for a process to end well; asks it to end if a signal came.
pub(super) fn wait(mut child: Child, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut was_told = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if stop.load(Ordering::Relaxed) && !was_told {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
            was_told = true;
        }
        std::thread::sleep(POLL);
    };
    anyhow::ensure!(!was_told, "stopped");
    anyhow::ensure!(status.success(), "a part of the benchmark failed: {status}");
    Ok(())
}

/// Signals set a flag, so that directories are removed on the way out.
pub(super) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// A fresh directory, removed when it is dropped.
pub(super) fn directory_in(parent: Option<&Path>) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("rondo-bench-");
    let made = match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    made.context("cannot make a directory for the benchmark")
}
