//! What a command printed, as a part of a page: for benchmarks of packages that cannot depend on this one.
//!
//! The part says which command that was, on which machine, of which sources, and how busy the machine was meanwhile.

use crate::load::Range;
use crate::machine;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// From one look at the load to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a line starts with that says what could not be measured.
const SKIPPED: &str = "SKIPPED";

/// A command that has ended well.
#[derive(Debug)]
pub struct Printed {
    /// As it would be typed, without the program's directory.
    command: String,
    /// Its standard output.
    text: String,
    /// How long it ran.
    took: Duration,
    /// Meanwhile.
    load: Range,
}

impl Printed {
    /// Runs a command, and copies what it prints to `out` as it comes.
    ///
    /// # Errors
    /// It cannot be run, fails, or prints what is no text; the kernel does not say how busy the machine is.
    pub fn run(command: &[String], out: &mut impl Write) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let name = Path::new(program).file_name().context("no program")?;
        let typed: Vec<_> = std::iter::once(name.to_string_lossy().into_owned())
            .chain(arguments.iter().cloned())
            .collect();
        let began = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        let stdout = child.stdout.take().context("it has no output")?;
        let is_over = AtomicBool::new(false);
        let (text, load) = thread::scope(|scope| {
            let looking = scope.spawn(|| look_until(&is_over));
            let text = copy(stdout, out);
            is_over.store(true, Ordering::Relaxed);
            looking.thread().unpark();
            let load = looking.join().ok().context("looking at the load panicked");
            Ok::<_, anyhow::Error>((text?, load??))
        })?;
        let status = child.wait()?;
        ensure!(status.success(), "{} failed: {status}", typed.join(" "));
        Ok(Self {
            command: typed.join(" "),
            text,
            took: began.elapsed(),
            load,
        })
    }

    /// What it says that it could not measure, which is no reason to take figures off a page.
    pub fn skipped(&self) -> Option<&str> {
        self.text.lines().find(|line| line.starts_with(SKIPPED))
    }

    /// The part: where it comes from, then what was printed, as Markdown or as it stands.
    ///
    /// # Errors
    /// The kernel does not say what machine this is.
    pub fn part(&self, is_markdown: bool) -> Result<String> {
        let text = self.text.trim_end().trim_start_matches('\n');
        let text = if is_markdown {
            text.to_owned()
        } else {
            format!("```text\n{text}\n```")
        };
        Ok(format!(
            "Printed by `{}`, which took {:.0} s. {}; the load was {}.\n\n{text}",
            self.command,
            self.took.as_secs_f64(),
            machine::description()?,
            self.load,
        ))
    }
}

fn copy(from: impl Read, out: &mut impl Write) -> Result<String> {
    let mut text = String::new();
    for line in BufReader::new(from).lines() {
        let line = line?;
        writeln!(out, "{line}")?;
        text += &line;
        text.push('\n');
    }
    Ok(text)
}

fn look_until(is_over: &AtomicBool) -> Result<Range> {
    let mut load = Range::begin()?;
    while !is_over.load(Ordering::Relaxed) {
        thread::park_timeout(LOOK_EVERY);
        load.look()?;
    }
    Ok(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<(Printed, String)> {
        let mut out = Vec::new();
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let printed = Printed::run(&command, &mut out)?;
        Ok((printed, String::from_utf8(out)?))
    }

    #[test]
    fn a_part_says_what_was_printed_and_where_it_comes_from() {
        let (printed, shown) = run("printf '\\n  a  1\\nb 2\\n'").unwrap();
        assert_eq!(shown, "\n  a  1\nb 2\n");
        let part = printed.part(false).unwrap();
        assert!(part.starts_with("Printed by `sh -c printf"), "{part}");
        assert!(part.ends_with("\n\n```text\n  a  1\nb 2\n```"), "{part}");
        assert!(
            part.contains(" cores of ") && part.contains("; the load was "),
            "{part}"
        );
        assert!(printed.part(true).unwrap().ends_with(".\n\n  a  1\nb 2"));
    }

    /// Half a table would look like a whole one.
    #[test]
    fn what_a_command_printed_before_it_failed_is_no_part() {
        assert!(run("echo '| a |'; exit 3").is_err());
        assert!(Printed::run(&["/nowhere/at/all".to_owned()], &mut Vec::new()).is_err());
        assert!(Printed::run(&[], &mut Vec::new()).is_err());
    }

    #[test]
    fn what_could_not_be_measured_is_found() {
        let (printed, _) = run("echo one; echo 'SKIPPED exits: no KVM'").unwrap();
        assert_eq!(printed.skipped(), Some("SKIPPED exits: no KVM"));
        assert_eq!(run("echo 'not SKIPPED'").unwrap().0.skipped(), None);
    }
}
