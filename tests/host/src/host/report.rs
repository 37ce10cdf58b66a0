//! What benchmark B prints: tables in Markdown, for people and for the page, or JSON; and its plot.

use super::arrangement::Arrangement;
use super::case::{Case, MIB, Quantity};
use super::measure::Window;
use crate::figures::{figure, table};
use crate::plot::{Panel, Plot, Scale};
use crate::{machine, workload};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// The share of the stack with node exporters at one second that S5 allows rondo, at so many machines.
const S5: (f64, u32) = (0.1, 100);

/// What neither figures nor ratios say.
const NOT_DONE: &str = "\
What each side does not do:

- *rondo* has no PromQL and no alerts: its collector answers selectors and ranges. It reads a machine every ten seconds, ten seconds at once, so
  what it has is older than what a scrape each second has (a query of newest values reads the slabs then and there). It stores 10 s and 5 min while
  machines live, and their seconds when they end; it pushes the rows of 10 s. Its store is of fixed size and all but empty here; what a full one takes, `make bench-collector` measures.
- *Prometheus* compacts its head every two hours, and a window of a minute sees none of that. Its head, like rondo's waiting rows, grows for longer
  than a window.
- *node_exporter* reads everything about the host at each scrape, hundreds of values, and nothing of a machine: it is what people run beside one.
- *The small exporter* has no store: between two scrapes it forgets. Nor has it any of the process metrics that libraries for other languages add.";

/// All that was measured, and how.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Length of a window.
    pub seconds: u64,
    /// Before it.
    pub warm_up_s: u64,
    /// How often everything was measured.
    pub rounds: u32,
    /// Whether only what is measured used the loopback.
    pub is_private_network: bool,
    /// What a slab of the default schema takes.
    pub default_slab_bytes: u64,
    /// All.
    pub cases: Vec<Case>,
}

impl Report {
    /// Tables, ratios and the verdict, in Markdown.
    ///
    /// # Errors
    /// The kernel does not say what machine this is.
    pub fn markdown(&self) -> Result<String> {
        let mut text = self.provenance()?;
        for machines in self.machines() {
            write!(text, "\n\n{}", self.figures(machines))?;
        }
        write!(
            text,
            "\n\nrondo as a share of each other, the median of the rounds:"
        )?;
        write!(text, "\n\n{}\n\n{}\n\n{NOT_DONE}", self.ratios(), self.verdict())?;
        Ok(text)
    }

    fn provenance(&self) -> Result<String> {
        let windows = || self.cases.iter().flat_map(|case| &case.windows);
        let load =
            |pick: fn(f64, f64) -> f64| windows().map(|window| window.load).reduce(pick).unwrap_or(0.0);
        let others = windows().map(|window| window.others_cpu_s).collect();
        let ended = |window: &Window| window.server.used.ended_threads + window.clients.used.ended_threads;
        let loopback = if self.is_private_network {
            "in a network namespace of their own"
        } else {
            "**in the network of the host, so the bytes of the loopback are of everybody**"
        };
        Ok(format!(
            "Windows of {} s after {} s of warm-up, {} of each, {loopback}. {}; Prometheus {}, node_exporter {}. Whatever else ran \
             used {} CPU seconds in a window (median; at most {}), and the load was {} to {}. Of {} threads that ended in a window, at \
             most, the last wake-ups are not known.",
            self.seconds,
            self.warm_up_s,
            self.rounds,
            machine::description()?,
            machine::version("prometheus"),
            machine::version("prometheus-node-exporter"),
            figure(crate::figures::median(others)),
            figure(windows().map(|window| window.others_cpu_s).fold(0.0, f64::max)),
            figure(load(f64::min)),
            figure(load(f64::max)),
            windows().map(ended).max().unwrap_or(0),
        ))
    }

