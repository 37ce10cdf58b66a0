//! What leaves to one destination, in which order, and in which request.
//!
//! Drained rows wait in lanes, one for each slice of a slab. A batch takes the row at the head of as many lanes as it needs, and
//! never two of one lane: so a series has at most one sample in a request, and its samples leave in the order of time. A
//! batch that went through in part can therefore be sent again as a whole: a repeat of a series' newest sample is all
//! that Prometheus lets pass.
//!
//! There is no network and no clock here. The caller writes each batch down before it leaves, and says when it is done with.

use super::aggregate::{Aggregated, AggregatorCounts};
use super::body::{Body, BodyError, Press};
use super::destination::{Destination, Protocol};
use super::lane::{Lane, Prepared, What};
use super::merging::{Before, Merging, began_in};
use super::owners::{Coming, Owners, Standing};
use super::point::{Point, PointValue};
use super::proto;
use super::step::Step;
use crate::collector::Collector;
use crate::export::progress::SliceProgress;
use crate::export::{Drained, ExportCursor, Nature, stamp_ms};
use crate::store::ProgressKey;
use rondo_shm_layout::{Labels, fnv1a_64};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

/// Rows that are drained at once, under the collector's lock.
const DRAIN_ROWS: usize = 256;

/// Rows that wait in lanes before no more are drained: a backlog stays where it is, in the archive.
const WAITING_ROWS_MAX: usize = 8_192;

/// Lanes whose series stay prepared from one turn to the next. Of an ordinary machine that is some 30 KiB, so where there are more
/// they are prepared again at each turn.
const PREPARED_MAX: usize = 256;

/// Rows of a batch of which nothing, or little, leaves.
const ROWS_MAX: usize = 1_024;

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

/// What leaves in one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    step: Step,
    /// Of its requests, in this order; none if nothing leaves but the cursor moves on. There are two where aggregates begin:
    /// their first sample and the 0 before it cannot be in one.
    pub bodies: Vec<Body>,
    /// The newest stamp in it.
    pub newest_ms: Option<i64>,
}

impl Batch {
    /// In a journal.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.step.to_bytes(&self.bodies)
    }

    /// Moves a cursor behind it.
    pub(super) fn apply(&self, cursor: &mut ExportCursor) {
        self.step.apply(cursor);
    }

    /// As a journal has it.
    pub(super) fn from_bytes(bytes: &[u8], tier: u8) -> Option<Self> {
        let (step, bodies) = Step::from_bytes(bytes, tier)?;
        Some(Self {
            step,
            bodies,
            newest_ms: None,
        })
    }
}

/// A value in the making of a batch.
struct Value {
    lane: usize,
    series: usize,
    stamp_ms: i64,
    start_ms: i64,
    value: f64,
    histogram: Option<proto::Histogram>,
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

    /// Whether everything that there was has left, or waits in lanes.
    pub fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    /// Points that wait in archives.
    pub fn points_ahead(&self) -> u64 {
        self.drained.points_ahead()
    }

    /// Drains rows until there are enough for a batch, or no more. Takes a few milliseconds, in which the collector makes no
    /// pass.
    pub fn pull(&mut self, collector: &Collector) {
        let mut live = None;
        loop {
            let rows_max = if self.has_enough() {
                // Only to see what was overwritten meanwhile.
                0
            } else {
                DRAIN_ROWS
            };
            let drain = collector.drain(&mut self.drained, rows_max);
            self.counts.points_lost += drain.points_lost;
            self.counts.damages += drain.errors.len() as u64;
            self.is_caught_up = drain.is_caught_up;
            let is_last = drain.is_caught_up || rows_max == 0;
            if !drain.drained.is_empty() {
                let live = live.get_or_insert_with(|| {
                    let sources = collector.slabs().map(|(_, tracked)| tracked.source().incarnation);
                    sources.collect::<HashSet<[u8; 16]>>()
                });
                drain
                    .drained
                    .into_iter()
                    .for_each(|drained| self.admit(drained, live, collector));
            }
            if is_last {
                return;
            }
        }
    }

