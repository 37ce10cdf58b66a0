//! The demo's machines together: started, one killed in the middle of its life, the others ended in time.
//!
//! What they say of themselves ([`super::event`]) is all that the demo knows of them, and so what has to be in the store later.

use super::kind::Kind;
use super::watched::{Watched, Witness};
use std::path::Path;
use std::time::{Duration, Instant};

/// The victim dies so long after a tick: past the interval of that tick, in which its other threads already record, and
/// before the next tick.
const KILL_DELAY: Duration = Duration::from_millis(700);

/// All machines. Dropping it kills those that live.
pub(super) struct Fleet {
    machines: Vec<Watched>,
    /// After how many ticks VMs are told to end; processes do so by themselves.
    end_after: Option<u64>,
    /// Which one is to be killed, and after how many ticks.
    victim: Option<(usize, u64)>,
    kill_due: Option<Instant>,
}

impl Fleet {
    /// Starts `count` machines that live for `seconds` ticks.
    pub(super) fn start(kind: &Kind, bus: &Path, count: u32, seconds: u64) -> anyhow::Result<Self> {
        let mut fleet = Self {
            machines: Vec::new(),
            end_after: matches!(kind, Kind::Vms(_)).then_some(seconds),
            victim: (count > 1).then_some((count as usize / 2, seconds.div_ceil(2))),
            kill_due: None,
        };
        for number in 1..=count {
            let instance = format!("demo-{number}");
            let command = kind.command(bus, &instance, seconds)?;
            fleet.machines.push(Watched::start(command, instance)?);
        }
        Ok(fleet)
    }

    /// Listens to all, tells those to end that have lived long enough, and says whether all are over.
    pub(super) fn look_after(&mut self) -> anyhow::Result<bool> {
        let mut is_over = true;
        for machine in &mut self.machines {
            machine.listen();
            if machine.is_over()? {
                continue;
            }
            is_over = false;
            if self.end_after.is_some_and(|ticks| machine.tick_count() >= ticks) {
                machine.tell_to_end()?;
            }
        }
        Ok(is_over)
    }

    /// How often the machine has ticked that did most often.
    pub(super) fn tick_count(&self) -> u64 {
        self.machines.iter().map(Watched::tick_count).max().unwrap_or(0)
    }

    /// Lines that Linux guests wrote on their consoles since, with the names of the machines.
    pub(super) fn take_console(&mut self) -> Vec<String> {
        let machines = self.machines.iter_mut().map(|machine| {
            let instance = machine.instance().to_owned();
            (instance, machine.take_console())
        });
        let lines = machines
            .flat_map(|(instance, lines)| lines.into_iter().map(move |line| format!("{instance} | {line}")));
        lines.collect()
    }

    /// Kills the victim when its time has come, and returns its name then.
    pub(super) fn kill_when_due(&mut self) -> anyhow::Result<Option<&str>> {
        let Some((index, ticks)) = self.victim else {
            return Ok(None);
        };
        let machine = &mut self.machines[index];
        if machine.tick_count() < ticks {
            return Ok(None);
        }
        let now = Instant::now();
        if now < *self.kill_due.get_or_insert(now + KILL_DELAY) {
            return Ok(None);
        }
        self.victim = None;
        machine.kill()?;
        Ok(Some(machine.instance()))
    }

    /// What was seen of them, when all are over.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<Witness>> {
        self.machines.drain(..).map(Watched::finish).collect()
    }
}
