//! `rondo query`: from what was typed to what is printed.

mod explain;
mod follow;
mod place;
mod print;
mod remote;
mod shelf;
mod socket;

pub(crate) use explain::run_explain;
pub(crate) use remote::Remote;

use crate::commands::Outcome;
use crate::commands::cli::{Format, Query, Selection};
use crate::commands::json;
use crate::commands::output::{say, stdout, write_json as write_value};
use crate::query::{
    AnswerJson, Explanation, Limits, LiveSlab, Params, Plan, QueryError, Request, SeriesJson, StoredRuns,
    Tier, explain, takes_all, write_json,
};
use crate::show;
use crate::span::Span;
use anyhow::{Context, bail};
use follow::{Look, follow};
use place::Place;
use rondo_reader::Slab;
use std::io::Write;

/// Most points of a table, which is in memory as a whole.
const TABLE_POINTS_MAX: u64 = 1_000_000;

pub(crate) fn run(args: &Query) -> anyhow::Result<Outcome> {
    let selection = &args.selection;
    // What is new is in no store yet.
    let store = selection.store.as_deref().filter(|_| !args.follow);
    let place = Place::open(selection, store)?;
    let params = place.params(selection);
    let count = if args.follow {
        run_follow(place, params, selection)?
    } else {
        match &place {
            Place::Remote(remote) => remote_query(remote, &params, selection)?,
            Place::Slab(slab) => {
                check_slab(selection)?;
                if selection.output.format == Format::Json {
                    return slab_json(slab, &params);
                }
                place.with(|live, store| local(live, store, &params, selection))?
            }
            _ => place.with(|live, store| local(live, store, &params, selection))?,
        }
    };
    Ok(if count == 0 { Outcome::Found } else { Outcome::Done })
}

pub(super) fn limits(selection: &Selection) -> Limits {
    Limits {
        series_max: 1_000_000,
        points_max: match selection.output.format {
            Format::Table => TABLE_POINTS_MAX,
            // These are printed as they are read.
            Format::Json | Format::Csv => u64::MAX,
        },
    }
}

/// A range that is given by its length ends with the newest interval of the series that match.
pub(super) fn request<S: StoredRuns + ?Sized>(
    live: &[LiveSlab<'_>],
    store: &S,
    params: &Params,
    limits: Limits,
) -> Result<Request, QueryError> {
    let is_relative = params.start.is_none() && params.end.is_none() && params.range != Span::All;
    if !is_relative {
        return Ok(params.request(0, limits));
    }
    let all_limits = Limits {
        points_max: u64::MAX,
        ..limits
    };
    let all = Request {
        range: Request::ALL_TIME,
        ..params.request(0, all_limits)
    };
    let newest = Plan::new(live, store, all)?.newest_ns();
    Ok(params.request(newest.unwrap_or_else(show::wall_now_ns), limits))
}

/// A query that this process answers itself. Says how many points there were.
fn local<S: StoredRuns + ?Sized>(
    live: &[LiveSlab<'_>],
    store: &S,
    params: &Params,
    selection: &Selection,
) -> anyhow::Result<usize> {
    let request = request(live, store, params, limits(selection))?;
    let plan = Plan::new(live, store, request.clone())?;
    let mut out = stdout();
    let mut warnings = plan.warnings().to_vec();
    let count = match selection.output.format {
        Format::Json => {
            write_json(&plan, &mut out)?;
            // Without points there are still the series.
            plan.series_count()
        }
        Format::Csv => {
            let all =
                (0..plan.series_count()).map(|index| SeriesJson::from(&plan.read(index, &mut warnings)));
            print::csv(&request.quantiles, all, &mut out)?
        }
        Format::Table => {
            let answer = AnswerJson::new(&request, &plan.answer());
            print::table(&answer, &mut out)?;
            warnings.clone_from(&answer.warnings);
            warnings.extend(print::why_no_quantiles(&answer).map(str::to_owned));
            print::point_count(&answer)
        }
    };
    out.flush()?;
    warn(&warnings);
    if count == 0 {
        let explanation = explain(live, store, &request)?;
        hint(&explanation, selection);
    }
    Ok(count)
}

pub(super) fn warn(warnings: &[impl AsRef<str>]) {
    for warning in warnings {
        say!("rondo: {}", show::printable(warning.as_ref()));
    }
}

/// Why there is nothing, and what may help.
fn hint(explanation: &Explanation, selection: &Selection) {
    let reason = explanation.reason.as_deref().unwrap_or("nothing was found");
    let next = match explanation.series.len() {
        0 => format!("`rondo explain {} '{{}}'` shows all series", selection.target),
        _ => "`rondo explain` shows what there is; try --range all".to_owned(),
    };
    say!("rondo: {}; {next}", show::printable(reason));
}

/// A slab alone is printed as `spec/json.md` says.
fn slab_json(slab: &Slab, params: &Params) -> anyhow::Result<Outcome> {
    let (view, interval_ns) = (slab.view()?, slab.layout().axis.interval_ns());
    let series: Vec<_> = {
        let source = crate::store::Source::from(slab);
        let all = slab.series().iter();
        all.filter(|series| takes_all(&params.selector, &source, &series.name, &series.labels))
            .collect()
    };
    let newest_ns = view
        .window()
        .map_or(0, |(_, last)| view.wall_ns(last.saturating_add(interval_ns)));
    let wall = params.request(newest_ns, Limits::default()).range;
    let slab_ns = |wall: i128| {
        let t = wall.saturating_sub(i128::from(view.clock_offset_ns));
        u64::try_from(t.max(0)).unwrap_or(u64::MAX)
    };
    let axis = slab.layout().axis;
    let range = view.window().and_then(|(first, last)| {
        let first = first.max(axis.start_of(slab_ns(wall.start)));
        let last = last.min(axis.start_of(slab_ns(wall.end).checked_sub(1)?));
        (first <= last && wall.start < wall.end).then_some((first, last))
    });
    let mut out = stdout();
    write_value(&mut out, &json::read(slab, &view, series.iter().copied(), range)?)?;
    if series.is_empty() {
        let count = slab.series().len();
        say!("rondo: no series matches; `rondo info` shows the {count} that are there");
        return Ok(Outcome::Found);
    }
    Ok(Outcome::Done)
}

/// What a slab alone does not have.
fn check_slab(selection: &Selection) -> anyhow::Result<()> {
    let elsewhere = "ask a collector (rondo query http://HOST:PORT …), or join a store (--store DIR)";
    if let Tier::Number(tier @ 1..) = selection.tier {
        bail!("a slab holds tier 0 only; for tier {tier} {elsewhere}");
    }
    if !selection.quantile.is_empty() {
        bail!("a slab has no buckets of each interval; for quantiles {elsewhere}");
    }
    Ok(())
}

/// The selection as a collector takes it.
pub(super) fn pairs(selection: &Selection) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("series", selection.selector.text.clone())];
    let time = |t: i128| {
        format!(
            "{}.{:09}",
            t.div_euclid(1_000_000_000),
            t.rem_euclid(1_000_000_000)
        )
    };
    match selection.start {
        Some(start) => pairs.push(("start", time(start))),
        None => pairs.push(("range", selection.range.to_string())),
    }
    pairs.extend(selection.end.map(|end| ("end", time(end))));
    pairs.push(("tier", selection.tier.to_string()));
    let quantiles: Vec<String> = selection.quantile.iter().map(f64::to_string).collect();
    if !quantiles.is_empty() {
        pairs.push(("quantile", quantiles.join(",")));
    }
    pairs
}

