//! What leaves to one destination, in which order, and in which request.
//!
//! Drained rows wait in lanes, one for each slice of a slab. A batch takes the row at the head of as many lanes as it needs, and
//! never two of one lane: so a series has at most one sample in a request, and its samples leave in the order of time. A
//! batch that went through in part can therefore be sent again as a whole: a repeat of a series' newest sample is all
//! that Prometheus lets pass.
//!
//! Rows come by [`intake`], and leave by [`mod@batch`]; what of a row leaves is in [`values`].
//!
//! There is no network and no clock here. The caller writes each batch down before it leaves, and says when it is done with.

mod batch;
mod intake;
mod values;

pub use batch::Batch;

use super::aggregate::AggregatorCounts;
use super::body::Press;
use super::destination::Destination;
use super::lane::Lane;
use super::merging::Merging;
use super::owners::Owners;
use crate::export::ExportCursor;
use crate::export::progress::SliceProgress;
use crate::store::ProgressKey;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

/// What leaves to one destination.
#[derive(Debug)]
pub struct Exporter {
    destination: Arc<Destination>,
    /// How far rows have been drained into lanes.
    drained: ExportCursor,
    /// How far they have left.
    left: ExportCursor,
    /// Where slices will be once the batch on its way is done with.
    on_its_way: HashMap<ProgressKey, SliceProgress>,
    lanes: HashMap<ProgressKey, Lane>,
    /// The lanes in turn.
    turns: VecDeque<ProgressKey>,
    owners: Owners,
    /// Where there are rules for that.
    merging: Option<Merging>,
    is_caught_up: bool,
    counts: Left,
    /// Of labels. Not one that a machine could foresee.
    hashes: RandomState,
    press: Press,
}

/// What became of samples that did not go into a request. All of it only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Samples that aggregation could not take as they were.
    pub aggregation: AggregatorCounts,
    /// Growth that is in no aggregate, as there is no telling what the counter was before.
    pub growth_unknown: u64,
    /// Points that were overwritten in the archive, or damaged, before they left.
    pub points_lost: u64,
    /// Rows that were older than the destination wants them.
    pub rows_too_old: u64,
    /// Samples whose labels another series in the request has.
    pub samples_conflicting: u64,
    /// Damaged frames and runs of the archive that were stepped over.
    pub damages: u64,
}

impl Exporter {
    /// One that goes on behind `left`.
    pub fn new(destination: Arc<Destination>, left: ExportCursor) -> Self {
        Self {
            drained: left.clone(),
            owners: Owners::of(&left),
            merging: (!destination.aggregate.is_empty())
                .then(|| Merging::new(destination.tier, destination.naming)),
            destination,
            left,
            on_its_way: HashMap::new(),
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            is_caught_up: false,
            counts: Left::default(),
            hashes: RandomState::new(),
            press: Press::default(),
        }
    }

    /// A batch of the collector before this one, done or on its way: what is in it is not drained, and not added up, again.
    /// Whether its aggregates could be taken over.
    pub(super) fn take_over(&mut self, batch: &Batch) -> bool {
        self.drained.slices.extend(batch.step.slices.iter().copied());
        self.on_its_way.extend(batch.step.slices.iter().copied());
        self.owners = Owners::of(&self.drained);
        self.apply_aggregates(&batch.step.aggregates)
    }

    /// How far it is, and what its aggregates are, as bytes.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let cursor = self.left.to_bytes();
        let mut bytes = (cursor.len() as u64).to_le_bytes().to_vec();
        bytes.extend(cursor);
        bytes.extend(self.merging.iter().flat_map(|merging| merging.engine.snapshot()));
        bytes
    }

    /// Takes over aggregates, or what changed in them; whether that worked.
    pub(super) fn apply_aggregates(&mut self, bytes: &[u8]) -> bool {
        let merging = self.merging.as_mut().filter(|_| !bytes.is_empty());
        merging.is_none_or(|merging| merging.engine.apply(bytes).is_ok())
    }

    /// Begins anew with aggregates, behind what may be out by now.
    pub(super) fn forget_aggregates(&mut self, now_ns: i64) {
        if let Some(merging) = &mut self.merging {
            merging.begin_anew(now_ns / 1_000_000);
        }
    }

    /// How far it is.
    pub fn cursor(&self) -> &ExportCursor {
        &self.left
    }

    /// What did not go into requests.
    pub fn counts(&self) -> Left {
        let mut counts = self.counts;
        if let Some(merging) = &self.merging {
            (counts.aggregation, counts.growth_unknown) = (merging.engine.counts(), merging.unknown);
        }
        counts
    }

    /// Points that wait in archives.
    pub fn points_ahead(&self) -> u64 {
        self.drained.points_ahead()
    }

    /// A batch arrived, or was refused for good.
    pub fn done(&mut self, batch: &Batch) {
        let has_passed = self.left.passed != batch.step.passed;
        batch.step.apply(&mut self.left);
        self.on_its_way.clear();
        if has_passed {
            let (drained, lanes) = (&self.drained.slices, &self.lanes);
            self.left
                .slices
                .retain(|key, _| drained.contains_key(key) || lanes.contains_key(key));
            let known: HashSet<[u8; 16]> = self
                .left
                .slices
                .keys()
                .chain(lanes.keys())
                .map(|key| key.incarnation)
                .collect();
            self.owners.retain(|incarnation| known.contains(incarnation));
            if let Some(merging) = &mut self.merging {
                merging.retain(|key| known.contains(&key.incarnation));
            }
        }
    }
}
