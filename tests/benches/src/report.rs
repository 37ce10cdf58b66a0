//! The tables that a run prints or puts into a page, and the targets they are held against.

use crate::cold::Cold;
use crate::contention::Contention;
use crate::creation::Creation;
use crate::measure::Timing;
use crate::scanner::{Scanned, Turns};
use crate::versions;
use anyhow::{Context, Result};
use rondo_host::figures::{figure, median, table};
use rondo_host::load::Range;
use rondo_host::machine;
use rondo_tests::marked;
use serde_json::{Value, json};
use std::path::Path;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables in Markdown.
    Table,
    /// One JSON document.
    Json,
}

/// All that was measured.
pub struct Report {
    /// Every row, the floor first.
    pub timings: Vec<Timing>,
    /// Two threads.
    pub contention: Vec<Contention>,
    /// With readers.
    pub scanner: Vec<Scanned>,
    /// Without caches.
    pub cold: Vec<Cold>,
    /// Making slabs.
    pub creation: Vec<Creation>,
    /// How often all rows took turns.
    pub repetitions: usize,
    /// Meanwhile.
    pub load: Range,
}

/// A table: the name of its markers on the page, what is above it in a terminal, and itself in Markdown.
struct Part {
    name: &'static str,
    title: &'static str,
    text: String,
}

/// Names and titles of the parts.
const PARTS: [(&str, &str); 8] = [
    ("record-run", "The run"),
    ("records", "Records"),
    ("record-alternatives", "The guide's alternatives"),
    ("threads", "Threads"),
    ("readers", "Readers"),
    ("cold-calls", "Cold calls"),
    ("creation", "Creation"),
    ("record-targets", "Targets"),
];

/// How many times as long as `Writer::record` an alternative has to take: the guide's "10 to 100 times", from below.
const SLOWER_AT_LEAST: f64 = 10.0;

/// A promise and what became of it.
struct Target {
    what: String,
    limit: f64,
    unit: &'static str,
    measured: f64,
}

impl Report {
    /// Whether a page has a place for each table, which is good to know before the time is spent.
    ///
    /// # Errors
    /// It cannot be read, or lacks markers.
    pub fn check_page(path: &Path) -> Result<()> {
        for (name, _) in PARTS {
            marked::read(path, name)?;
        }
        Ok(())
    }

    /// Puts each table between its markers.
    ///
    /// # Errors
    /// Those of [`Report::print`]; the page cannot be written, or lacks markers.
    pub fn write_page(&self, path: &Path) -> Result<()> {
        for part in self.parts(&self.targets()?)? {
            marked::write(path, part.name, &part.text)?;
        }
        Ok(())
    }

    /// Prints everything.
    ///
    /// # Errors
    /// A row that others are compared with is missing; the kernel does not say what machine this is.
    pub fn print(&self, format: Format) -> Result<()> {
        let targets = self.targets()?;
        match format {
            Format::Table => {
                for Part { title, text, .. } in self.parts(&targets)? {
                    println!("\n{title}\n\n{text}");
                }
                Ok(())
            }
            Format::Json => {
                println!("{:#}", self.json(&targets)?);
                Ok(())
            }
        }
    }

    fn timing(&self, name: &str) -> Result<&Timing> {
        let timing = self.timings.iter().find(|timing| timing.name == name);
        timing.with_context(|| format!("row {name} is missing"))
    }

    fn floor(&self) -> Result<&Timing> {
        self.timing("floor")
    }

    fn inc(&self) -> Result<&Timing> {
        self.timing("prometheus-client-counter")
    }

