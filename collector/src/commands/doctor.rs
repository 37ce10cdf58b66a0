//! `rondo doctor`: what is wrong with the bus, the store and the collector, and what mends it.
//!
//! Each check is a function from facts to [`Finding`]s; [`look`] gathers the facts. A finding says what was
//! found and what it means, and names the command that mends it.

mod bus;
mod collector;
mod destinations;
mod finding;
mod host;
mod look;
mod slabs;

use crate::collect::lock::Holder;
use crate::collect::{Settings, read_settings};
use crate::commands::Outcome;
use crate::commands::cli::{Doctor, Format};
use crate::commands::output::{stdout, write_json};
use finding::{Finding, Level};
use look::Facts;
use serde::Serialize;
use std::io::Write;

#[derive(Debug, Serialize)]
struct Diagnosis {
    bus: String,
    store: String,
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &Doctor) -> anyhow::Result<Outcome> {
    let settings = read_settings(args.flags(), args.config.as_deref())?;
    let diagnosis = Diagnosis {
        bus: settings.bus.display().to_string(),
        store: settings.store.display().to_string(),
        findings: check(&look::look(&settings, args.url.as_deref()), &settings),
    };
    diagnosis.print(args.output.format)?;
    Ok(match diagnosis.worst() {
        Level::Fail => Outcome::Found,
        Level::Ok | Level::Warn => Outcome::Done,
    })
}

/// All checks.
fn check(facts: &Facts, settings: &Settings) -> Vec<Finding> {
    let bus = &settings.bus;
    let mut findings = bus::directory(&facts.bus);
    if let Some(error) = &facts.listing_error {
        let mend = "run it as a user who may read the directory, such as the collector's";
        findings.push(Finding::fail("bus-listing", error.as_str(), mend));
    }
    if let Some(space) = &facts.space {
        findings.extend(bus::space(bus, space));
    }
    let slab_count = facts.slabs.len() + facts.refused_count;
    let uids = facts.slabs.iter().map(|slab| slab.uid);
    findings.push(host::remove_ipc(&facts.host, bus, uids));
    findings.extend(host::limits(&facts.host, slab_count as u64));
    findings.extend(slabs::refused(bus, &facts.refused, facts.refused_count));
    findings.push(slabs::stuck(&facts.slabs));
    let has_collector = facts.holder != Holder::Nobody;
    findings.push(slabs::ended(&facts.slabs, settings.keep, has_collector));
    findings.push(slabs::clock(&facts.slabs));
    findings.extend(collector::running(bus, facts.holder, facts.answer.as_ref()));
    findings.extend(collector::store(&facts.store));
    findings.extend(destinations::files(&facts.destinations));
    findings
}

impl Diagnosis {
    fn worst(&self) -> Level {
        let of = |level| self.findings.iter().any(|finding| finding.level == level);
        let levels = [Level::Fail, Level::Warn];
        levels.into_iter().find(|level| of(*level)).unwrap_or(Level::Ok)
    }

    fn print(&self, format: Format) -> anyhow::Result<()> {
        let mut out = stdout();
        match format {
            Format::Json => write_json(&mut out, self)?,
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(&mut out);
                self.findings
                    .iter()
                    .try_for_each(|finding| csv.serialize(finding))?;
                csv.flush()?;
            }
            Format::Table => {
                for finding in &self.findings {
                    let Finding {
                        check,
                        level,
                        text,
                        mend,
                    } = finding;
                    writeln!(out, "{:<4}  {check}: {text}", level.as_str())?;
                    if let Some(mend) = mend {
                        writeln!(out, "      mend: {mend}")?;
                    }
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}
