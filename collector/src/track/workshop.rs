//! What all slabs of a collector share: tools, and the tally of what was done with them.

use super::layouts::Layouts;
use super::slice::{Scratch, Slice};
use crate::exposition::HostTotals;

/// What all slabs share in one pass.
#[derive(Debug, Default)]
pub(crate) struct Workshop {
    pub(crate) layouts: Layouts,
    pub(crate) scratch: Scratch,
    /// Whether slabs take turns in consolidating, so that no pass has to do it for all.
    pub(crate) takes_turns: bool,
    /// Whether the archives refused a run that still waits. Ended machines then wait in their slabs, not in memory.
    pub(crate) is_store_refusing: bool,
    /// What was found, and how much was lost.
    pub(crate) tally: Tally,
    pub(crate) host: HostTotals,
    /// When the collector started, by the wall clock.
    pub(crate) started_ns: u64,
    /// How far the slab that is furthest behind is, in this pass.
    pub(crate) lag_ns: u64,
}

/// What was done and seen, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Points read from slots.
    pub points: u64,
    /// Slots that were torn.
    pub torn: u64,
    /// Intervals that were overwritten before they were read.
    pub intervals_lost: u64,
    /// Rows closed, by tier.
    pub rows: Vec<u64>,
    /// Samples that writers refused: stale, future, bad.
    pub refused: [u64; 3],
}

impl Tally {
    /// Takes over the rows that a slice has closed since the last time.
    pub(super) fn add_closed(&mut self, slice: &mut Slice) {
        for (tier, rows) in slice.rows_closed.iter_mut().enumerate() {
            self.add_rows(tier + 1, std::mem::take(rows));
        }
    }

    pub(super) fn add_rows(&mut self, tier: usize, rows: u64) {
        if self.rows.len() <= tier {
            self.rows.resize(tier + 1, 0);
        }
        self.rows[tier] += rows;
    }
}
