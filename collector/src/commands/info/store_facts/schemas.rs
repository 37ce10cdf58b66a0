//! Which schemas a store knows, by the newest run of each in each tier.

use super::Damaged;
use crate::store::{Archives, RunRef, StoreError};
use rondo_shm_layout::Functions;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// Schemas listed.
const LISTED_MAX: usize = 50;
/// Schemas kept in mind: strangers can make any number.
const KEPT_MAX: usize = 1_000;

/// A schema, as its newest rows have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaFacts {
    /// Its name; nothing if the run that has it is damaged.
    pub name: Option<String>,
    /// Its tiers that have rows.
    pub tiers: Vec<SchemaTier>,
}

/// A tier of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaTier {
    /// Its number.
    pub tier: u8,
    /// Length of a row's interval.
    pub interval_ns: u64,
    /// Its functions, in words; nothing if the layout is damaged.
    pub functions: Option<String>,
    /// The most series that a slab has.
    pub series: u64,
}

/// All schemas, by the hash of their name.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    tiers: HashMap<u64, BTreeMap<u8, Newest>>,
    /// Others that there were no room for.
    has_more: bool,
}

/// The newest run, and the most series of any.
#[derive(Debug)]
struct Newest {
    run: RunRef,
    series: u64,
}

impl Schemas {
    pub(super) fn add(&mut self, run: &RunRef) {
        let (key, kept) = (run.key(), self.tiers.len());
        let tiers = match self.tiers.entry(key.schema_hash) {
            Entry::Occupied(tiers) => tiers.into_mut(),
            Entry::Vacant(_) if kept >= KEPT_MAX => {
                self.has_more = true;
                return;
            }
            Entry::Vacant(tiers) => tiers.insert(BTreeMap::new()),
        };
        let newest = tiers.entry(run.tier()).or_insert_with(|| Newest {
            run: run.clone(),
            series: 0,
        });
        newest.series = newest
            .series
            .max(u64::from(run.first_series()) + run.series_count() as u64);
        if run.wall_ns().end >= newest.run.wall_ns().end {
            newest.run = run.clone();
        }
    }

    /// Those with the newest rows, by name; and how many others there are.
    pub(super) fn facts(
        &self,
        archives: &Archives,
        damaged: &mut Damaged,
    ) -> Result<(Vec<SchemaFacts>, u64), StoreError> {
        let mut all: Vec<_> = self.tiers.values().collect();
        let newest_ns =
            |tiers: &BTreeMap<u8, Newest>| tiers.values().map(|newest| newest.run.wall_ns().end).max();
        all.sort_unstable_by_key(|tiers| Reverse(newest_ns(tiers)));
        let left_out = all.len().saturating_sub(LISTED_MAX) + usize::from(self.has_more);
        let mut facts = Vec::new();
        for tiers in all.into_iter().take(LISTED_MAX) {
            let mut schema = SchemaFacts {
                name: None,
                tiers: Vec::new(),
            };
            for (&tier, newest) in tiers {
                if schema.name.is_none() {
                    let source = damaged.source(archives, &newest.run)?;
                    schema.name = source.map(|source| source.schema.clone());
                }
                let layout = damaged.unless(archives.layout(&newest.run))?;
                schema.tiers.push(SchemaTier {
                    tier,
                    interval_ns: newest.run.interval_ns(),
                    functions: layout.map(|layout| in_words(tier, layout.functions())),
                    series: newest.series,
                });
            }
            facts.push(schema);
        }
        facts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((facts, left_out as u64))
    }
}

/// Tier 0 is what slabs hold, whatever the functions are.
fn in_words(tier: u8, functions: Functions) -> String {
    match tier {
        0 => "points".to_owned(),
        _ => functions.to_string(),
    }
}
