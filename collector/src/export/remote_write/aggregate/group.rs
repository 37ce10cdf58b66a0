//! What is added up under one set of labels.
//!
//! A counter's total goes on from window to window. Everything else is what its machines said in the window, and
//! nothing is known of a window in which none did.

use super::amount::Amount;
use super::engine::{Aggregated, Reading, STALE, Times};
use super::rule::AggregateOp;
use rondo_shm_layout::Labels;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How samples come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The sum of what cumulative series grew by, since there is a group.
    Counter,
    /// The sum of the values of a window.
    Sum,
    /// The least of them.
    Min,
    /// The greatest.
    Max,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Counter, Self::Sum, Self::Min, Self::Max];

    pub(super) fn of(op: AggregateOp, reading: Reading) -> Self {
        match (op, reading) {
            (AggregateOp::Sum, Reading::Growth(_)) => Self::Counter,
            (AggregateOp::Sum, Reading::Value(_)) => Self::Sum,
            (AggregateOp::Min, _) => Self::Min,
            (AggregateOp::Max, _) => Self::Max,
        }
    }

    /// A window's first sample.
    fn cell(self, value: f64) -> Cell {
        match self {
            Self::Counter => {
                let mut growth = Amount::default();
                growth.grow(value);
                Cell::Growth(growth)
            }
            Self::Sum | Self::Min | Self::Max => Cell::Value(value),
        }
    }
}

/// What is known of an open window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// Of a counter.
    Growth(Amount),
    /// Of anything else.
    Value(f64),
}

/// A group. Windows are counted by the step, from 1970.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) labels: Arc<Labels>,
    pub(super) kind: Kind,
    /// A counter's, of all windows that were emitted.
    pub(super) total: Amount,
    /// The last emitted window in which a machine reported.
    pub(super) last: Option<u64>,
    /// Whether its last sample was one, and not a stale marker.
    pub(super) is_live: bool,
    /// The windows that were not emitted yet.
    pub(super) cells: BTreeMap<u64, Cell>,
    /// Those of them that changed since changes were written down.
    pub(super) touched: BTreeSet<u64>,
    /// Whether it was written down at all.
    pub(super) is_written: bool,
}

impl Group {
    pub(super) fn new(labels: Arc<Labels>, kind: Kind) -> Self {
        Self {
            labels,
            kind,
            total: Amount::default(),
            last: None,
            is_live: false,
            cells: BTreeMap::new(),
            touched: BTreeSet::new(),
            is_written: false,
        }
    }

    /// Takes a sample into a window.
    pub(super) fn take(&mut self, window: u64, value: f64) {
        let cell = match (self.kind, self.cells.get(&window)) {
            (_, Some(&Cell::Growth(mut growth))) => {
                growth.grow(value);
                Cell::Growth(growth)
            }
            (Kind::Min, Some(Cell::Value(known))) => Cell::Value(known.min(value)),
            (Kind::Max, Some(Cell::Value(known))) => Cell::Value(known.max(value)),
            (_, Some(Cell::Value(known))) => Cell::Value(known + value),
            (kind, None) => kind.cell(value),
        };
        self.cells.insert(window, cell);
        self.touched.insert(window);
    }

    /// Says what is known of a window, and whether the group changed by that.
    pub(super) fn emit(&mut self, window: u64, times: &Times, out: &mut Vec<Aggregated>) -> bool {
        let is_forgotten = self.forget(window, times);
        let mut say = |window: u64, value: f64| {
            out.push(Aggregated {
                labels: Arc::clone(&self.labels),
                stamp_ms: times.end_ms(window),
                value,
            });
        };
        match self.cells.remove(&window) {
            Some(cell) => {
                match cell {
                    Cell::Growth(growth) => {
                        // Where it began: without that, nobody would see the first growth as one.
                        if self.last.is_none() && window > 0 {
                            say(window - 1, 0.0);
                        }
                        self.total.add(growth);
                        say(window, self.total.value());
                    }
                    Cell::Value(value) => say(window, value),
                }
                self.last = Some(window);
                self.is_live = true;
            }
            None if !self.is_live => return is_forgotten,
            None if self.kind == Kind::Counter && self.silence(window) <= times.quiet => {
                say(window, self.total.value());
                return is_forgotten;
            }
            None => {
                say(window, STALE);
                self.is_live = false;
            }
        }
        true
    }

    /// Windows since a machine reported.
    fn silence(&self, window: u64) -> u64 {
        self.last.map_or(0, |last| window.saturating_sub(last))
    }

    /// Begins anew if it was silent for too long before this window; says whether it did.
    fn forget(&mut self, window: u64, times: &Times) -> bool {
        let is_forgotten = self.last.is_some() && self.silence(window) > times.forget;
        if is_forgotten {
            (self.total, self.last) = (Amount::default(), None);
        }
        is_forgotten
    }

    /// Whether it may go when all windows up to this one were emitted.
    pub(super) fn is_over(&self, mark: u64, times: &Times) -> bool {
        let is_remembered =
            self.kind == Kind::Counter && self.last.is_some() && self.silence(mark) <= times.forget;
        self.cells.is_empty() && !self.is_live && !is_remembered
    }
}
