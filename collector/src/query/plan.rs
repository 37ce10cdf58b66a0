//! Which series there are, and where their rows are: all of a query but the reading of rows.

use super::answer::{Answer, SeriesAnswer};
use super::input::{LiveSlab, RunFilter, StoredRuns};
use super::source::{Piece, Place, SourcePlan, created_ns, key};
use super::takes::{NameCache, takes, takes_series};
use super::{QueryError, Request};
use crate::store::{Layout, StoredSeries};
use rondo_reader::Series;
use rondo_shm_layout::Labels;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How far the wall clock may have been set since a run was stored for the run still to be found by time.
const CLOCK_STEP_MAX_NS: i128 = 3_600_000_000_000;

/// Stored runs of one query. Some hundred bytes are remembered of each.
const RUNS_MAX: usize = 500_000;

/// A query that is ready to be read.
pub struct Plan<'a, S: StoredRuns + ?Sized> {
    pub(super) request: Request,
    pub(super) store: &'a S,
    pub(super) live: &'a [LiveSlab<'a>],
    pub(super) sources: Vec<SourcePlan<S::Key>>,
    pub(super) series: Vec<SeriesPlan>,
    pub(super) warnings: Vec<String>,
}

/// A series, and the runs that have it.
pub(super) struct SeriesPlan {
    pub(super) source: usize,
    pub(super) series: Arc<StoredSeries>,
    pub(super) in_slab: Option<Series>,
    /// Numbers of a piece of the source, and of the series in it.
    pub(super) rows: Vec<(usize, usize)>,
}