    fn targets(&self) -> Result<Vec<Target>> {
        let (floor, inc) = (self.floor()?, self.inc()?);
        let mut targets = Vec::new();
        let mut add = |what: &str, limit, unit, measured| {
            targets.push(Target {
                what: what.to_owned(),
                limit,
                unit,
                measured,
            });
        };
        let (gauge, counter) = (self.timing("gauge")?, self.timing("counter")?);
        let slower = |of: fn(&Timing, &Timing) -> f64, to| of(gauge, to).max(of(counter, to));
        add(
            "gauge and counter, time passed in, to the floor",
            2.0,
            "×",
            slower(Timing::ratio_to, floor),
        );
        add(
            "the same to prometheus-client Counter::inc",
            0.45,
            "×",
            slower(Timing::ratio_to, inc),
        );
        let ns = |name| Ok::<_, anyhow::Error>(self.timing(name)?.median_ns());
        add(
            "new interval on every call",
            5.0,
            "ns",
            ns("gauge-new-interval")?.max(ns("counter-new-interval")?),
        );
        add("distribution", 3.0, "ns", ns("distribution")?);
        add("histogram", 4.0, "ns", ns("histogram")?);
        let held = self.timing("held-gauge")?.ratio_to(inc);
        add(
            "Writer::record to prometheus-client Counter::inc",
            0.65,
            "×",
            held,
        );
        let coarse = ns("gauge-coarse")?.max(ns("counter-coarse")?);
        add("with the coarse clock", 6.0, "ns", coarse);
        add(
            "with time from ticks",
            6.0,
            "ns",
            ns("gauge-tick")?.max(ns("counter-tick")?),
        );
        if let Some(gauges) = self.contention.first() {
            add(
                "two threads on two gauges to one thread",
                1.05,
                "×",
                gauges.ratio(),
            );
        }
        for scanned in &self.scanner {
            for (pace, turns) in scanned.paces().into_iter().take(2) {
                add(
                    &format!("{} {pace}", scanned.title),
                    2.0,
                    "%",
                    turns.cost_percent(),
                );
            }
        }
        if let Some(creation) = self.creation.last() {
            add(
                "create a slab and register 30 series",
                1_000.0,
                "µs",
                creation.quantile_us(0.5),
            );
        }
        Ok(targets)
    }

    fn parts(&self, targets: &[Target]) -> Result<Vec<Part>> {
        let run = format!(
            "{} turns of each row. {}; {}. The load was {}.",
            self.repetitions,
            machine::description()?,
            versions::peers()?,
            self.load,
        );
        let texts = [
            run,
            self.records()?,
            self.alternatives()?,
            self.threads(),
            self.readers(),
            self.cold_calls(),
            self.creations(),
            verdicts(targets),
        ];
        let parts = PARTS.into_iter().zip(texts);
        Ok(parts
            .map(|((name, title), text)| Part { name, title, text })
            .collect())
    }

    fn records(&self) -> Result<String> {
        let (floor, inc) = (self.floor()?, self.inc()?);
        let mut by_time: Vec<_> = self.timings.iter().collect();
        by_time.sort_by(|a, b| a.median_ns().total_cmp(&b.median_ns()));
        let rows = by_time.into_iter().map(|timing| {
            vec![
                timing.title.to_owned(),
                figure(timing.median_ns()),
                figure(timing.ratio_to(floor)),
                figure(timing.ratio_to(inc)),
                figure(timing.batch_quantile_ns(0.5)),
                figure(timing.batch_quantile_ns(0.99)),
            ]
        });
        let head = [
            "30 series round-robin",
            "ns/op",
            "× floor",
            "× Counter::inc",
            "batch p50",
            "batch p99",
        ];
        Ok(table(&head, rows))
    }

    /// How many times as long as `record()` takes what the guide wants to be 10 to 100 times slower.
    fn alternatives(&self) -> Result<String> {
        let (held, owned) = (self.timing("held-gauge")?, self.timing("counter")?);
        let names = [
            "prometheus-client-counter",
            "prometheus-client-lookup",
            "write",
            "statsd",
        ];
        let rows = names.into_iter().map(|name| {
            let alternative = self.timing(name)?;
            let (to_held, to_owned) = (alternative.ratio_to(held), alternative.ratio_to(owned));
            let verdict = if to_held >= SLOWER_AT_LEAST {
                "met"
            } else {
                "MISSED"
            };
            Ok(vec![
                alternative.title.to_owned(),
                figure(alternative.median_ns()),
                format!("{} ×", figure(to_held)),
                format!("{} ×", figure(to_owned)),
                verdict.to_owned(),
            ])
        });
        let head = [
            "alternative",
            "ns/op",
            held.title,
            owned.title,
            "10 × Writer::record",
        ];
        Ok(table(&head, rows.collect::<Result<Vec<_>>>()?))
    }

    fn threads(&self) -> String {
        let rows = self.contention.iter().map(|pair| {
            let (one, two) = pair.medians_ns();
            vec![
                pair.title.to_owned(),
                figure(one),
                figure(two),
                figure(pair.ratio()),
                format!("{} of {}", pair.two_ns.len(), pair.turn_count),
            ]
        });
        let head = [
            "two threads at once",
            "one, ns/op",
            "two, ns/op each",
            "ratio",
            "turns at once",
        ];
        table(&head, rows)
    }

