//! How rows leave: the heads of lanes in one request, or in two.

use super::Exporter;
use super::values::{Seen, Value, merged_point, values_of};
use crate::export::ExportCursor;
use crate::export::progress::SliceProgress;
use crate::export::remote_write::aggregate::Aggregated;
use crate::export::remote_write::body::{Body, BodyError};
use crate::export::remote_write::destination::Protocol;
use crate::export::remote_write::lane::{Lane, What};
use crate::export::remote_write::point::{Point, PointValue};
use crate::export::remote_write::step::Step;
use crate::store::ProgressKey;
use std::collections::HashSet;
use std::hash::BuildHasher;

/// Lanes whose series stay prepared from one turn to the next. Of an ordinary machine that is some 30 KiB, so where there are more
/// they are prepared again at each turn.
const PREPARED_MAX: usize = 256;

/// Rows of a batch of which nothing, or little, leaves.
const ROWS_MAX: usize = 1_024;

/// What leaves in one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub(super) step: Step,
    /// Of its requests, in this order; none if nothing leaves but the cursor moves on. There are two where aggregates begin:
    /// their first sample and the 0 before it cannot be in one.
    pub bodies: Vec<Body>,
    /// The newest stamp in it.
    pub newest_ms: Option<i64>,
}

impl Batch {
    /// In a journal.
    pub(in super::super) fn to_bytes(&self) -> Vec<u8> {
        self.step.to_bytes(&self.bodies)
    }

    /// Moves a cursor behind it.
    pub(in super::super) fn apply(&self, cursor: &mut ExportCursor) {
        self.step.apply(cursor);
    }

    /// As a journal has it.
    pub(in super::super) fn from_bytes(bytes: &[u8], tier: u8) -> Option<Self> {
        let (step, bodies) = Step::from_bytes(bytes, tier)?;
        Some(Self {
            step,
            bodies,
            newest_ms: None,
        })
    }
}

impl Exporter {
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
                if head.stamp_ms < oldest_ms && head.what != What::End {
                    self.counts.rows_too_old += u64::from(head.what == What::Values);
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
}
