//! Processes that are started together, measured together, and end with whoever started them.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rondo_tests::bound::program;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Processes that are killed when dropped.
#[derive(Default)]
pub struct Group(Vec<Child>);

impl Group {
    /// Starts one more, which is best made by [`bound`](rondo_tests::bound::bound).
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, command: &mut Command) -> Result<()> {
        self.spawn(command.stdin(Stdio::null()))?;
        Ok(())
    }

    /// Starts one more, and waits for the line that it prints when it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends without that line.
    pub fn start_and_hear(&mut self, command: &mut Command) -> Result<String> {
        // Its input ends when this process does, which is how some know that they are not needed any more.
        let child = self.spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdout = child.stdout.take();
        let mut line = String::new();
        BufReader::new(stdout.context("a process has no output")?).read_line(&mut line)?;
        anyhow::ensure!(line.ends_with('\n'), "{} ended at once", program(command));
        Ok(line.trim().to_owned())
    }

    fn spawn(&mut self, command: &mut Command) -> Result<&mut Child> {
        let child = command.spawn();
        let why = || format!("cannot start {} (with setpriv, of util-linux)", program(command));
        Ok(self.0.push_mut(child.with_context(why)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Counters;
    use rondo_tests::bound::bound;

    #[test]
    fn a_group_is_heard_measured_and_ended() {
        let mut group = Group::default();
        let line = group.start_and_hear(bound("sh").args(["-c", "echo ready; exec cat"]));
        assert_eq!(line.unwrap(), "ready");
        let pids = group.pids();
        assert!(Counters::read(&pids).unwrap().cpu().as_nanos() > 0);
        drop(group);
        assert!(Counters::read(&pids).is_err());
    }

    #[test]
    fn a_process_that_says_nothing_is_an_error() {
        let mut group = Group::default();
        let heard = group.start_and_hear(&mut bound("true"));
        assert_eq!(heard.unwrap_err().to_string(), "true ended at once");
    }
}