    fn readers(&self) -> String {
        let rows = self.scanner.iter().flat_map(|scanned| {
            let idle_ns = median(scanned.idle_ns.clone());
            scanned.paces().map(|(pace, turns)| {
                let (counted, tried) = turns.counts();
                vec![
                    format!("{} {pace}", scanned.title),
                    figure(idle_ns),
                    format!("{:+.2} %", turns.cost_percent()),
                    figure(turns.best_rate()),
                    format!("{counted} of {tried}"),
                ]
            })
        });
        let head = [
            "record while another core reads",
            "without, ns/op",
            "cost",
            "readings a ms",
            "turns that count",
        ];
        table(&head, rows)
    }

    fn cold_calls(&self) -> String {
        let empty_ns = self.cold.first().map_or(0.0, |empty| empty.quantile_ns(0.5));
        let rows = self.cold.iter().map(|cold| {
            vec![
                cold.title.to_owned(),
                figure(cold.quantile_ns(0.5)),
                figure(cold.quantile_ns(0.9)),
                figure(cold.quantile_ns(0.5) - empty_ns),
            ]
        });
        let head = [
            "one call, nothing cached",
            "p50, ns",
            "p90, ns",
            "p50 above nothing",
        ];
        table(&head, rows)
    }

    fn creations(&self) -> String {
        let rows = self.creation.iter().map(|creation| {
            vec![
                creation.title.to_owned(),
                figure(creation.quantile_us(0.5)),
                figure(creation.quantile_us(0.99)),
            ]
        });
        table(&["in /dev/shm", "p50, µs", "p99, µs"], rows)
    }

    fn json(&self, targets: &[Target]) -> Result<Value> {
        let (floor, inc) = (self.floor()?, self.inc()?);
        let records = self.timings.iter().map(|timing| {
            json!({
                "name": timing.name,
                "title": timing.title,
                "ns": timing.median_ns(),
                "to_floor": timing.ratio_to(floor),
                "to_counter_inc": timing.ratio_to(inc),
                "batch_p50_ns": timing.batch_quantile_ns(0.5),
                "batch_p99_ns": timing.batch_quantile_ns(0.99),
            })
        });
        let threads = self.contention.iter().map(|pair| {
            let (one, two) = pair.medians_ns();
            json!({"title": pair.title, "one_ns": one, "two_ns": two, "ratio": pair.ratio()})
        });
        let readers = self.scanner.iter().flat_map(|scanned| {
            scanned.paces().map(|(pace, turns)| {
                json!({
                    "title": format!("{} {pace}", scanned.title),
                    "idle_ns": median(scanned.idle_ns.clone()),
                    "cost_percent": turns.cost_percent(),
                })
            })
        });
        let cold = self
            .cold
            .iter()
            .map(|cold| json!({"title": cold.title, "p50_ns": cold.quantile_ns(0.5)}));
        let creation = self
            .creation
            .iter()
            .map(|creation| json!({"title": creation.title, "p50_us": creation.quantile_us(0.5)}));
        let targets = targets.iter().map(|target| {
            json!({
                "target": target.what,
                "limit": target.limit,
                "unit": target.unit,
                "measured": target.measured,
                "met": target.is_met(),
            })
        });
        Ok(json!({
            "records": records.collect::<Vec<_>>(),
            "threads": threads.collect::<Vec<_>>(),
            "readers": readers.collect::<Vec<_>>(),
            "cold": cold.collect::<Vec<_>>(),
            "creation": creation.collect::<Vec<_>>(),
            "targets": targets.collect::<Vec<_>>(),
        }))
    }
}

impl Scanned {
    fn paces(&self) -> [(&'static str, &Turns); 3] {
        [
            ("read: the latest values each ms", &self.latest),
            ("read: the whole slab each ms", &self.whole),
            ("read: the whole slab without pause", &self.flooded),
        ]
    }
}

impl Target {
    fn is_met(&self) -> bool {
        self.measured <= self.limit
    }

    fn verdict(&self) -> &'static str {
        if self.is_met() { "met" } else { "MISSED" }
    }
}

fn verdicts(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        vec![
            target.what.clone(),
            format!("{} {}", target.limit, target.unit),
            format!("{} {}", figure(target.measured), target.unit),
            target.verdict().to_owned(),
        ]
    });
    table(&["target", "at most", "measured", ""], rows)
}
