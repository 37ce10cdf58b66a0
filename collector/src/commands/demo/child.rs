//! Programs that end with the demo: its collector, and VMMs.
//!
//! They are started through a hidden command of this program that becomes them, because what ties a process to its parent has
//! to be said by the process itself.

use crate::commands::Outcome;
use crate::commands::cli::DemoChild;
use anyhow::Context;
use nix::sys::signal::Signal;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Becomes the program, which gets SIGTERM when the process that started it ends.
///
/// # Errors
/// The program cannot be run.
pub fn run(args: &DemoChild) -> anyhow::Result<Outcome> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    let error = Command::new(&args.program).args(&args.arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", args.program.display()))
}

/// A command that becomes `program`, out of the terminal's reach: Ctrl-C is the demo's to handle.
pub(super) fn command(program: &Path) -> anyhow::Result<Command> {
    let mut command = this_program()?;
    command.arg("demo-child").arg(program);
    Ok(command)
}

/// A command of this program, out of the terminal's reach.
pub(super) fn this_program() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.process_group(0);
    Ok(command)
}
