//! Which series there are, and where their rows are: all of a query but the reading of rows.

use super::answer::{Answer, SeriesAnswer};
use super::input::{LiveSlab, RunFilter, RunHead, StoredRuns};
use super::{QueryError, Request, Tier};
use crate::selector::{Selector, value_of};
use crate::show;
use crate::store::{Layout, Source, StoredSeries};
use rondo_reader::Series;
use rondo_shm_layout::Labels;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How far the wall clock may have been set since a run was stored for the run still to be found by time.
const CLOCK_STEP_MAX_NS: i128 = 3_600_000_000_000;

/// A query that is ready to be read.
pub struct Plan<'a, S: StoredRuns + ?Sized> {
    pub(super) request: Request,
    pub(super) store: &'a S,
    pub(super) live: &'a [LiveSlab<'a>],
    pub(super) sources: Vec<SourcePlan<S::Key>>,
    pub(super) series: Vec<SeriesPlan>,
    pub(super) warnings: Vec<String>,
}

/// A slab that has series in the answer.
pub(super) struct SourcePlan<K> {
    pub(super) source: Arc<Source>,
    /// Number of the live slab.
    pub(super) live: Option<usize>,
    pub(super) clock_offset_ns: i64,
    /// The interval of tier 0, if it is known.
    pub(super) interval_ns: Option<u64>,
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
        plan.find_sources();
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

