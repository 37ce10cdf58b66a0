//! What there is to export: the runs of a tier by machine, found and not read yet.

use super::left::Left;
use super::slice::{Piece, Slice};
use crate::query::{Request, RunFilter, StoredRuns, takes_all};
use crate::selector::Selector;
use crate::show;
use crate::span::Span;
use crate::store::{Archives, Layout, ProgressKey, Run, Source, StoreError, StoredSeries};
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// The runs that are to leave.
pub(super) struct Stock {
    archives: Option<Archives>,
    selector: Selector,
    /// By instance, then in the order of creation.
    pub(super) slices: Vec<Slice>,
    /// What could not be read, each once.
    pub(super) warnings: Vec<String>,
}

impl Stock {
    pub(super) fn new(archives: Option<Archives>, selector: &Selector) -> Self {
        Self {
            archives,
            selector: selector.clone(),
            slices: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// All of a tier that the selector takes. Reads directories and layouts, and who each machine is.
    pub(super) fn stored(archives: Archives, tier: u8, selector: &Selector) -> Self {
        let mut stock = Self::new(None, selector);
        let mut layouts = LayoutIds::default();
        // `None` for slices of which no series is taken.
        let mut numbers: HashMap<(*const Source, u32, usize), Option<usize>> = HashMap::new();
        let filter = RunFilter {
            tier: Some(tier),
            instance: selector.exact("instance"),
            wall: (Request::ALL_TIME.start, Request::ALL_TIME.end),
            layout: &|_| true,
        };
        let mut sources = Vec::new();
        let found = archives.find(&filter, &mut |head, run| {
            let layout_id = layouts.id(&head.layout);
            let key = (Arc::as_ptr(&head.source), head.first_series, layout_id);
            let number = *numbers.entry(key).or_insert_with(|| {
                // Kept, so that a pointer never comes to stand for another.
                sources.push(head.source.clone());
                let takes = |series: &StoredSeries| stock.takes(&head.source, series);
                head.layout.series().iter().any(takes).then(|| {
                    stock.slices.push(Slice::new(&head, layout_id));
                    stock.slices.len() - 1
                })
            });
            if let Some(slice) = number.and_then(|number| stock.slices.get_mut(number)) {
                slice.push(Piece::Stored(run), head.ended_ns);
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = found {
            stock
                .warnings
                .push(format!("some stored rows cannot be read: {error}"));
        }
        stock.archives = Some(archives);
        stock.settle();
        stock
    }

    /// Whether a series of a machine is to leave.
    pub(super) fn takes(&self, source: &Source, series: &StoredSeries) -> bool {
        takes_all(&self.selector, source, &series.name, &series.labels)
    }

    /// Brings all into order, and finds out which names two machines had at the same time.
    pub(super) fn settle(&mut self) {
        let mut offsets: HashMap<[u8; 16], (u64, i64)> = HashMap::new();
        for slice in &mut self.slices {
            slice.pieces.sort_by_key(|piece| piece.span().start);
            for piece in &slice.pieces {
                let offset_ns = match piece {
                    Piece::Stored(run) => run.clock_offset_ns(),
                    Piece::Read(run) => run.clock_offset_ns,
                };
                let newest = (piece.span().end, offset_ns);
                let known = offsets.entry(slice.source.incarnation).or_insert(newest);
                *known = newest.max(*known);
            }
        }
        for slice in &mut self.slices {
            slice.clock_offset_ns = offsets
                .get(&slice.source.incarnation)
                .map_or(0, |(_, offset)| *offset);
        }
        self.slices.sort_by(|a, b| {
            let key = |slice: &Slice| {
                (
                    slice.wall(slice.source.created_ns),
                    slice.source.incarnation,
                    slice.first_series,
                )
            };
            (&a.source.instance, key(a)).cmp(&(&b.source.instance, key(b)))
        });
        self.name_incarnations();
    }

    fn name_incarnations(&mut self) {
        let mut lives: HashMap<[u8; 16], Range<i128>> = HashMap::new();
        for slice in &self.slices {
            let life = slice.life();
            let life = slice.wall(life.start)..slice.wall(life.end);
            let known = lives.entry(slice.source.incarnation).or_insert(life.clone());
            *known = known.start.min(life.start)..known.end.max(life.end);
        }
        let (mut instance, mut incarnation, mut end) = (String::new(), None, i128::MIN);
        let mut is_later = false;
        for slice in &mut self.slices {
            if slice.source.instance != instance {
                (instance, incarnation, end) = (slice.source.instance.clone(), None, i128::MIN);
            }
            if incarnation != Some(slice.source.incarnation) {
                incarnation = Some(slice.source.incarnation);
                let life = lives.get(&slice.source.incarnation).cloned().unwrap_or(0..0);
                // Who starts within the second in which another ended has come after it.
                is_later = life.start + i128::from(slice.source.interval_ns) < end;
                end = end.max(life.end);
            }
            slice.incarnation = is_later.then(|| show::hex(&slice.source.incarnation[..4]));
        }
    }

    /// Leaves out what is not in that time, by the present wall clock.
    pub(super) fn keep_range(&mut self, start: Option<i128>, end: Option<i128>, range: Span) {
        let newest = self.slices.iter().map(|slice| slice.wall(slice.end_ns())).max();
        let start = start.or(match (range, end.or(newest)) {
            (Span::Ns(ns), Some(end)) => Some(end - i128::from(ns)),
            _ => None,
        });
        for slice in &mut self.slices {
            let slab_time = |wall: i128| {
                let t = wall.saturating_sub(i128::from(slice.clock_offset_ns));
                u64::try_from(t.max(0)).unwrap_or(u64::MAX)
            };
            // A row belongs to a range that its interval overlaps with.
            let reach = slice.layout.interval_ns().saturating_sub(1);
            let first = start.map_or(0, |start| slab_time(start).saturating_sub(reach));
            slice.starts = first..end.map_or(u64::MAX, slab_time);
        }
        self.slices.retain(|slice| slice.wanted().next().is_some());
    }

    /// Leaves out what has left.
    pub(super) fn keep_left(&mut self, left: &Left) {
        self.warnings.extend(left.warnings.iter().cloned());
        for slice in &mut self.slices {
            let key = ProgressKey::new(&slice.source, slice.first_series, slice.layout.tier());
            slice.starts = left.starts(&key);
        }
        self.slices.retain(|slice| slice.wanted().next().is_some());
    }

    /// The slices of each instance.
    pub(super) fn machines(&self) -> Vec<Range<usize>> {
        let mut machines = Vec::new();
        let mut start = 0;
        for same in self
            .slices
            .chunk_by(|a, b| a.source.instance == b.source.instance)
        {
            machines.push(start..start + same.len());
            start += same.len();
        }
        machines
    }

    /// The runs of a slice that have rows to leave, with some of its series only. What is damaged is left out and said.
    pub(super) fn read(&self, slice: &Slice, series: &[usize], warnings: &mut Vec<String>) -> Vec<Run> {
        let mut runs = Vec::new();
        for piece in slice.wanted() {
            let run = match (piece, &self.archives) {
                // It has one series.
                (Piece::Read(run), _) => (**run).clone(),
                (Piece::Stored(run), Some(archives)) => match archives.read_series(run, series) {
                    Ok(run) => run,
                    Err(StoreError::Overwritten) => {
                        warnings.push("the oldest rows were overwritten while they were read".to_owned());
                        continue;
                    }
                    Err(error) => {
                        warnings.push(format!("some stored rows cannot be read: {error}"));
                        continue;
                    }
                },
                (Piece::Stored(_), None) => continue,
            };
            runs.push(run);
        }
        runs
    }

    /// Takes note, once of each.
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// Numbers that stand for layouts.
#[derive(Default)]
struct LayoutIds {
    by_value: HashMap<Arc<Layout>, usize>,
    /// With the layout, so that a pointer never comes to stand for another.
    by_place: HashMap<*const Layout, (Arc<Layout>, usize)>,
}

impl LayoutIds {
    fn id(&mut self, layout: &Arc<Layout>) -> usize {
        if let Some((_, id)) = self.by_place.get(&Arc::as_ptr(layout)) {
            return *id;
        }
        let next = self.by_value.len();
        let id = *self.by_value.entry(layout.clone()).or_insert(next);
        self.by_place.insert(Arc::as_ptr(layout), (layout.clone(), id));
        id
    }
}
