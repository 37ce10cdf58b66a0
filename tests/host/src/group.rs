//! Processes that are started together, measured together, and end with whoever started them.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Processes that are killed when dropped.
#[derive(Default)]
pub struct Group(Vec<Child>);

impl Group {
    /// Starts one more. It goes also if this process is killed before it can stop it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, command: &mut Command) -> Result<()> {
        self.0.push(bound(command).stdin(Stdio::null()).spawn_named()?);
        Ok(())
    }

    /// Starts one more, and waits for the line that it prints when it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends without that line.
    pub fn start_and_hear(&mut self, command: &mut Command) -> Result<String> {
        let mut command = bound(command);
        // Its input ends when this process does, which is how some know that they are not needed any more.
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn_named()?;
        self.0.push(child);
        let stdout = self.0.last_mut().and_then(|child| child.stdout.take());
        let mut line = String::new();
        BufReader::new(stdout.context("a process has no output")?).read_line(&mut line)?;
        anyhow::ensure!(line.ends_with('\n'), "{} ended at once", name(&command));
        Ok(line.trim().to_owned())
    }

    /// Their ids.
    pub fn pids(&self) -> Vec<i32> {
        self.0.iter().map(|child| child.id().cast_signed()).collect()
    }

    /// Asks all of them to end, and waits until they have.
    ///
    /// # Errors
    /// One of them did not end well.
    pub fn end(mut self) -> Result<()> {
        for child in &self.0 {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
        }
        for child in &mut self.0 {
            let status = child.wait()?;
            anyhow::ensure!(status.success(), "process {}: {status}", child.id());
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails if it has ended.
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// The same command, by way of one that makes the kernel kill it when its parent ends. It becomes the command, so its id is the same.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]);
    bound.arg(command.get_program()).args(command.get_args());
    bound
}

fn name(command: &Command) -> String {
    command
        .get_args()
        .nth(3)
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}

/// Spawning that says what could not be spawned.
trait SpawnNamed {
    fn spawn_named(&mut self) -> Result<Child>;
}

impl SpawnNamed for Command {
    fn spawn_named(&mut self) -> Result<Child> {
        let child = self.spawn();
        child.with_context(|| format!("cannot start {} (with setpriv, of util-linux)", name(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Counters;

    #[test]
    fn a_group_is_heard_measured_and_ended() {
        let mut group = Group::default();
        let line = group.start_and_hear(Command::new("sh").args(["-c", "echo ready; exec cat"]));
        assert_eq!(line.unwrap(), "ready");
        let pids = group.pids();
        assert!(Counters::read(&pids).unwrap().cpu().as_nanos() > 0);
        drop(group);
        assert!(Counters::read(&pids).is_err());
    }

    #[test]
    fn a_process_that_says_nothing_is_an_error() {
        let mut group = Group::default();
        let heard = group.start_and_hear(&mut Command::new("true"));
        assert_eq!(heard.unwrap_err().to_string(), "true ended at once");
    }
}
