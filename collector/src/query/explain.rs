//! Why an answer is what it is: what each tier has of each series, which part it answers, and why there is nothing.

use super::input::{LiveSlab, RunFilter, StoredRuns};
use super::json::{PartJson, SeriesJson};
use super::plan::{Plan, SeriesPlan};
use super::{Limits, QueryError, Request, Tier};
use crate::show;
use rondo_reader::Liveness;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

/// What there is of the series that a request takes. Times are as in [`super::AnswerJson`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// One for each series that there is in any tier at any time.
    pub series: Vec<SeriesExplanation>,
    /// How many points the answer has.
    pub points: u64,
    /// Why it has none.
    pub reason: Option<String>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// What there is of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesExplanation {
    /// Machine.
    pub instance: String,
    /// Schema.
    pub schema: String,
    /// Which run of the machine.
    pub incarnation: String,
    /// 0, or the number of a further slab.
    pub part: u32,
    /// Its name, and its labels as selectors write them.
    pub series: String,
    /// From the finest tier to the coarsest.
    pub tiers: Vec<Coverage>,
    /// Which tier answers for which part of the range.
    pub parts: Vec<PartJson>,
    /// How many points the answer has of it.
    pub points: u64,
    /// When the machine ended, if it did and that is known.
    pub ended_wall_ns: Option<i128>,
}

/// What a tier has of a series, whatever the range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Number of the tier.
    pub tier: u8,
    /// Length of an interval.
    pub step_ns: u64,
    /// Start of its oldest interval.
    pub oldest_wall_ns: i128,
    /// End of its newest interval.
    pub newest_wall_ns: i128,
    /// How many intervals it has between them.
    pub intervals: u64,
}

/// Explains the answer to `request`.
///
/// # Errors
/// As with [`Plan::new`].
pub fn explain<S: StoredRuns + ?Sized>(
    live: &[LiveSlab<'_>],
    store: &S,
    request: &Request,
) -> Result<Explanation, QueryError> {
    let no_limit = Limits {
        points_max: u64::MAX,
        ..request.limits
    };
    let everything = Request {
        range: Request::ALL_TIME,
        tier: Tier::Auto,
        limits: no_limit,
        ..request.clone()
    };
    let (all, asked) = (
        Plan::new(live, store, everything)?,
        Plan::new(live, store, request.clone())?,
    );
    let answer = asked.answer();
    let answered: Vec<SeriesJson> = answer.series.iter().map(SeriesJson::from).collect();
    let by_name: HashMap<_, &SeriesJson> = answered
        .iter()
        .map(|one| {
            (
                (
                    one.incarnation.clone(),
                    one.schema.clone(),
                    one.part,
                    name_of(one),
                ),
                one,
            )
        })
        .collect();
    let mut series: Vec<SeriesExplanation> = all.series.iter().map(|one| all.explain(one)).collect();
    for one in &mut series {
        let key = (
            one.incarnation.clone(),
            one.schema.clone(),
            one.part,
            one.series.clone(),
        );
        if let Some(other) = by_name.get(&key) {
            one.parts = other.parts.clone();
            one.points = other.points.len() as u64;
        }
    }
    let points = series.iter().map(|one| one.points).sum();
    let reason = (points == 0).then(|| match series.is_empty() {
        true => nothing_matches(live, store, request),
        false => nothing_in_range(&series, request),
    });
    Ok(Explanation {
        series,
        points,
        reason,
        warnings: answer.warnings,
    })
}

/// Name and labels of a series, as a selector.
pub(crate) fn name_of(series: &SeriesJson) -> String {
    let labels = series
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    format!("{}{}", series.name, show::labels(&labels.collect()))
}

impl<S: StoredRuns + ?Sized> Plan<'_, S> {
    fn explain(&self, series: &SeriesPlan) -> SeriesExplanation {
        let source = &self.sources[series.source];
        let wall = |t: u64| i128::from(t) + i128::from(source.clock_offset_ns);
        let coverage = self.coverage(series);
        let tiers = coverage.iter().filter_map(|(step_ns, tier, stretches)| {
            Some(Coverage {
                tier: *tier,
                step_ns: *step_ns,
                oldest_wall_ns: wall(stretches.first()?.start),
                newest_wall_ns: wall(stretches.last()?.end),
                intervals: stretches
                    .iter()
                    .map(|one| (one.end - one.start) / (*step_ns).max(1))
                    .sum(),
            })
        });
        let slab = source.live.and_then(|live| self.live[live].slab.as_ref());
        let ended_ns = match slab {
            Some((_, view)) if view.liveness == Liveness::Live => None,
            Some((_, view)) => Some(view.ticked_ns.max(view.cursor_ns)),
            None => source.pieces.iter().map(|piece| piece.head.ended_ns).max(),
        };
        SeriesExplanation {
            instance: source.source.instance.clone(),
            schema: source.source.schema.clone(),
            incarnation: show::hex(&source.source.incarnation),
            part: source.source.part,
            series: format!("{}{}", series.series.name, show::labels(&series.series.labels)),
            tiers: tiers.collect(),
            parts: Vec::new(),
            points: 0,
            ended_wall_ns: ended_ns.filter(|&t| t != 0).map(wall),
        }
    }
}