    /// Whether there is enough for a batch, or as much as may wait. Looks at few lanes if they are many.
    fn has_enough(&self) -> bool {
        let enough = 2 * self.destination.batch_samples;
        let (mut ready, mut waiting) = (0, 0);
        self.lanes.values().any(|lane| {
            ready += lane.width();
            waiting += lane.rows();
            ready >= enough || waiting >= WAITING_ROWS_MAX
        })
    }

    /// Puts rows into the lane of their slice.
    fn admit(&mut self, drained: Drained, live: &HashSet<[u8; 16]>, collector: &Collector) {
        let (key, run) = (drained.key(), &drained.run);
        let instance_hash = fnv1a_64(run.source.instance.as_bytes());
        let known = self.lanes.get(&key).map(|lane| lane.progress);
        let known = known.or_else(|| self.on_its_way.get(&key).copied());
        let known = known.or_else(|| self.left.slices.get(&key).copied());
        if drained.is_end {
            // Of one whose name is another's by now, a marker would end the series of that one.
            let is_labelled = known.is_some_and(|progress| progress.is_labelled);
            if known.is_none() || !is_labelled && !self.owners.is_owner(instance_hash, key.incarnation) {
                return;
            }
        }
        let mut progress = known.unwrap_or_else(|| {
            let mut progress = SliceProgress::nothing(instance_hash);
            if drained.first_row > 0 || !began_in(&run.source, run) {
                // It began before, with what has not left: there is no telling when it was 0.
                progress.series_count = u16::try_from(run.layout.series().len()).unwrap_or(u16::MAX);
            }
            progress
        });
        // What is older than the export's beginning stays, a 0 as well.
        let begin_ms = self.left.begin_ns.saturating_sub(1).div_euclid(1_000_000);
        let (mut after, mut floor_ms) = (None, begin_ms);
        if !progress.is_labelled && !drained.is_end {
            let offset_ns = progress.clock_offset_ns.max(run.clock_offset_ns);
            // As it is stamped: the last row of a machine that ended in the middle of a window ends there, and the next machine may
            // begin in the same window.
            let end_ns = |row: usize| i128::from(stamp_ms(run, row, offset_ns)) * 1_000_000;
            let coming = Coming {
                instance_hash,
                incarnation: key.incarnation,
                is_known: known.is_some(),
                ends_ns: (end_ns(drained.first_row), end_ns(run.rows().saturating_sub(1))),
            };
            match self
                .owners
                .standing(coming, |incarnation| live.contains(incarnation))
            {
                Standing::Owner => {}
                Standing::Heir { before, newest_ns } => {
                    // Behind the marker that ends that one.
                    let newest_ms = i64::try_from(newest_ns.div_euclid(1_000_000)).unwrap_or(i64::MAX);
                    (after, floor_ms) = (Some(before), begin_ms.max(newest_ms.saturating_add(1)));
                }
                Standing::Second => progress.is_labelled = true,
            }
        }
        match self.lanes.get_mut(&key) {
            Some(lane) => {
                lane.set_labelled(progress.is_labelled);
                lane.push(drained);
            }
            None => {
                let before = self.merging.as_mut();
                let before = before.map(|merging| merging.before(&drained, known.is_some(), collector));
                let mut lane = Lane::new(drained, progress);
                (lane.after, lane.floor_ms) = (after, floor_ms);
                lane.before = before.unwrap_or(Before::Unknown);
                self.lanes.insert(key, lane);
                self.turns.push_back(key);
            }
        }
    }