    fn find_sources(&mut self) {
        let mut numbers = HashMap::new();
        let selector = &self.request.selector;
        for (index, live) in self
            .live
            .iter()
            .enumerate()
            .filter(|(_, live)| takes(selector, &live.source))
        {
            numbers.entry(key(&live.source)).or_insert_with(|| {
                self.sources.push(SourcePlan {
                    source: live.source.clone(),
                    live: Some(index),
                    clock_offset_ns: 0,
                    interval_ns: None,
                    range: 0..0,
                    pieces: Vec::new(),
                });
                self.sources.len() - 1
            });
        }
        let wanted = &self.request.range;
        let filter = RunFilter {
            tier: None,
            instance: selector.exact("instance"),
            wall: wanted.start.saturating_sub(CLOCK_STEP_MAX_NS)
                ..wanted.end.saturating_add(CLOCK_STEP_MAX_NS),
        };
        let sources = &mut self.sources;
        let found = self.store.find(&filter, &mut |head, place| {
            let number = match numbers.get(&key(&head.source)) {
                Some(&number) => number,
                None if takes(selector, &head.source) => {
                    sources.push(SourcePlan {
                        source: head.source.clone(),
                        live: None,
                        clock_offset_ns: 0,
                        interval_ns: None,
                        range: 0..0,
                        pieces: Vec::new(),
                    });
                    numbers.insert(key(&head.source), sources.len() - 1);
                    sources.len() - 1
                }
                None => return,
            };
            let place = Place::Stored(place);
            sources[number].pieces.push(Piece { head, place });
        });
        if let Err(error) = found {
            self.warnings
                .push(format!("the store cannot be searched: {error}"));
        }
        for source in &mut self.sources {
            source.complete(self.live, &self.request);
        }
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

    /// The intervals of which a series may have a point: by length of the interval, the stretches of slab time.
    pub(super) fn coverage(&self, series: &SeriesPlan) -> Vec<(u64, u8, Vec<Range<u64>>)> {
        let source = &self.sources[series.source];
        let mut levels: Vec<(u64, u8, Vec<Range<u64>>)> = Vec::new();
        let mut add = |tier: u8, interval: u64, stretch: Range<u64>| match levels
            .iter_mut()
            .find(|(i, t, _)| (*i, *t) == (interval, tier))
        {
            Some((_, _, stretches)) => stretches.push(stretch),
            None => levels.push((interval, tier, vec![stretch])),
        };
        for &(piece, _) in &series.rows {
            let head = &source.pieces[piece].head;
            let rows = head.rows_in(&source.range);
            if !rows.is_empty() {
                add(
                    head.layout.tier(),
                    head.layout.interval_ns(),
                    head.row_ns(rows.start)..head.row_ns(rows.end),
                );
            }
        }
        if let Some(slab) = self.slab_window(series) {
            add(0, source.interval_ns.unwrap_or(1), slab);
        }
        levels.sort_by_key(|(interval, tier, _)| (*interval, *tier));
        for (_, _, stretches) in &mut levels {
            merge(stretches);
        }
        levels
    }

    /// The part of the range that the slab has of a series.
    pub(super) fn slab_window(&self, series: &SeriesPlan) -> Option<Range<u64>> {
        let source = &self.sources[series.source];
        if matches!(self.request.tier, Tier::Number(tier) if tier != 0) {
            return None;
        }
        let in_slab = series.in_slab.as_ref()?;
        let (slab, view) = self.live[source.live?].slab.as_ref()?;
        let (axis, (first, last)) = (slab.layout().axis, view.window()?);
        let first = first.max(axis.start_of(in_slab.registered_ns.min(last)));
        let window = first.max(axis.start_of(source.range.start))
            ..last.saturating_add(axis.interval_ns()).min(source.range.end);
        (window.start < window.end).then_some(window)
    }

    /// How many points a series has at most.
    fn points_of(&self, series: &SeriesPlan) -> u64 {
        let mut finer: Vec<Range<u64>> = Vec::new();
        let mut points = 0u64;
        for (interval, _, stretches) in self.coverage(series) {
            let before = length(&finer);
            finer.extend(stretches);
            merge(&mut finer);
            points = points.saturating_add((length(&finer) - before).div_ceil(interval.max(1)));
        }
        points
    }

    /// From the oldest to the newest interval of a series, on the wall clock.
    pub(super) fn span_of(&self, series: &SeriesPlan) -> Option<Range<i128>> {
        let offset = i128::from(self.sources[series.source].clock_offset_ns);
        let coverage = self.coverage(series);
        let stretches = || coverage.iter().flat_map(|(_, _, stretches)| stretches);
        let start = stretches().map(|stretch| stretch.start).min()?;
        let end = stretches().map(|stretch| stretch.end).max()?;
        Some(i128::from(start) + offset..i128::from(end) + offset)
    }
}

impl<K> SourcePlan<K> {
    /// Adds what a live slab has, settles the clock, and drops what is not in the range.
    fn complete(&mut self, live: &[LiveSlab<'_>], request: &Request) {
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
            if let Some((slab, view)) = &live.slab {
                self.clock_offset_ns = view.clock_offset_ns;
                self.interval_ns = Some(slab.layout().axis.interval_ns());
            }
        }
        let of_tier_0 = |piece: &&Piece<K>| piece.head.layout.tier() == 0;
        self.interval_ns = self.interval_ns.or(self
            .pieces
            .iter()
            .find(of_tier_0)
            .map(|piece| piece.head.layout.interval_ns()));
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

/// Which series of a layout have a name that the selector takes; the machine does not matter for that.
#[derive(Default)]
struct NameCache {
    of_layout: HashMap<*const StoredSeries, Vec<usize>>,
}

impl NameCache {
    fn candidates(&mut self, selector: &Selector, layout: &Layout) -> &[usize] {
        // The pointer stays valid, and another's never is the same: the heads that are found keep their layouts.
        self.of_layout.entry(layout.series().as_ptr()).or_insert_with(|| {
            let takes = |series: &StoredSeries| {
                selector.matches_by(|label| (label == "__name__").then_some(series.name.as_str()))
            };
            let all = layout.series().iter().enumerate();
            all.filter(|(_, series)| takes(series))
                .map(|(index, _)| index)
                .collect()
        })
    }
}

type Key = ([u8; 16], String, u32);

fn key(source: &Source) -> Key {
    (source.incarnation, source.schema.clone(), source.part)
}

/// Slab time of the machine's start. A slab in simulated time does not know it.
pub(super) fn created_ns(source: &Source) -> Option<u64> {
    (!source.simulated_time).then_some(source.created_ns)
}

/// What a label says of the machine as such, which no label of a series can.
fn of_machine<'s>(source: &'s Source, incarnation: &'s str, label: &str) -> Option<&'s str> {
    match label {
        "instance" => Some(&source.instance),
        "schema" => Some(&source.schema),
        "incarnation" => Some(incarnation),
        _ => None,
    }
}

/// Whether the selector can take a series of that machine.
fn takes(selector: &Selector, source: &Source) -> bool {
    let incarnation = show::hex(&source.incarnation);
    selector.matches_by(|label| of_machine(source, &incarnation, label))
}

/// Whether the selector takes a series of a machine.
pub(super) fn takes_all(selector: &Selector, source: &Source, name: &str, labels: &Labels) -> bool {
    takes(selector, source) && takes_series(selector, source, name, labels)
}

fn takes_series(selector: &Selector, source: &Source, name: &str, labels: &Labels) -> bool {
    // That the machine is taken was seen before.
    selector.matches_by(|label| match label {
        "__name__" => Some(name),
        "instance" | "schema" | "incarnation" => None,
        label => Some(match value_of(labels, label) {
            "" => value_of(&source.labels, label),
            value => value,
        }),
    })
}

/// Sorts stretches and joins those that touch.
fn merge(stretches: &mut Vec<Range<u64>>) {
    stretches.sort_by_key(|stretch| stretch.start);
    stretches.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
}

fn length(stretches: &[Range<u64>]) -> u64 {
    stretches
        .iter()
        .map(|stretch| stretch.end - stretch.start)
        .fold(0, u64::saturating_add)
}