impl<'a, S: StoredRuns + ?Sized> Plan<'a, S> {
    /// Finds the series that are asked for. Costs a look at each directory entry that the filter leaves, and at each
    /// series of the machines that match.
    ///
    /// # Errors
    /// If there would be more series or points than the request allows.
    pub fn new(live: &'a [LiveSlab<'a>], store: &'a S, request: Request) -> Result<Self, QueryError> {
        let mut plan = Self {
            request,
            store,
            live,
            sources: Vec::new(),
            series: Vec::new(),
            warnings: Vec::new(),
        };
        plan.find_sources()?;
        plan.find_series()?;
        plan.check_points()?;
        Ok(plan)
    }

    /// What was asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What could not be searched, so that series may be missing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many series match.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// At most so many points they have.
    pub fn points_max(&self) -> u64 {
        let points = self.series.iter().map(|series| self.points_of(series));
        points.fold(0, u64::saturating_add)
    }

    /// The end of the newest interval of all series that match, on the wall clock.
    pub fn newest_ns(&self) -> Option<i128> {
        self.series
            .iter()
            .filter_map(|series| self.span_of(series))
            .map(|span| span.end)
            .max()
    }

    /// Reads all series.
    pub fn answer(&self) -> Answer {
        let mut warnings = self.warnings.clone();
        let series: Vec<SeriesAnswer> = (0..self.series.len())
            .map(|index| self.read(index, &mut warnings))
            .collect();
        Answer { series, warnings }
    }

    fn find_sources(&mut self) -> Result<(), QueryError> {
        let mut numbers = HashMap::new();
        let selector = &self.request.selector;
        for (index, live) in self
            .live
            .iter()
            .enumerate()
            .filter(|(_, live)| takes(selector, &live.source))
        {
            numbers.entry(key(&live.source)).or_insert_with(|| {
                self.sources
                    .push(SourcePlan::new(live.source.clone(), Some(index)));
                self.sources.len() - 1
            });
        }
        let wanted = &self.request.range;
        let names = RefCell::new(NameCache::default());
        // From rows without a histogram follows that its first row with one starts at zero.
        let takes_all_layouts = !self.request.quantiles.is_empty();
        let has_candidates = |layout: &Layout| {
            takes_all_layouts || !names.borrow_mut().candidates(selector, layout).is_empty()
        };
        let filter = RunFilter {
            tier: None,
            instance: selector.exact("instance"),
            wall: (
                wanted.start.saturating_sub(CLOCK_STEP_MAX_NS),
                wanted.end.saturating_add(CLOCK_STEP_MAX_NS),
            ),
            layout: &has_candidates,
        };
        let mut run_count = 0;
        let sources = &mut self.sources;
        let found = self.store.find(&filter, &mut |head, place| {
            let number = match numbers.get(&key(&head.source)) {
                Some(&number) => number,
                None if takes(selector, &head.source) => {
                    sources.push(SourcePlan::new(head.source.clone(), None));
                    numbers.insert(key(&head.source), sources.len() - 1);
                    sources.len() - 1
                }
                None => return ControlFlow::Continue(()),
            };
            let place = Place::Stored(place);
            sources[number].pieces.push(Piece { head, place });
            run_count += 1;
            if run_count > RUNS_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if run_count > RUNS_MAX {
            return Err(QueryError::TooManyRuns { runs_max: RUNS_MAX });
        }
        if let Err(error) = found {
            self.warnings
                .push(format!("some stored rows cannot be read: {error}"));
        }
        for source in &mut self.sources {
            source.complete(self.live, &self.request);
        }
        Ok(())
    }

    fn find_series(&mut self) -> Result<(), QueryError> {
        let mut names = NameCache::default();
        for (number, source) in self.sources.iter().enumerate() {
            let mut known: HashMap<(&str, &Labels), usize> = HashMap::new();
            let takes = |name: &str, labels: &Labels| {
                takes_series(&self.request.selector, &source.source, name, labels)
            };
            let mut found: Vec<SeriesPlan> = Vec::new();
            let mut is_in_range = false;
            if let Some((slab, view)) = source.live.and_then(|live| self.live[live].slab.as_ref()) {
                // A machine that did not live in the range has nothing to do with it; one that has no point yet may.
                is_in_range = view.window().is_none_or(|(first, last)| {
                    first.min(created_ns(&source.source).unwrap_or(0)) < source.range.end
                        && last >= source.range.start
                });
                for series in slab
                    .series()
                    .iter()
                    .filter(|series| takes(&series.name, &series.labels))
                {
                    known.insert((&series.name, &series.labels), found.len());
                    found.push(SeriesPlan {
                        source: number,
                        series: Arc::new(StoredSeries::from(series)),
                        in_slab: Some(series.clone()),
                        rows: Vec::new(),
                    });
                }
            }
            // Runs of one layout have the same series.
            let mut of_layout: HashMap<*const StoredSeries, Vec<(usize, usize)>> = HashMap::new();
            for (index, piece) in source.pieces.iter().enumerate() {
                let series = piece.head.layout.series();
                let members = of_layout.entry(series.as_ptr()).or_insert_with(|| {
                    let candidates = names.candidates(&self.request.selector, &piece.head.layout);
                    candidates
                        .iter()
                        .map(|&at| (at, &series[at]))
                        .filter(|(_, one)| takes(&one.name, &one.labels))
                        .map(|(at, one)| {
                            let place = *known.entry((&one.name, &one.labels)).or_insert_with(|| {
                                found.push(SeriesPlan {
                                    source: number,
                                    series: Arc::new(one.clone()),
                                    in_slab: None,
                                    rows: Vec::new(),
                                });
                                found.len() - 1
                            });
                            (place, at)
                        })
                        .collect()
                });
                for &(place, at) in members.iter() {
                    // One name has one kind in a slab; in two schemas of one name it may not.
                    let kind = series[at].kind;
                    if found[place].series.kind == kind {
                        found[place].rows.push((index, at));
                    }
                }
            }
            let has_rows = |one: &SeriesPlan| {
                let mut heads = one.rows.iter().map(|&(piece, _)| &source.pieces[piece].head);
                heads.any(|head| !head.rows_in(&source.range).is_empty())
            };
            found.retain(|one| (is_in_range && one.in_slab.is_some()) || has_rows(one));
            self.series.append(&mut found);
            let series_max = self.request.limits.series_max;
            if self.series.len() > series_max {
                return Err(QueryError::TooManySeries { series_max });
            }
        }
        let sources = &self.sources;
        // Stable: series of one slab stay in the order of registration.
        self.series.sort_by_key(|series| {
            let source = &sources[series.source].source;
            (
                source.instance.clone(),
                source.created_ns,
                source.schema.clone(),
                source.part,
                source.incarnation,
            )
        });
        Ok(())
    }

    fn check_points(&self) -> Result<(), QueryError> {
        let (points, points_max) = (self.points_max(), self.request.limits.points_max);
        if points > points_max {
            let series = self.series.len();
            return Err(QueryError::TooManyPoints {
                points,
                series,
                points_max,
            });
        }
        Ok(())
    }
}
