//! A slab, wherever its rows are.

use super::input::{LiveSlab, RunHead};
use super::{Request, Tier};
use crate::store::Source;
use std::ops::Range;
use std::sync::Arc;

/// A slab that has series in the answer.
pub(super) struct SourcePlan<K> {
    pub(super) source: Arc<Source>,
    /// Number of the live slab.
    pub(super) live: Option<usize>,
    pub(super) clock_offset_ns: i64,
    /// The range of the request in slab time.
    pub(super) range: Range<u64>,
    /// In the order of their precedence: stored, waiting, open.
    pub(super) pieces: Vec<Piece<K>>,
}

/// A run, wherever it is.
pub(super) struct Piece<K> {
    pub(super) head: RunHead,
    pub(super) place: Place<K>,
}

/// Where a run is.
pub(super) enum Place<K> {
    Stored(K),
    /// Number among the live slab's closed runs.
    Waiting(usize),
    /// Number among its open rows.
    Open(usize),
}

impl<K> SourcePlan<K> {
    pub(super) fn new(source: Arc<Source>, live: Option<usize>) -> Self {
        Self {
            source,
            live,
            clock_offset_ns: 0,
            range: 0..0,
            pieces: Vec::new(),
        }
    }

    /// Adds what a live slab has, settles the clock, and drops what is not in the range.
    pub(super) fn complete(&mut self, live: &[LiveSlab<'_>], request: &Request) {
        let newest = self.pieces.iter().max_by_key(|piece| piece.head.end_ns());
        self.clock_offset_ns = newest.map_or(0, |piece| piece.head.clock_offset_ns);
        if let Some(live) = self.live.map(|index| &live[index]) {
            let waiting = live
                .runs
                .iter()
                .enumerate()
                .map(|(index, run)| (&**run, Place::Waiting(index)));
            let open = live
                .open
                .iter()
                .enumerate()
                .map(|(index, run)| (run, Place::Open(index)));
            for (run, place) in waiting.chain(open) {
                self.clock_offset_ns = run.clock_offset_ns;
                let head = RunHead::from(run);
                self.pieces.push(Piece { head, place });
            }
            if let Some((_, view)) = &live.slab {
                self.clock_offset_ns = view.clock_offset_ns;
            }
        }
        let slab_time = |wall: i128| {
            let t = wall.saturating_sub(i128::from(self.clock_offset_ns));
            u64::try_from(t.max(0)).unwrap_or(u64::MAX)
        };
        // No row starts before 0, so none is in an empty range.
        self.range = slab_time(request.range.start)..slab_time(request.range.end);
        if self.range.is_empty() {
            self.range = 0..0;
        }
        // Rows that share a window of any tier with the range help to decide which tier answers.
        let longest = self
            .pieces
            .iter()
            .map(|piece| piece.head.layout.interval_ns())
            .max();
        let reach = 2 * longest.unwrap_or(0).min(u64::MAX / 4);
        let near = self.range.start.saturating_sub(reach)..self.range.end.saturating_add(reach);
        self.pieces.retain(|piece| {
            let is_of_tier = match request.tier {
                Tier::Auto => true,
                Tier::Number(tier) => tier == piece.head.layout.tier(),
            };
            is_of_tier && !piece.head.rows_in(&near).is_empty()
        });
    }
}

/// What tells slabs apart.
pub(super) type Key = ([u8; 16], String, u32);

pub(super) fn key(source: &Source) -> Key {
    (source.incarnation, source.schema.clone(), source.part)
}

/// Slab time of the machine's start. A slab in simulated time does not know it.
pub(super) fn created_ns(source: &Source) -> Option<u64> {
    (!source.simulated_time).then_some(source.created_ns)
}