fn remote_query(remote: &Remote, params: &Params, selection: &Selection) -> anyhow::Result<usize> {
    let mut out = stdout();
    if selection.output.format == Format::Json {
        let body = remote.get("/metrics/query", &pairs(selection))?;
        out.write_all(&body)?;
        out.flush()?;
        let answer: AnswerJson = serde_json::from_slice(&body).context("this is no answer to a query")?;
        return Ok(answer.series.len());
    }
    let answer = remote.answer(&pairs(selection))?;
    match selection.output.format {
        Format::Csv => print::csv(&params.quantiles, answer.series.clone(), &mut out).map(|_| ())?,
        _ => print::table(&answer, &mut out)?,
    }
    out.flush()?;
    warn(&answer.warnings);
    if selection.output.format == Format::Table {
        warn(print::why_no_quantiles(&answer).as_slice());
    }
    let count = print::point_count(&answer);
    if count == 0 {
        say!("rondo: nothing was found; `rondo explain` with the same arguments says why");
    }
    Ok(count)
}

fn run_follow(place: Place, mut params: Params, selection: &Selection) -> anyhow::Result<usize> {
    if params.start.is_some() || params.end.is_some() {
        bail!("--follow starts now: leave --start and --end away");
    }
    let format = selection.output.format;
    match place {
        Place::Remote(remote) => follow(format, |from| {
            let mut pairs = pairs(selection);
            if let Some(from) = from {
                pairs.retain(|(name, _)| *name != "range");
                pairs.push((
                    "start",
                    format!(
                        "{}.{:09}",
                        from.div_euclid(1_000_000_000),
                        from.rem_euclid(1_000_000_000)
                    ),
                ));
            }
            let answer = remote.answer(&pairs)?;
            Ok(Look {
                answer,
                is_last: false,
            })
        }),
        Place::Slab(mut slab) => {
            check_slab(selection)?;
            params.range = Span::All;
            follow(format, |from| {
                slab.refresh()?;
                let view = slab.view()?;
                params.start = from;
                let request = params.request(0, limits(selection));
                let is_last = view.liveness != rondo_reader::Liveness::Live;
                let live = [place::live(&slab, view)];
                let none: &[crate::store::Run] = &[];
                let answer = Plan::new(&live, none, request.clone())?.answer();
                if is_last {
                    say!("rondo: {} has ended", slab.identity().instance);
                }
                Ok(Look {
                    answer: AnswerJson::new(&request, &answer),
                    is_last,
                })
            })
        }
        Place::Joined { .. } | Place::Store(_) => {
            bail!("a store gets rows late: follow a slab, an instance on the bus, or a collector's address")
        }
    }
}
