//! `rondo verify`: the rules that slabs break.

use crate::commands::Outcome;
use crate::commands::cli::{Format, Verify};
use crate::commands::output::{say, stdout, write_json};
use crate::commands::target::{Target, limits};
use crate::show;
use anyhow::bail;
use rondo_reader::{Action, Bus, audit};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// A finding, as a row.
#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    rule: &'static str,
    /// `reject`: readers do not use such a slab; `report`: they do.
    action: &'static str,
    detail: String,
}

pub(crate) fn run(args: &Verify) -> anyhow::Result<Outcome> {
    let limits = limits(&args.bus);
    let (mut findings, mut errors) = (Vec::new(), 0);
    for path in paths(args)? {
        let file = show::printable(&path.display().to_string());
        let is_on_bus = path
            .parent()
            .is_some_and(|parent| same_directory(parent, &args.bus.bus));
        match audit(&path, &limits, is_on_bus) {
            Ok(audit) => {
                if let Some(minor) = audit.newer_minor {
                    say!(
                        "rondo: {file}: format 1.{minor} is newer than this reader; reserved and access are not checked"
                    );
                }
                if audit.omitted_count > 0 {
                    say!(
                        "rondo: {file}: {} more findings are left out",
                        audit.omitted_count
                    );
                }
                findings.extend(audit.findings.into_iter().map(|violation| Finding {
                    file: file.clone(),
                    rule: violation.rule.name(),
                    action: match violation.rule.action() {
                        Action::Reject => "reject",
                        Action::Report => "report",
                    },
                    detail: violation.detail,
                }));
            }
            Err(error) => {
                say!("rondo: {}", show::printable(&error.to_string()));
                errors += 1;
            }
        }
    }
    print(args.output.format, &findings)?;
    match errors {
        0 if findings.is_empty() => Ok(Outcome::Done),
        0 => Ok(Outcome::Found),
        count => bail!("{count} of the slabs could not be checked"),
    }
}

/// The files meant: paths as they are, and all slabs of an instance.
fn paths(args: &Verify) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for slab in &args.slabs {
        match Target::parse(slab) {
            Target::Path(path) => paths.push(path),
            Target::Instance { instance, schema } => {
                let bus = Bus::open_instance(&args.bus.bus, &instance, &limits(&args.bus))?;
                let before = paths.len();
                // What was refused is what one wants to know about.
                paths.extend(bus.refused().iter().map(|refused| refused.path.clone()));
                let of_schema = |found: &str| schema.as_deref().is_none_or(|schema| schema == found);
                let slabs = bus.slabs().filter(|slab| of_schema(&slab.identity().schema));
                paths.extend(slabs.map(|slab| slab.path().to_owned()));
                if paths.len() == before {
                    bail!(
                        "no slab of {slab} on the bus {}; `rondo ls` shows what is there, and paths end in .slab or start with / or .",
                        args.bus.bus.display()
                    );
                }
            }
        }
    }
    Ok(paths)
}

fn same_directory(a: &std::path::Path, b: &std::path::Path) -> bool {
    let real = |path: &std::path::Path| {
        let path = if path.as_os_str().is_empty() {
            std::path::Path::new(".")
        } else {
            path
        };
        path.canonicalize().ok()
    };
    real(a).is_some_and(|a| real(b) == Some(a))
}

fn print(format: Format, findings: &[Finding]) -> anyhow::Result<()> {
    let mut out = stdout();
    match format {
        Format::Table => {
            for finding in findings {
                writeln!(out, "{}: {}: {}", finding.file, finding.rule, finding.detail)?;
            }
        }
        Format::Json => write_json(&mut out, &findings)?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            if findings.is_empty() {
                csv.write_record(["file", "rule", "action", "detail"])?;
            }
            for finding in findings {
                csv.serialize(finding)?;
            }
            csv.flush()?;
        }
    }
    out.flush()?;
    Ok(())
}
