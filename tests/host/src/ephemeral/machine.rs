//! One life, and the truth about it.
//!
//! The VMM says when it ticks (`vmm/src/event_log.rs`), so when its slab has to have a row. What its counters had come to is read from
//! the slab after the VMM is gone, by a mapping that was made when it started, and held to what the guest says that it did.

use anyhow::{Context, Result, ensure};
use rondo_reader::{Limits, PointValue, Slab};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A gauge that every tick records.
pub const TICKED: &str = "vmm_uptime_seconds";

/// The counter that is looked at: exits that the guest itself makes.
const COUNTED: &str = "vcpu_exits_total";

/// Their reasons, as the VMM and the guest call them.
const REASONS: [&str; 4] = ["io_out", "io_in", "mmio_read", "mmio_write"];

/// What is counted of all machines, as a selector of rondo's and of Prometheus'; `more` matchers may follow.
pub fn counted(more: &str) -> String {
    format!("{COUNTED}{{reason=~\"{}\"{more}}}", REASONS.join("|"))
}

/// What a machine did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Its name.
    pub instance: String,
    /// How long it was told to live.
    pub life_s: u64,
    /// When its process was started, by the wall clock.
    pub born_ms: i64,
    /// When its process was gone.
    pub ended_ms: i64,
    /// Starts of the seconds in which it ticked, in slab time.
    pub ticks: BTreeSet<u64>,
    /// Seconds in between without a tick, because the host was busy.
    pub missed_ticks: u64,
    /// Exits by the slab.
    pub exits: u64,
    /// Exits by the guest; none where there is no guest.
    pub guest_exits: Option<u64>,
}

impl Machine {
    /// How long its process lived.
    pub fn lived_s(&self) -> f64 {
        (self.ended_ms - self.born_ms) as f64 / 1e3
    }
}

/// What a line of a VMM's standard error can be.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Started { slab: Option<PathBuf> },
    Tick { ticked_ns: u64 },
    Ended { missed_ticks: u64, lost_events: u64 },
}

/// A slab that a machine fills, for several readers of this process.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Slab>>);

impl Shared {
    /// Maps it.
    ///
    /// # Errors
    /// It is no slab.
    pub fn open(path: &Path) -> Result<Self> {
        let slab = Slab::open(path, &Limits::default());
        Ok(Self(Arc::new(Mutex::new(
            slab.with_context(|| path.display().to_string())?,
        ))))
    }

    /// The slab with all series that it has now: some are registered after its creation.
    ///
    /// # Errors
    /// It is broken.
    pub fn refreshed(&self) -> Result<MutexGuard<'_, Slab>> {
        let mut slab = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slab.refresh()?;
        Ok(slab)
    }

    /// The sum of what is counted.
    fn exits(&self) -> Result<u64> {
        let slab = self.refreshed()?;
        let view = slab.view()?;
        let mut exits = 0;
        for series in slab.series().iter().filter(|series| series.name == COUNTED) {
            let is_counted =
                |(name, value): &(String, String)| name == "reason" && REASONS.contains(&value.as_str());
            if series.labels.iter().any(is_counted)
                && let Some(point) = slab.latest(series, &view)?
            {
                let PointValue::Counter(total) = point.value else {
                    anyhow::bail!("{COUNTED} is torn");
                };
                exits += total;
            }
        }
        Ok(exits)
    }
}

/// What was heard of a machine.
#[derive(Debug, Default)]
pub struct Heard {
    slab: Option<Shared>,
    ticks: BTreeSet<u64>,
    ended: Option<(u64, u64)>,
    /// What was no event.
    said: String,
}