    /// The next request, as of the wall clock's `now_ns`; `None` if nothing waits. It has to be [`done`](Self::done) with before the next one.
    ///
    /// # Errors
    /// A request that cannot be made, which only a mistake of ours could bring about; it is then passed over.
    pub fn batch(&mut self, protocol: Protocol, now_ns: i64) -> Result<Option<Batch>, BodyError> {
        let oldest_ms = self.destination.max_age.map_or(i64::MIN, |max_age| {
            let age_ms = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
            (now_ns / 1_000_000).saturating_sub(age_ms)
        });
        let mut chosen = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        for _ in 0..self.turns.len() {
            let Some(key) = self.turns.pop_front() else { break };
            if self.is_blocked(&key) {
                self.turns.push_back(key);
                continue;
            }
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            lane.prepare(&self.destination, &self.hashes);
            if let Some(head) = lane.head() {
                if let Some(merging) = self.merging.as_mut().filter(|_| head.what == What::Values) {
                    merging.take(head, &lane.before, lane.prepared());
                }
                if head.stamp_ms < oldest_ms && head.what == What::Values {
                    self.counts.rows_too_old += 1;
                } else {
                    values_of(lane, chosen.len(), &mut values);
                }
            }
            chosen.push(key);
            if values.len() >= self.destination.batch_samples || chosen.len() >= ROWS_MAX {
                break;
            }
        }
        let merged = self.merge(now_ns / 1_000_000, &chosen);
        let aggregates = self
            .merging
            .as_mut()
            .map(|merging| merging.engine.changes())
            .unwrap_or_default();
        if chosen.is_empty() && aggregates.is_empty() {
            return Ok(None);
        }
        let bodies = self.bodies(&chosen, &values, &merged, protocol);
        let newest_ms = values.iter().map(|value| value.stamp_ms).max();
        let slices = self.advance(&chosen);
        self.on_its_way.extend(slices.iter().copied());
        let waiting = self.lanes.values().filter_map(Lane::oldest_frame).min();
        let step = Step {
            archive_id: self.drained.archive_id,
            passed: waiting.unwrap_or(u64::MAX).min(self.drained.passed),
            slices,
            aggregates,
        };
        let (bodies, error) = match bodies {
            Ok(bodies) => (bodies, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let batch = Batch {
            step,
            bodies,
            newest_ms,
        };
        match error {
            None => Ok(Some(batch)),
            Some(error) => {
                self.done(&batch);
                Err(error)
            }
        }
    }

    /// Moves the lanes behind the rows at their heads; those that have more have another turn.
    fn advance(&mut self, chosen: &[ProgressKey]) -> Vec<(ProgressKey, SliceProgress)> {
        let mut slices = Vec::with_capacity(chosen.len());
        let are_many = self.lanes.len() > PREPARED_MAX;
        for key in chosen {
            let Some(lane) = self.lanes.get_mut(key) else {
                continue;
            };
            slices.push((*key, lane.advance(self.merging.is_some())));
            if lane.is_empty() {
                if let Some(merging) = &mut self.merging {
                    merging.keep(*key, lane.before.clone());
                }
                self.lanes.remove(key);
                continue;
            }
            if are_many {
                lane.forget_prepared();
            }
            self.turns.push_back(*key);
        }
        slices
    }

    /// The window of aggregates whose time has come.
    fn merge(&mut self, now_ms: i64, chosen: &[ProgressKey]) -> Vec<Aggregated> {
        let Some(merging) = &mut self.merging else {
            return Vec::new();
        };
        let waiting = self
            .lanes
            .iter()
            .filter(|(key, lane)| lane.rows() > usize::from(chosen.contains(key)));
        let waiting_ms = waiting
            .filter_map(|(_, lane)| lane.head().map(|head| head.stamp_ms))
            .min();
        merging.emit(now_ms, self.is_caught_up, waiting_ms)
    }

    /// Whether rows of the incarnation before it have to leave first.
    fn is_blocked(&self, key: &ProgressKey) -> bool {
        let lane = self.lanes.get(key);
        lane.and_then(|lane| lane.after).is_some_and(|before| {
            let mut others = self.lanes.values();
            others.any(|other| other.key.incarnation == before && !other.progress.is_labelled)
        })
    }

    /// The requests of a batch: one, but for what begins with a 0 before it.
    fn bodies(
        &mut self,
        chosen: &[ProgressKey],
        values: &[Value],
        merged: &[Aggregated],
        protocol: Protocol,
    ) -> Result<Vec<Body>, BodyError> {
        let last_ms = merged.iter().map(|sample| sample.stamp_ms).max();
        let (last, before): (Vec<_>, Vec<_>) =
            merged.iter().partition(|sample| Some(sample.stamp_ms) == last_ms);
        let mut bodies = Vec::new();
        let zeros: Vec<Point<'_>> = before.into_iter().map(merged_point).collect();
        if !zeros.is_empty() {
            bodies.push(self.press.body(&zeros, protocol)?);
        }
        let mut seen = HashSet::with_capacity(values.len());
        let mut points = Vec::with_capacity(values.len() + last.len());
        for value in values {
            let Some(lane) = self.lanes.get(&chosen[value.lane]) else {
                continue;
            };
            let prepared = &lane.prepared()[value.series];
            if !seen.insert(Seen::of(prepared)) {
                self.counts.samples_conflicting += 1;
                continue;
            }
            points.push(Point {
                labels: &prepared.labels,
                family: Some(&prepared.outgoing.family),
                timestamp_ms: value.stamp_ms,
                start_ms: value.start_ms,
                value: match &value.histogram {
                    Some(histogram) => PointValue::Histogram(histogram),
                    None => PointValue::Number(value.value),
                },
            });
        }
        for sample in last {
            let labels = &sample.labels;
            let hash = self.hashes.hash_one(labels);
            if seen.insert(Seen { hash, labels }) {
                points.push(merged_point(sample));
            } else {
                self.counts.samples_conflicting += 1;
            }
        }
        if !points.is_empty() {
            bodies.push(self.press.body(&points, protocol)?);
        }
        Ok(bodies)
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

/// Labels that are in a request, known by a hash that was taken when they were prepared.
#[derive(PartialEq, Eq)]
struct Seen<'l> {
    hash: u64,
    labels: &'l Labels,
}

impl<'l> Seen<'l> {
    fn of(prepared: &'l Prepared) -> Self {
        Self {
            hash: prepared.hash,
            labels: &prepared.labels,
        }
    }
}

impl Hash for Seen<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

fn merged_point(sample: &Aggregated) -> Point<'_> {
    Point {
        labels: &sample.labels,
        family: None,
        timestamp_ms: sample.stamp_ms,
        start_ms: 0,
        value: PointValue::Number(sample.value),
    }
}

/// The values of the row at the head of a lane.
fn values_of(lane: &Lane, number: usize, values: &mut Vec<Value>) {
    let Some(head) = lane.head() else { return };
    let source = &head.run.source;
    let created_ms = i128::from(source.created_ns) + i128::from(head.run.clock_offset_ns);
    let created_ms = i64::try_from(created_ms / 1_000_000).unwrap_or(0);
    for (series, prepared) in lane.prepared().iter().enumerate() {
        if !prepared.leaves {
            continue;
        }
        let outgoing = &prepared.outgoing;
        let (value, histogram) = if head.what == What::Zeros {
            let begins = outgoing.series() >= lane.progress.series_count.into();
            let is_there =
                outgoing.nature == Nature::Cumulative && outgoing.value(head.run, head.row).is_some();
            if !begins || !is_there {
                continue;
            }
            (0.0, None)
        } else if head.what == What::End {
            // Only what was there can end.
            let was_there = (0..head.run.rows()).any(|row| {
                outgoing.value(head.run, row).is_some() || outgoing.native(head.run, row).is_some()
            });
            if !was_there {
                continue;
            }
            (f64::from_bits(super::point::STALE_BITS), None)
        } else if outgoing.is_native() {
            let Some(native) = outgoing.native(head.run, head.row) else {
                continue;
            };
            (0.0, Some(proto::Histogram::new(&native, head.stamp_ms)))
        } else {
            let Some(value) = outgoing.value(head.run, head.row) else {
                continue;
            };
            (value, None)
        };
        let has_start = outgoing.nature == Nature::Cumulative && !source.simulated_time;
        values.push(Value {
            lane: number,
            series,
            stamp_ms: head.stamp_ms,
            start_ms: if has_start { created_ms } else { 0 },
            value,
            histogram,
        });
    }
}
