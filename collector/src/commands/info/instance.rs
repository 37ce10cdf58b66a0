//! What a store holds of one machine: facts, and how they are printed.

use super::store::when;
use crate::commands::output::{Grid, Side};
use crate::show;
use crate::store::{Archives, StoreError};
use serde::Serialize;
use std::io::Write;

/// What a store holds of one machine.
#[derive(Debug, Serialize)]
pub(super) struct InstanceFacts {
    name: String,
    bytes: u64,
    pub(super) tiers: Vec<InstanceTier>,
}

/// And of a tier of it.
#[derive(Debug, Serialize)]
pub(super) struct InstanceTier {
    tier: u8,
    /// Its runs, their entries in directories, and its share of layouts.
    bytes: u64,
    runs: u64,
    rows: u64,
    oldest_ns: Option<i64>,
    newest_ns: Option<i64>,
}

impl InstanceFacts {
    pub(super) fn read(archives: &Archives, name: &str) -> Result<Self, StoreError> {
        let owned = archives.bytes_of(name)?;
        let mut tiers = Vec::new();
        for (tier, bytes) in owned {
            let mut facts = InstanceTier {
                tier,
                bytes,
                runs: 0,
                rows: 0,
                oldest_ns: None,
                newest_ns: None,
            };
            for run in archives.runs(tier, Some(name), i64::MIN..i64::MAX) {
                let run = run?;
                let wall_ns = run.wall_ns();
                facts.runs += 1;
                facts.rows += run.rows() as u64;
                facts.oldest_ns = Some(
                    facts
                        .oldest_ns
                        .map_or(wall_ns.start, |oldest| oldest.min(wall_ns.start)),
                );
                facts.newest_ns = facts.newest_ns.max(Some(wall_ns.end));
            }
            tiers.push(facts);
        }
        Ok(Self {
            name: name.to_owned(),
            bytes: tiers.iter().map(|tier| tier.bytes).sum(),
            tiers,
        })
    }

    pub(super) fn table(&self, out: &mut impl Write) -> anyhow::Result<()> {
        writeln!(out)?;
        let name = show::printable(&self.name);
        if self.tiers.is_empty() {
            writeln!(out, "nothing is stored of {name}")?;
            return Ok(());
        }
        writeln!(
            out,
            "{name} owns {} bytes ({}):",
            self.bytes,
            show::size(self.bytes)
        )?;
        let mut grid = Grid::new(&[
            ("TIER", Side::Right),
            ("BYTES", Side::Right),
            ("RUNS", Side::Right),
            ("ROWS", Side::Right),
            ("OLDEST", Side::Left),
            ("NEWEST", Side::Left),
        ]);
        for tier in &self.tiers {
            grid.add([
                tier.tier.to_string(),
                tier.bytes.to_string(),
                tier.runs.to_string(),
                tier.rows.to_string(),
                when(tier.oldest_ns),
                when(tier.newest_ns),
            ]);
        }
        grid.write(out)?;
        Ok(())
    }

    pub(super) fn csv(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        for tier in &self.tiers {
            csv.serialize(tier)?;
        }
        csv.flush()?;
        Ok(())
    }
}