impl Heard {
    /// Listens until the machine is gone; `on_start` gets its slab.
    ///
    /// # Errors
    /// It has no slab that can be read.
    pub fn listen(stderr: impl Read, on_start: impl Fn(Shared)) -> Result<Self> {
        let mut heard = Self::default();
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            match serde_json::from_str(&line) {
                Ok(Event::Started { slab }) => {
                    let slab = Shared::open(&slab.context("the bus refused its slab")?)?;
                    heard.slab = Some(slab.clone());
                    on_start(slab);
                }
                Ok(Event::Tick { ticked_ns }) => {
                    heard.ticks.insert(ticked_ns);
                }
                Ok(Event::Ended {
                    missed_ticks,
                    lost_events,
                }) => heard.ended = Some((missed_ticks, lost_events)),
                Err(_) => heard.said = heard.said + &line + "\n",
            }
        }
        Ok(heard)
    }

    /// The truth about a machine that is gone.
    ///
    /// # Errors
    /// It did not come to its end, events were lost, or slab and guest disagree: then there is no truth to compare with.
    pub fn truth(self, instance: &str, life_s: u64, (born_ms, ended_ms): (i64, i64)) -> Result<Machine> {
        let (missed_ticks, lost_events) = self
            .ended
            .with_context(|| format!("{instance} did not come to its end: {}", self.said.trim()))?;
        ensure!(
            lost_events == 0,
            "{instance}: {lost_events} of its events were lost"
        );
        let slab = self.slab.context("it had no slab")?;
        let exits = slab.exits()?;
        let guest_exits = ledger(&self.said);
        // The guest counts an exit when it is back from it, and may be stopped before.
        ensure!(
            guest_exits.is_none_or(|counted| (counted..=counted + 1).contains(&exits)),
            "{instance}: {exits} exits by its slab, {guest_exits:?} by its guest"
        );
        Ok(Machine {
            instance: instance.to_owned(),
            life_s,
            born_ms,
            ended_ms,
            ticks: self.ticks,
            missed_ticks,
            exits,
            guest_exits,
        })
    }
}

/// The exits in the line in which the toy guest says what it did.
fn ledger(said: &str) -> Option<u64> {
    let (_, numbers) = said.lines().find_map(|line| line.split_once("toy guest: "))?;
    let counted = numbers.split(' ').filter_map(|pair| pair.split_once('='));
    let counted = counted.filter(|(name, _)| REASONS.contains(name));
    counted.map(|(_, value)| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_writer::Writer;

    /// A machine that ends well, with so many exits by its slab and by its guest.
    fn life(by_slab: u64, by_guest: u64) -> Result<Machine> {
        let bus = tempfile::tempdir()?;
        let mut writer = Writer::builder("vm-1").bus(bus.path()).create()?;
        let mut counter = |reason| {
            let counter = writer.counter(COUNTED).label("reason", reason);
            counter.owned()
        };
        let (mut counted, mut other) = (counter("io_out")?, counter("intr")?);
        counted.add(by_slab);
        other.add(1_000);
        let slab = writer.paths().next().context("a slab")?.to_owned();
        writer.close();
        let said = format!(
            "{{\"event\":\"started\",\"incarnation\":\"00\",\"slab\":{slab:?}}}\n\
             {{\"event\":\"tick\",\"ticked_ns\":7,\"missed_ticks\":0}}\n\
             {{\"event\":\"ended\",\"why\":\"x\",\"exit_code\":0,\"missed_ticks\":2,\"lost_events\":0}}\n\
             rondo-vmm: toy guest: io_out={by_guest} io_in=0 mmio_read=0 mmio_write=0 requests=9 ticks=9\n"
        );
        Heard::listen(said.as_bytes(), |_| ())?.truth("vm-1", 5, (0, 1))
    }

    #[test]
    fn slab_and_guest_have_to_agree() {
        let machine = life(12, 12).unwrap();
        assert_eq!(
            (machine.exits, machine.guest_exits, machine.missed_ticks),
            (12, Some(12), 2)
        );
        assert_eq!(machine.ticks, BTreeSet::from([7]));
        assert!(life(13, 12).is_ok());
        for (by_slab, by_guest) in [(14, 12), (11, 12)] {
            let error = life(by_slab, by_guest).unwrap_err().to_string();
            assert!(error.contains("by its guest"), "{error}");
        }
    }

    #[test]
    fn a_machine_that_failed_is_no_truth() {
        let heard = Heard::listen("rondo-vmm: no KVM\n".as_bytes(), |_| ()).unwrap();
        let error = heard.truth("vm-1", 5, (0, 1)).unwrap_err().to_string();
        assert_eq!(error, "vm-1 did not come to its end: rondo-vmm: no KVM");
    }
}
