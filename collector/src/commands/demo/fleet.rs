//! The demo's machines as their parent sees them: started, one killed in the middle of its life, and waited for.
//!
//! What they print ([`super::machine`]) is all that the parent knows of them, and so what has to be in the store later.

use anyhow::{Context, ensure};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The victim dies so long after a tick: past the interval of that tick, in which its worker already records, and
/// before the next tick.
const KILL_DELAY: Duration = Duration::from_millis(700);

/// A machine as its parent saw it.
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

/// All machines. Dropping it kills those that live.
pub(super) struct Fleet {
    machines: Vec<Machine>,
    /// Which one is to be killed, and after how many ticks.
    victim: Option<(usize, usize)>,
    kill_due: Option<Instant>,
}

impl Fleet {
    /// Starts `count` machines that live for `seconds` ticks.
    pub(super) fn start(bus: &Path, count: u32, seconds: u64) -> anyhow::Result<Self> {
        let mut fleet = Self {
            machines: Vec::new(),
            victim: (count > 1).then_some((count as usize / 2, seconds.div_ceil(2) as usize)),
            kill_due: None,
        };
        for number in 1..=count {
            fleet
                .machines
                .push(Machine::start(bus, format!("demo-{number}"), seconds)?);
        }
        Ok(fleet)
    }

    /// Whether all are over.
    pub(super) fn is_over(&mut self) -> anyhow::Result<bool> {
        for machine in &mut self.machines {
            machine.listen();
            if machine
                .child
                .try_wait()
                .context("cannot wait for a machine")?
                .is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Kills the victim when its time has come, and returns its name then.
    pub(super) fn kill_when_due(&mut self) -> anyhow::Result<Option<&str>> {
        let Some((index, ticks)) = self.victim else {
            return Ok(None);
        };
        let machine = &mut self.machines[index];
        machine.listen();
        if machine.ticks.len() < ticks {
            return Ok(None);
        }
        let now = Instant::now();
        if now < *self.kill_due.get_or_insert(now + KILL_DELAY) {
            return Ok(None);
        }
        self.victim = None;
        machine.child.kill().context("cannot kill a machine")?;
        machine.is_victim = true;
        Ok(Some(&machine.instance))
    }

    /// What was seen of them, when all are over.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<Witness>> {
        self.machines.drain(..).map(Machine::finish).collect()
    }
}

struct Machine {
    instance: String,
    child: Child,
    /// Lines that it printed.
    said: Receiver<String>,
    /// Incarnation and slab.
    slab: Option<(String, PathBuf)>,
    ticks: Vec<u64>,
    is_victim: bool,
}

impl Machine {
    fn start(bus: &Path, instance: String, seconds: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command.arg("demo-machine").arg("--bus").arg(bus);
        command.args(["--instance", &instance, "--seconds", &seconds.to_string()]);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a machine")?;
        let stdout = child.stdout.take().context("a machine has no output")?;
        let (lines, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Of a demo that fails, nobody listens any more.
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            instance,
            child,
            said,
            slab: None,
            ticks: Vec::new(),
            is_victim: false,
        })
    }

    /// Takes in what it has said since.
    fn listen(&mut self) {
        while let Ok(line) = self.said.try_recv() {
            self.hear(&line);
        }
    }

    fn hear(&mut self, line: &str) {
        match (line.split_once(' '), line.parse()) {
            (Some((incarnation, slab)), _) => self.slab = Some((incarnation.to_owned(), slab.into())),
            (None, Ok(tick)) => self.ticks.push(tick),
            (None, Err(_)) => {}
        }
    }

    fn finish(mut self) -> anyhow::Result<Witness> {
        let status = self.child.wait()?;
        // Until its output is closed, which is when it is over.
        while let Ok(line) = self.said.recv() {
            self.hear(&line);
        }
        let instance = std::mem::take(&mut self.instance);
        ensure!(
            status.success() || self.is_victim,
            "machine {instance} failed: {status}"
        );
        let (incarnation, slab) = self
            .slab
            .take()
            .with_context(|| format!("{instance} made no slab"))?;
        Ok(Witness {
            instance,
            incarnation,
            slab,
            killed: !status.success(),
            ticks: std::mem::take(&mut self.ticks),
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail if it is over and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
