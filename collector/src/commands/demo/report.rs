//! What of the demo's machines is in the store, read back by a process that wrote none of it.

use super::life::{Life, TierReport};
use super::machine;
use super::sparkline::{self, Line};
use super::watched::Witness;
use crate::commands::output::{Grid, Side};
use crate::query::{LiveSlab, Plan, Point, Request, SeriesAnswer, Tier};
use crate::selector::Selector;
use crate::show;
use crate::store::Archives;
use anyhow::{Context, ensure};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The whole demo.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What they were, as `--machines-as` calls it.
    pub machines_as: &'static str,
    /// In the order they were started.
    pub machines: Vec<MachineReport>,
}

/// One machine.
#[derive(Debug, Serialize)]
pub struct MachineReport {
    /// Its name.
    pub instance: String,
    /// Which life of that name: a store may hold earlier demos.
    pub incarnation: String,
    /// Intervals in which it ticked, by its own report.
    pub expected_points: usize,
    /// Those of them in which every series that is recorded at a tick has a point.
    pub points: usize,
    /// Those in which one has none.
    pub gaps: usize,
    /// Intervals between its first and last tick in which it did not tick, by its own report.
    pub skipped: usize,
    /// How many it had counted itself by its last tick, as the store has it; a process does not count.
    pub skipped_recorded: Option<u64>,
    /// Whether it was killed.
    pub killed: bool,
    /// Whether its slab is still there.
    pub slab_left: bool,
    /// Series in the store.
    pub series: usize,
    /// The tiers made of these points.
    pub tiers: Vec<TierReport>,
    #[serde(skip)]
    lines: Vec<Line>,
}

