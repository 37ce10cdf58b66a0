//! Runs of one slice of a slab, and which of their rows leave.

use crate::export::stamp_ns;
use crate::query::RunHead;
use crate::store::{Layout, Run, RunRef, Source};
use std::ops::Range;
use std::sync::Arc;

/// Runs of one slice of a slab that have one layout.
pub(super) struct Slice {
    pub(super) source: Arc<Source>,
    pub(super) layout: Arc<Layout>,
    /// What stands for equal layouts.
    pub(super) layout_id: usize,
    pub(super) first_series: u32,
    /// A label, if another machine had the name at the same time.
    pub(super) incarnation: Option<String>,
    /// The newest of the machine: a step of the clock leaves no seam.
    pub(super) clock_offset_ns: i64,
    /// Starts of the rows that leave.
    pub(super) starts: Range<u64>,
    /// In order of time.
    pub(super) pieces: Vec<Piece>,
    ended_ns: u64,
}

/// A run, wherever it is.
pub(super) enum Piece {
    Stored(RunRef),
    Read(Box<Run>),
}

impl Piece {
    pub(super) fn span(&self) -> Range<u64> {
        match self {
            Self::Stored(run) => run.start_ns()..run.end_ns(),
            Self::Read(run) => run.start_ns..run.end_ns(),
        }
    }
}

impl Slice {
    pub(super) fn new(head: &RunHead, layout_id: usize) -> Self {
        Self {
            source: head.source.clone(),
            layout: head.layout.clone(),
            layout_id,
            first_series: head.first_series,
            incarnation: None,
            clock_offset_ns: head.clock_offset_ns,
            starts: 0..u64::MAX,
            // Most machines of a host that has many had one.
            pieces: Vec::with_capacity(1),
            ended_ns: 0,
        }
    }

    pub(super) fn push(&mut self, piece: Piece, ended_ns: u64) {
        self.pieces.push(piece);
        self.ended_ns = self.ended_ns.max(ended_ns);
    }

    /// Slab time from the first row, or the machine's start, to the last row, or the machine's end.
    pub(super) fn life(&self) -> Range<u64> {
        let starts = self.pieces.iter().map(|piece| piece.span().start);
        let created_ns = if self.source.simulated_time {
            0
        } else {
            self.source.created_ns
        };
        let end_ns = self.end_ns();
        let known_until_ns = match self.ended_ns {
            0 => end_ns,
            ended_ns => ended_ns.saturating_add(self.source.interval_ns).min(end_ns),
        };
        starts.min().unwrap_or(0).max(created_ns)..known_until_ns
    }

    pub(super) fn end_ns(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| piece.span().end)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn wall(&self, t: u64) -> i128 {
        i128::from(t) + i128::from(self.clock_offset_ns)
    }

    /// Pieces that have rows to leave.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Piece> {
        let starts = self.starts.clone();
        let is_wanted = move |span: Range<u64>| span.start < starts.end && span.end > starts.start;
        self.pieces.iter().filter(move |piece| is_wanted(piece.span()))
    }

    /// At most so many rows leave.
    pub(super) fn rows_max(&self) -> u64 {
        let interval_ns = self.layout.interval_ns().max(1);
        let rows = |span: Range<u64>| (span.end - span.start) / interval_ns;
        self.wanted().map(|piece| rows(piece.span())).sum()
    }

    /// The rows of a run that leave, each with its stamp in milliseconds.
    pub(super) fn rows<'r>(&'r self, run: &'r Run) -> impl Iterator<Item = (usize, i64)> + 'r {
        (0..run.rows())
            .filter(|&row| self.starts.contains(&run.row_ns(row)))
            .map(|row| {
                (
                    row,
                    stamp_ns(run, row, self.clock_offset_ns).div_euclid(1_000_000),
                )
            })
    }
}