    /// The numbers of machines, ascending.
    fn machines(&self) -> Vec<u32> {
        let mut all: Vec<_> = self.cases.iter().map(|case| case.machines).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn case(&self, arrangement: Arrangement, machines: u32) -> Option<&Case> {
        let mut cases = self.cases.iter();
        cases.find(|case| case.arrangement == arrangement && case.machines == machines)
    }

    fn figures(&self, machines: u32) -> String {
        let first = format!("{machines} machines");
        let head = [
            &first,
            "CPU s, server",
            "clients",
            "MiB, server",
            "clients",
            "slabs",
            "anonymous, with slabs",
            "loopback KiB",
            "disk KiB",
            "wake-ups, server",
            "clients",
            "points",
            "series",
        ];
        let mut rows = Vec::new();
        for case in self.cases.iter().filter(|case| case.machines == machines) {
            let median = |of: fn(&Window) -> f64| figure(case.median(of));
            let points = case.median(|window| window.read.points);
            rows.push(vec![
                case.arrangement.title(),
                median(|window| window.server.used.cpu_s),
                median(|window| window.clients.used.cpu_s),
                median(|window| mib(window.server.memory.private_bytes)),
                median(|window| mib(window.clients.memory.private_bytes)),
                median(|window| mib(window.slab_bytes)),
                figure(case.quantity(Quantity::Anonymous)),
                figure(case.quantity(Quantity::Loopback)),
                figure(case.quantity(Quantity::Disk)),
                median(|window| window.server.used.wake_ups as f64),
                median(|window| window.clients.used.wake_ups as f64),
                format!("{points:.0} of {:.0}", case.points_expected(self.seconds)),
                median(|window| window.read.values / window.read.points.max(1.0)),
            ]);
        }
        let mut text = table(&head, rows);
        if let Some(rondo) = self.case(Arrangement::Rondo, machines) {
            let median = |of: fn(&Window) -> f64| figure(rondo.median(of));
            text += &format!(
                "\n\nOf rondo's CPU time {} s and of its disk {} KiB are for storing, after the window, what the collector had put off, the seconds of all machines among it. The receiver \
                 of its pushes is apart: {} CPU s, {} MiB.",
                median(|window| window.rest.cpu_s),
                median(|window| window.rest.written_bytes as f64 / 1024.0),
                median(|window| window.receiver.used.cpu_s),
                median(|window| mib(window.receiver.memory.private_bytes)),
            );
        }
        text
    }

    fn ratios(&self) -> String {
        let head: Vec<_> = ["rondo / …"]
            .into_iter()
            .chain(Quantity::ALL.map(Quantity::title))
            .collect();
        let mut rows = Vec::new();
        for machines in self.machines() {
            let Some(rondo) = self.case(Arrangement::Rondo, machines) else {
                continue;
            };
            for other in self.cases.iter().filter(|case| case.machines == machines) {
                if other.arrangement == Arrangement::Rondo {
                    continue;
                }
                let mut row = vec![format!("{}, {machines} machines", other.arrangement.title())];
                row.extend(Quantity::ALL.map(|quantity| share(rondo.ratio(other, quantity))));
                rows.push(row);
            }
        }
        table(&head, rows)
    }

    /// CPU and memory against node exporters at one second, at the number of machines that S5 names or, if there is none
    /// such, the greatest.
    fn verdict(&self) -> String {
        let (limit, judged) = S5;
        let machines = self.machines();
        let at = machines
            .iter()
            .copied()
            .find(|&machines| machines == judged)
            .or(machines.last().copied());
        let (Some(rondo), Some(stack)) = (
            at.and_then(|at| self.case(Arrangement::Rondo, at)),
            at.and_then(|at| self.case(Arrangement::NodeExporter { interval_s: 1 }, at)),
        ) else {
            return "S5 is not judged: rondo or node exporters at 1 s were not measured.".to_owned();
        };
        let aside = if rondo.machines == judged {
            String::new()
        } else {
            format!(" (S5 is about {judged} machines)")
        };
        let head = [
            format!("S5, {} machines{aside}", rondo.machines),
            "at most".to_owned(),
            "measured".to_owned(),
            String::new(),
        ];
        let row = |what: &str, of_rondo: f64, of_stack: f64, unit: &str, ratio: f64| {
            vec![
                format!("{what}: {} of {} {unit}", figure(of_rondo), figure(of_stack)),
                share(limit),
                share(ratio),
                if ratio < limit { "met" } else { "MISSED" }.to_owned(),
            ]
        };
        let mut rows = [Quantity::Cpu, Quantity::Memory]
            .map(|quantity| {
                let [of_rondo, of_stack] = [rondo, stack].map(|case| case.quantity(quantity));
                let ratio = rondo.ratio(stack, quantity);
                row(quantity.title(), of_rondo, of_stack, quantity.unit(), ratio)
            })
            .to_vec();
        let slabs = rondo.median(|window| window.slab_bytes as f64);
        let default_slabs = self.default_slab_bytes as f64 * f64::from(rondo.machines);
        let of_rondo = rondo.quantity(Quantity::Memory) + (default_slabs - slabs) / MIB;
        let of_stack = stack.quantity(Quantity::Memory);
        rows.push(row(
            "memory with slabs of the default schema (computed)",
            of_rondo,
            of_stack,
            Quantity::Memory.unit(),
            of_rondo / of_stack,
        ));
        table(&head, rows)
    }

    /// Draws CPU, memory, loopback and wake-ups over the number of machines.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn plot(&self, path: &Path) -> Result<()> {
        let mut arrangements: Vec<_> = Arrangement::ALL.into();
        arrangements.retain(|&one| self.cases.iter().any(|case| case.arrangement == one));
        let shown = [
            (Quantity::Cpu, "CPU seconds"),
            (Quantity::Memory, "memory, MiB (slabs included)"),
            (Quantity::Loopback, "loopback, KiB"),
            (Quantity::WakeUps, "wake-ups"),
        ];
        let panels = shown.map(|(quantity, title)| Panel {
            title: title.to_owned(),
            scale: Scale::Logarithmic,
            lines: arrangements
                .iter()
                .map(|&one| {
                    let machines = self.machines().into_iter();
                    let point = |machines| {
                        let case = self.case(one, machines)?;
                        Some((f64::from(machines), case.quantity(quantity)))
                    };
                    machines.filter_map(point).collect()
                })
                .collect(),
        });
        let names: Vec<_> = arrangements.iter().map(|one| one.title()).collect();
        Plot {
            title: &format!(
                "What {} s of metrics cost a host, {} series a machine",
                self.seconds,
                workload::SERIES
            ),
            x: "machines",
            names: &names,
            panels: &panels,
        }
        .write(path)
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// In percent; in bold where rondo takes more.
fn share(ratio: f64) -> String {
    match ratio {
        r if !r.is_finite() => "–".to_owned(),
        r if r > 1.0 => format!("**{} %**", figure(r * 100.0)),
        r => format!("{} %", figure(r * 100.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::case::tests::window;

    fn report(rondo: u64, machines: u32) -> Report {
        let case = |arrangement, size| Case {
            arrangement,
            machines,
            windows: vec![window(size)],
        };
        Report {
            seconds: 60,
            warm_up_s: 20,
            rounds: 1,
            is_private_network: true,
            default_slab_bytes: (rondo << 20) / u64::from(machines),
            cases: vec![
                case(Arrangement::Rondo, rondo),
                case(Arrangement::NodeExporter { interval_s: 1 }, 100),
                case(Arrangement::SmallExporter { interval_s: 1 }, 5),
            ],
        }
    }

    #[test]
    fn s5_is_met_below_a_tenth_and_missed_at_it() {
        let met = |rondo| report(rondo, 100).verdict().matches("| met").count();
        // Of memory slabs are a third here, and both sides have them.
        assert_eq!((met(9), met(10)), (3, 0));
        assert!(report(10, 100).verdict().contains("MISSED"));
        assert!(report(9, 50).verdict().contains("(S5 is about 100 machines)"));
    }

    /// Slabs of a schema with less room are no way to meet it.
    #[test]
    fn s5_is_judged_with_slabs_of_the_default_schema_too() {
        let mut report = report(9, 100);
        report.default_slab_bytes = 1 << 20;
        let verdict = report.verdict();
        assert!(verdict.contains("(computed): 118 of 300 MiB"), "{verdict}");
        assert_eq!(verdict.matches("MISSED").count(), 1, "{verdict}");
    }

    #[test]
    fn where_rondo_takes_more_it_says_so() {
        let ratios = report(9, 100).ratios();
        assert!(
            ratios.contains("**180 %**") && ratios.contains("9.00 %"),
            "{ratios}"
        );
    }
}