impl Report {
    /// Reads all machines from the store. `left` are slabs that are still on the bus.
    ///
    /// # Errors
    /// The store cannot be read, or a machine never ticked.
    pub fn read(
        machines_as: &'static str,
        store: &Path,
        witnesses: &[Witness],
        left: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let archives = Archives::open_read_only(store)?;
        let machines = witnesses.iter().map(|witness| {
            let slab_left = left.contains(&witness.slab);
            MachineReport::read(&archives, witness, slab_left)
        });
        Ok(Self {
            machines_as,
            machines: machines.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Those of one machine: all have the same.
    fn tiers(&self) -> &[TierReport] {
        self.machines.first().map_or(&[], |machine| &machine.tiers)
    }

    /// For spreadsheets: a line for each machine.
    pub(crate) fn write_csv(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let of_machine = [
            "instance",
            "incarnation",
            "killed",
            "slab_left",
            "series",
            "expected_points",
            "points",
            "gaps",
            "skipped",
        ];
        let of_tier = ["expected", "windows", "sealed_expected", "sealed"];
        let of_tiers = self
            .tiers()
            .iter()
            .flat_map(|tier| of_tier.map(|name| format!("tier_{}_{name}", tier.tier)));
        csv.write_record(of_machine.into_iter().map(str::to_owned).chain(of_tiers))?;
        for machine in &self.machines {
            let texts = [machine.instance.clone(), machine.incarnation.clone()];
            let flags = [machine.killed, machine.slab_left].map(|flag| flag.to_string());
            let numbers = [
                machine.series,
                machine.expected_points,
                machine.points,
                machine.gaps,
                machine.skipped,
            ];
            let tiers = machine
                .tiers
                .iter()
                .flat_map(|tier| [tier.expected, tier.windows, tier.sealed_expected, tier.sealed]);
            let numbers = numbers.into_iter().chain(tiers).map(|number| number.to_string());
            csv.write_record(texts.into_iter().chain(flags).chain(numbers))?;
        }
        csv.flush()?;
        Ok(())
    }

    /// For people: a table of machines, and sparklines of two of them.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let left = ["MACHINE", "END", "SLAB"].map(|name| (name.to_owned(), Side::Left));
        let right = ["EXPECTED", "POINTS", "MISSING", "SKIPPED", "SERIES"].map(str::to_owned);
        let in_tier = |tier: &TierReport| format!("TIER {} ({})", tier.tier, show::duration(tier.step_ns));
        let tiers = self.tiers().iter().map(in_tier);
        let right = right.into_iter().chain(tiers).map(|name| (name, Side::Right));
        let columns: Vec<(String, Side)> = left.into_iter().chain(right).collect();
        let columns: Vec<(&str, Side)> = columns
            .iter()
            .map(|(name, side)| (name.as_str(), *side))
            .collect();
        let mut table = Grid::new(&columns);
        for machine in &self.machines {
            let slab = if machine.slab_left { "left" } else { "removed" };
            let numbers = [
                machine.expected_points,
                machine.points,
                machine.gaps,
                machine.skipped,
                machine.series,
            ];
            let texts = [machine.instance.as_str(), machine.end(), slab].map(str::to_owned);
            let windows = machine.tiers.iter().map(TierReport::in_words);
            let numbers = numbers.map(|number| number.to_string());
            table.add(texts.into_iter().chain(numbers).chain(windows));
        }
        table.write(out)?;
        let survivor = self.machines.iter().find(|machine| !machine.killed);
        let killed = self.machines.iter().find(|machine| machine.killed);
        for machine in survivor.into_iter().chain(killed) {
            machine.write_lines(out)?;
        }
        for machine in &self.machines {
            machine.write_disagreement(out)?;
        }
        Ok(())
    }

    /// What to type next, if the store stays, or how to keep it.
    pub(crate) fn write_next(&self, out: &mut impl Write, store: Option<&Path>) -> io::Result<()> {
        let Some(first) = self.machines.first() else {
            return Ok(());
        };
        let name = match store {
            Some(store) => quoted(&store.display().to_string()),
            None => "/tmp/demo-store".to_owned(),
        };
        if store.is_some() {
            writeln!(
                out,
                "\nThe machines and their slabs are gone. The store stays; look further with"
            )?;
        } else {
            writeln!(
                out,
                "\nThe store was temporary, and is gone like the machines. To keep one, and look further:"
            )?;
            writeln!(out, "  rondo demo --store {name}")?;
        }
        let instance = &first.instance;
        let (gauge, histogram) = match self.machines_as {
            "vmm" => ("vmm_rss_bytes", "vcpu_exit_duration_ns"),
            _ => ("process_rss_bytes", "work_burst_duration_ns"),
        };
        writeln!(
            out,
            "  rondo query {name} '{gauge}{{instance=\"{instance}\"}}' --range all --tier 0 -o json"
        )?;
        writeln!(
            out,
            "  rondo query {name} {histogram} --range all --tier 1 --quantile 0.5,0.99"
        )?;
        writeln!(out, "  rondo explain {name} {gauge} --range all")?;
        writeln!(out, "  rondo info {name}")
    }

    /// Whether nothing is missing, and nothing is left.
    pub fn is_complete(&self) -> bool {
        self.machines.iter().all(MachineReport::is_complete)
    }
}

impl MachineReport {
    fn read(archives: &Archives, witness: &Witness, slab_left: bool) -> anyhow::Result<Self> {
        let steps = steps_ns()?;
        let life = Life::new(witness.ticks.clone(), steps[0]);
        let life = life.with_context(|| format!("{} never ticked", witness.instance))?;

        let seconds = query(archives, witness, 0)?;
        // The worker may have recorded in the interval after the last tick.
        let end_ns = seconds
            .iter()
            .filter_map(|series| Some(series.points.last()?.t))
            .max();
        let end_ns = end_ns.unwrap_or(0);
        let recorded = |point: &Point| !point.filled && !point.torn;
        let (expected, points) = (
            life.count(steps[0]),
            life.whole(&seconds, steps[0], recorded).len(),
        );
        let tiers = (1..).zip(&steps[1..]).map(|(tier, &step_ns)| {
            let windows = query(archives, witness, tier)?;
            Ok(life.tier(&windows, (tier, step_ns), end_ns))
        });
        let tiers = tiers.collect::<anyhow::Result<_>>()?;
        let of_vm = seconds
            .iter()
            .find(|series| series.series.name == "vmm_missed_ticks_total");
        let wanted: &[sparkline::Wanted] = match of_vm {
            Some(_) => &sparkline::OF_VMS,
            None => &sparkline::OF_PROCESSES,
        };
        let lines = sparkline::wanted(&seconds, wanted);
        Ok(Self {
            instance: witness.instance.clone(),
            incarnation: witness.incarnation.clone(),
            expected_points: expected,
            points,
            gaps: expected - points,
            skipped: life.skipped(),
            // At the last tick that it reported: one that is killed may have made another.
            skipped_recorded: of_vm.and_then(|series| {
                let mut points = series.points.iter().rev();
                points.find(|point| point.t <= life.last_ns)?.row.total
            }),
            killed: witness.killed,
            slab_left,
            series: seconds.len(),
            tiers,
            lines: lines
                .map(|series| Line::new(series, life.first_ns, life.interval_ns, life.length()))
                .collect(),
        })
    }

    fn end(&self) -> &'static str {
        if self.killed { "killed" } else { "closed" }
    }

    fn is_complete(&self) -> bool {
        self.gaps == 0
            && !self.slab_left
            && self.counts_what_it_skipped()
            && self.tiers.iter().all(TierReport::is_complete)
    }

    fn counts_what_it_skipped(&self) -> bool {
        self.skipped_recorded
            .is_none_or(|recorded| recorded == self.skipped as u64)
    }

    fn write_disagreement(&self, out: &mut impl Write) -> io::Result<()> {
        match self.skipped_recorded {
            Some(recorded) if !self.counts_what_it_skipped() => writeln!(
                out,
                "\n{} skipped {} ticks by its own report, and {recorded} by its vmm_missed_ticks_total.",
                self.instance, self.skipped
            ),
            _ => Ok(()),
        }
    }

    /// The series worth looking at, one a line.
    fn write_lines(&self, out: &mut impl Write) -> io::Result<()> {
        let width = self.lines.iter().map(|line| line.title.len()).max().unwrap_or(0);
        let seconds = self.expected_points + self.skipped;
        let (instance, end) = (&self.instance, self.end());
        writeln!(out, "\n{instance} ({seconds} seconds, {end}):")?;
        for line in &self.lines {
            writeln!(out, "  {:width$}  {}  {}", line.title, line.bars, line.greatest)?;
        }
        Ok(())
    }
}

/// All series of a machine in one tier.
fn query(archives: &Archives, witness: &Witness, tier: u8) -> anyhow::Result<Vec<SeriesAnswer>> {
    let selector = Selector::all()
        .and("instance", &witness.instance)
        .and("incarnation", &witness.incarnation);
    let request = Request {
        tier: Tier::Number(tier),
        ..Request::new(selector)
    };
    let no_slabs: &[LiveSlab<'_>] = &[];
    let answer = Plan::new(no_slabs, archives, request)?.answer();
    ensure!(answer.warnings.is_empty(), "{}", answer.warnings.join("; "));
    Ok(answer.series)
}

/// The intervals of the machines' tiers.
fn steps_ns() -> anyhow::Result<Vec<u64>> {
    let tiers = machine::schema().tiers;
    let steps = tiers
        .iter()
        .map(|tier| Ok(u64::try_from(tier.interval.as_nanos())?));
    steps.collect()
}

/// A text as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(skipped: usize, skipped_recorded: Option<u64>) -> MachineReport {
        MachineReport {
            instance: "demo-1".to_owned(),
            incarnation: String::new(),
            expected_points: 43,
            points: 43,
            gaps: 0,
            skipped,
            skipped_recorded,
            killed: false,
            slab_left: false,
            series: 42,
            tiers: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Ticks that a busy host skipped are no fault of the store's, unless machine and slab tell different stories.
    #[test]
    fn skipped_ticks_are_a_fault_only_where_the_machine_counted_others() {
        let said = |machine: &MachineReport| {
            let mut out = Vec::new();
            machine.write_disagreement(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (skipped, recorded) in [(0, None), (2, None), (0, Some(0)), (2, Some(2))] {
            let machine = machine(skipped, recorded);
            assert!(machine.is_complete(), "{machine:?}");
            assert_eq!(said(&machine), "");
        }
        let disagreeing = machine(2, Some(1));
        assert!(!disagreeing.is_complete());
        assert!(said(&disagreeing).contains("2 ticks by its own report, and 1 by"));
    }
}