/// Stored runs that are looked at for a name that was meant: a hint is not worth a search of all.
const HINT_RUNS_MAX: usize = 20_000;

/// Machines, and names of the series of one of them, or of all: those that live, and those of the first runs of a store.
fn names_of<S: StoredRuns + ?Sized>(
    live: &[LiveSlab<'_>],
    store: &S,
    instance: Option<&str>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut instances, mut names) = (BTreeSet::new(), BTreeSet::new());
    for live in live {
        instances.insert(live.source.instance.clone());
        if instance.is_none_or(|wanted| wanted == live.source.instance)
            && let Some((slab, _)) = &live.slab
        {
            names.extend(slab.series().iter().map(|series| series.name.clone()));
        }
    }
    let filter = RunFilter {
        tier: None,
        instance: None,
        wall: (Request::ALL_TIME.start, Request::ALL_TIME.end),
        layout: &|_| true,
    };
    let mut look = |filter: RunFilter<'_>| {
        let (mut runs, mut layouts) = (0, HashSet::new());
        let found = store.find(&filter, &mut |head, _| {
            instances.insert(head.source.instance.clone());
            if instance.is_none_or(|wanted| wanted == head.source.instance)
                && layouts.insert(head.layout.series().as_ptr())
            {
                names.extend(head.layout.series().iter().map(|series| series.name.clone()));
            }
            runs += 1;
            if runs < HINT_RUNS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        // Whoever asks is told so by the query itself.
        drop(found);
    };
    // The machine that was asked for may not be among the first.
    if instance.is_some() {
        look(RunFilter { instance, ..filter });
    }
    look(filter);
    (instances, names)
}

/// No series matches: the nearest machine, or the nearest name.
fn nothing_matches<S: StoredRuns + ?Sized>(live: &[LiveSlab<'_>], store: &S, request: &Request) -> String {
    let wanted_instance = request.selector.exact("instance");
    let (instances, names) = names_of(live, store, wanted_instance);
    match (wanted_instance, request.selector.exact("__name__")) {
        (Some(instance), _) if names.is_empty() => {
            format!(
                "there is no machine {instance}{}",
                nearest(instance, &instances, "machines")
            )
        }
        _ if names.is_empty() => "there are no series at all".to_owned(),
        (_, Some(name)) if !names.contains(name) => {
            format!("there is no series {name}{}", nearest(name, &names, "names"))
        }
        _ => "no series matches: there are series of that name, but not with these labels".to_owned(),
    }
}

fn nearest(wanted: &str, names: &BTreeSet<String>, what: &str) -> String {
    let likeness = |name: &str| strsim::jaro_winkler(wanted, name);
    let best = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(name) if likeness(name) > 0.7 => format!("; did you mean {name}?"),
        Some(_) => format!(" among the {} {what} that there are", names.len()),
        None => format!("; there are no {what} at all"),
    }
}

/// There are such series, but no point of them in the range.
fn nothing_in_range(series: &[SeriesExplanation], request: &Request) -> String {
    let of_tier = |coverage: &&Coverage| match request.tier {
        Tier::Auto => true,
        Tier::Number(tier) => coverage.tier == tier,
    };
    let tiers = || series.iter().flat_map(|one| &one.tiers);
    let oldest = tiers()
        .filter(of_tier)
        .map(|coverage| coverage.oldest_wall_ns)
        .min();
    let newest = tiers()
        .filter(of_tier)
        .map(|coverage| coverage.newest_wall_ns)
        .max();
    let (Some(oldest), Some(newest)) = (oldest, newest) else {
        let there: BTreeSet<String> = tiers().map(|coverage| coverage.tier.to_string()).collect();
        return match there.is_empty() {
            true => "nothing was recorded yet".to_owned(),
            false => {
                let there: Vec<String> = there.into_iter().collect();
                format!(
                    "these series have no rows in that tier; they have some in tier {}",
                    there.join(" and ")
                )
            }
        };
    };
    if request.range.end <= oldest {
        return format!(
            "the range ends before the oldest interval that is retained, of {}",
            show::time(oldest)
        );
    }
    if request.range.start >= newest {
        let ended: Vec<i128> = series.iter().filter_map(|one| one.ended_wall_ns).collect();
        return match ended.iter().max() {
            Some(&ended) if ended_all(series) => {
                format!(
                    "the range starts after the end of the machine, at {}",
                    show::time(ended)
                )
            }
            _ => format!(
                "the range starts after the newest interval, which ends at {}",
                show::time(newest)
            ),
        };
    }
    "the series are there, but nothing is known of them in this range: nothing was recorded".to_owned()
}

fn ended_all(series: &[SeriesExplanation]) -> bool {
    series.iter().all(|one| one.ended_wall_ns.is_some())
}
