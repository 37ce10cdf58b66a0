//! How many machines a store knows, and how far those that have not ended are stored.

use super::Damaged;
use crate::show;
use crate::store::{Archives, RunRef, StoreError};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

/// Machines counted, at most: strangers can make any number of small ones.
const COUNTED_MAX: usize = 1 << 20;
/// Slabs that have not ended that are kept in mind, those of the newest rows: twice as many as a great bus has.
const KEPT_MAX: usize = 20_000;
/// Positions listed.
const LISTED_MAX: usize = 50;

/// A slab of a machine, and how far it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The machine.
    pub instance: String,
    /// Schema of the slab.
    pub schema: String,
    /// Its incarnation, in hex digits.
    pub incarnation: String,
    /// Number of the slab.
    pub part: u32,
    /// By tier. Rows of tier 0 are stored when a machine ends.
    pub tiers: Vec<Reached>,
}

/// How far a slab is stored in a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Number of the tier.
    pub tier: u8,
    /// End of the newest row, in slab time.
    pub end_ns: u64,
    /// The same by the wall clock.
    pub wall_ns: i64,
}

/// What is known of a slab that has not ended.
#[derive(Debug)]
struct Going {
    newest: RunRef,
    /// End of the newest row by tier, slab time and wall clock.
    ends: BTreeMap<u8, (u64, i64)>,
}

/// All machines of a store, by hashes that nobody can foresee.
#[derive(Debug, Default)]
pub(super) struct Machines {
    hasher: RandomState,
    instances: HashSet<u64>,
    incarnations: HashSet<u64>,
    /// Slabs whose machine has ended, and with which row.
    ended: HashMap<u64, u64>,
    /// The others, which may have ended with a run that comes later.
    going: HashMap<u64, Going>,
    has_more: bool,
}

impl Machines {
    pub(super) fn add(&mut self, run: &RunRef) {
        let key = run.key();
        let incarnation = self.hasher.hash_one(key.incarnation);
        let slab = self
            .hasher
            .hash_one((key.incarnation, key.schema_hash, key.uid, key.part));
        if self.ended.len() >= COUNTED_MAX || self.incarnations.len() >= COUNTED_MAX {
            self.has_more = true;
        } else {
            self.instances.insert(run.instance_hash());
            self.incarnations.insert(incarnation);
        }
        // A slab that was reopened goes on after its end.
        let ended_ns = self.ended.get(&slab).copied().unwrap_or(0);
        if run.is_last() {
            let ended_ns = ended_ns.max(run.end_ns());
            if !self.has_more {
                self.ended.insert(slab, ended_ns);
            }
            if self
                .going
                .get(&slab)
                .is_some_and(|going| going.end_ns() <= ended_ns)
            {
                self.going.remove(&slab);
            }
        } else if run.end_ns() > ended_ns {
            self.go_on(slab, run);
        }
    }

    fn go_on(&mut self, slab: u64, run: &RunRef) {
        if self.going.len() >= KEPT_MAX && !self.going.contains_key(&slab) {
            self.forget_older_half();
        }
        let going = self.going.entry(slab).or_insert_with(|| Going {
            newest: run.clone(),
            ends: BTreeMap::new(),
        });
        if run.wall_ns().end > going.newest.wall_ns().end {
            going.newest = run.clone();
        }
        let end = going.ends.entry(run.tier()).or_default();
        *end = (*end).max((run.end_ns(), run.wall_ns().end));
    }

    fn forget_older_half(&mut self) {
        let mut ends: Vec<i64> = self.going.values().map(Going::wall_ns).collect();
        let middle = ends.len() / 2;
        let (_, &mut middle, _) = ends.select_nth_unstable(middle);
        self.going.retain(|_, going| going.wall_ns() > middle);
    }

    pub(super) fn instances(&self) -> u64 {
        self.instances.len() as u64
    }

    pub(super) fn incarnations(&self) -> u64 {
        self.incarnations.len() as u64
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// The positions of the newest rows, and how many others there are.
    pub(super) fn positions(
        &self,
        archives: &Archives,
        damaged: &mut Damaged,
    ) -> Result<(Vec<Position>, u64), StoreError> {
        let mut all: Vec<&Going> = self.going.values().collect();
        all.sort_unstable_by_key(|going| (Reverse(going.wall_ns()), going.newest.instance_hash()));
        let mut positions = Vec::new();
        for going in all.iter().take(LISTED_MAX) {
            if let Some(source) = damaged.source(archives, &going.newest)? {
                let reached = going.ends.iter();
                positions.push(Position {
                    instance: source.instance.clone(),
                    schema: source.schema.clone(),
                    incarnation: show::hex(&source.incarnation),
                    part: source.part,
                    tiers: reached
                        .map(|(&tier, &(end_ns, wall_ns))| Reached {
                            tier,
                            end_ns,
                            wall_ns,
                        })
                        .collect(),
                });
            }
        }
        let left_out = all.len() - positions.len();
        Ok((positions, left_out as u64))
    }
}

impl Going {
    fn end_ns(&self) -> u64 {
        self.ends.values().map(|&(end_ns, _)| end_ns).max().unwrap_or(0)
    }

    fn wall_ns(&self) -> i64 {
        self.newest.wall_ns().end
    }
}
