//! One machine as its parent sees it: a process, and what it says.

use super::event::Event;
use crate::show;
use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A machine when it is over.
#[derive(Debug)]
pub struct Witness {
    /// Its name.
    pub instance: String,
    /// Which life of that name.
    pub incarnation: String,
    /// Its slab.
    pub slab: PathBuf,
    /// Whether it was killed.
    pub killed: bool,
    /// Starts of the intervals that it reported, in order.
    pub ticks: Vec<u64>,
}

/// A line that a machine wrote.
enum Line {
    /// On standard error: an event, or why it failed.
    Said(String),
    /// On standard output, which is a guest's console.
    Console(String),
}

/// A machine that was started. Dropping it kills it.
pub(super) struct Watched {
    instance: String,
    child: Child,
    lines: Receiver<Line>,
    /// Incarnation and slab.
    slab: Option<(String, PathBuf)>,
    ticks: Vec<u64>,
    /// What was no event.
    messages: Vec<String>,
    /// What the guest wrote since it was last asked for.
    console: Vec<String>,
    last_of_console: String,
    lost_events: u64,
    is_victim: bool,
    is_told_to_end: bool,
}

impl Watched {
    /// Starts it. What it writes on standard output is a guest's console, if the command has that piped.
    pub(super) fn start(mut command: Command, instance: String) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start a machine")?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            pass_on(stdout, Line::Console, sender.clone());
        }
        let stderr = child.stderr.take().context("a machine has no output")?;
        pass_on(stderr, Line::Said, sender);
        Ok(Self {
            instance,
            child,
            lines,
            slab: None,
            ticks: Vec::new(),
            messages: Vec::new(),
            console: Vec::new(),
            last_of_console: String::new(),
            lost_events: 0,
            is_victim: false,
            is_told_to_end: false,
        })
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// How often it has ticked, as far as it has said.
    pub(super) fn tick_count(&self) -> u64 {
        self.ticks.len() as u64
    }

    /// Takes in what it has said since.
    pub(super) fn listen(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(line);
        }
    }

    fn hear(&mut self, line: Line) {
        match line {
            Line::Console(line) => {
                // A guest that writes the same over and over does it to be busy.
                if line != self.last_of_console {
                    self.console.push(show::printable(&line));
                    self.last_of_console = line;
                }
            }
            Line::Said(line) => match Event::parse(&line) {
                Some(Event::Started { incarnation, slab }) => {
                    self.slab = slab.map(|slab| (incarnation, slab));
                }
                Some(Event::Tick { ticked_ns }) => self.ticks.push(ticked_ns),
                Some(Event::Ended { lost_events, .. }) => self.lost_events = lost_events,
                None => self.messages.push(line),
            },
        }
    }

    /// What its guest has written since.
    pub(super) fn take_console(&mut self) -> Vec<String> {
        std::mem::take(&mut self.console)
    }

    pub(super) fn is_over(&mut self) -> anyhow::Result<bool> {
        let status = self.child.try_wait().context("cannot wait for a machine")?;
        Ok(status.is_some())
    }

    /// SIGKILL, which it cannot notice.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill a machine")?;
        self.is_victim = true;
        Ok(())
    }

    /// SIGTERM, once: a VMM then stops its guest and closes its slab.
    pub(super) fn tell_to_end(&mut self) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.is_told_to_end, true) {
            let pid = Pid::from_raw(i32::try_from(self.child.id())?);
            kill(pid, Signal::SIGTERM).context("cannot end a machine")?;
        }
        Ok(())
    }

    /// What was seen of it, when it is over.
    pub(super) fn finish(mut self) -> anyhow::Result<Witness> {
        let status = self.child.wait()?;
        // Until its output is closed, which is when it is over.
        while let Ok(line) = self.lines.recv() {
            self.hear(line);
        }
        let instance = std::mem::take(&mut self.instance);
        let said = self.messages.join("; ");
        if !status.success() && !self.is_victim {
            bail!("machine {instance} failed ({status}): {said}");
        }
        ensure!(
            self.lost_events == 0,
            "machine {instance} ticked more often than it could say: {} of its events are lost",
            self.lost_events
        );
        let slab = self.slab.take();
        let (incarnation, slab) = slab.with_context(|| format!("{instance} made no slab: {said}"))?;
        Ok(Witness {
            instance,
            incarnation,
            slab,
            killed: !status.success(),
            ticks: std::mem::take(&mut self.ticks),
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Both fail if it is over and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends each line, until there are no more or nobody listens.
fn pass_on(output: impl Read + Send + 'static, kind: fn(String) -> Line, lines: Sender<Line>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // A console may write any bytes.
            let line = String::from_utf8_lossy(&line);
            if lines.send(kind(line.trim_end().to_owned())).is_err() {
                return;
            }
        }
    });
}
