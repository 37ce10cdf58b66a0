//! What there is to know about a slab, read once and printed in any form.

use super::MachineBound;
use crate::commands::json::{Pairs, PointJson};
use crate::show;
use rondo_reader::{Access, Counters, Error, PointValue, Series, Slab, View};
use rondo_shm_layout::{Capacity, Functions, Plan, SectionKind, encode_labels};
use serde::Serialize;
use std::collections::HashSet;

#[derive(Debug, Serialize)]
pub(super) struct Facts<'s> {
    pub(super) instance: &'s str,
    pub(super) schema: &'s str,
    instance_labels: Pairs<'s>,
    incarnation: String,
    part: u32,
    boot_id: String,
    state: &'static str,
    writer_pid: u64,
    creator_pid: u32,
    creator_uid: u32,
    owner_uid: u32,
    file: String,
    format: String,
    simulated_time: bool,
    created: String,
    clock_offset_ns: i64,
    interval_ns: u64,
    slot_count: u32,
    size_bytes: u64,
    /// What section 13 of the specification gives for this capacity; another layout may differ.
    size_by_formula_bytes: Option<u64>,
    bound: MachineBound,
    cursor_ns: u64,
    ticked_ns: u64,
    closed_ns: Option<u64>,
    reopen_count: u64,
    refused_count: u64,
    stale_count: u64,
    future_count: u64,
    bad_count: u64,
    unknown_series_count: u64,
    pub(super) tiers: Vec<TierFacts>,
    pub(super) capacity: Vec<Pool>,
    pub(super) series: Vec<SeriesFacts<'s>>,
    #[serde(skip)]
    view: View,
}

#[derive(Debug, Serialize)]
pub(super) struct TierFacts {
    pub(super) interval_ns: u64,
    pub(super) slot_count: u64,
    pub(super) functions: String,
}

/// Something that a slab has room for.
#[derive(Debug, Serialize)]
pub(super) struct Pool {
    pub(super) of: &'static str,
    pub(super) used: u64,
    pub(super) max: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct SeriesFacts<'s> {
    name: &'s str,
    labels: Pairs<'s>,
    pub(super) kind: &'static str,
    pub(super) access: &'static str,
    pub(super) unit: &'s str,
    pub(super) help: &'s str,
    pub(super) registered_ns: u64,
    pub(super) ended_ns: Option<u64>,
    latest: Option<PointJson>,
    #[serde(skip)]
    pub(super) series: &'s Series,
}

impl SeriesFacts<'_> {
    pub(super) fn latest_point(&self) -> Option<PointValue> {
        self.latest.as_ref().map(|latest| latest.0.value)
    }
}

impl<'s> Facts<'s> {
    pub(super) fn read(slab: &'s Slab) -> Result<Self, Error> {
        let (view, live, identity, layout) = (slab.view()?, slab.live()?, slab.identity(), slab.layout());
        let Counters {
            reopen_count,
            refused_count,
            stale_count,
            future_count,
            bad_count,
            ..
        } = live;
        let tiers = layout.tiers.iter().map(|tier| TierFacts {
            interval_ns: tier.interval_ns.get(),
            slot_count: tier.slot_count.get(),
            functions: Functions(tier.functions.get()).to_string(),
        });
        let series = slab.series().iter().map(|series| {
            Ok(SeriesFacts {
                name: &series.name,
                labels: Pairs(&series.labels),
                kind: series.kind.as_str(),
                access: match series.access {
                    Access::Owned => "owned",
                    Access::WriterHeld => "writer-held",
                    Access::Shared => "shared",
                },
                unit: series.unit.as_str(),
                help: &series.help,
                registered_ns: series.registered_ns,
                ended_ns: slab.ended_ns(series)?,
                latest: slab.latest(series, &view)?.map(PointJson),
                series,
            })
        });
        let created = i128::from(identity.created_realtime_ns) + i128::from(view.clock_offset_ns);
        Ok(Self {
            instance: &identity.instance,
            schema: &identity.schema,
            instance_labels: Pairs(&identity.labels),
            incarnation: show::hex(&identity.incarnation),
            part: identity.part,
            boot_id: show::hex(&identity.boot_id),
            state: view.liveness.as_str(),
            writer_pid: live.writer_pid,
            creator_pid: identity.pid,
            creator_uid: identity.uid,
            owner_uid: slab.owner_uid(),
            file: slab.path().display().to_string(),
            format: format!("{}.{}", layout.header.version_major, layout.header.version_minor),
            simulated_time: identity.simulated_time,
            created: show::time(created),
            clock_offset_ns: view.clock_offset_ns,
            interval_ns: layout.axis.interval_ns(),
            slot_count: layout.header.slot_count.get(),
            size_bytes: slab.size_bytes(),
            size_by_formula_bytes: size_by_formula(slab),
            bound: MachineBound::of(slab),
            cursor_ns: view.cursor_ns,
            ticked_ns: view.ticked_ns,
            closed_ns: Some(live.closed_ns).filter(|&closed| closed != 0),
            reopen_count,
            refused_count,
            stale_count,
            future_count,
            bad_count,
            unknown_series_count: live.series_count.saturating_sub(slab.series().len() as u64),
            tiers: tiers.collect(),
            capacity: pools(slab),
            series: series.collect::<Result<_, Error>>()?,
            view,
        })
    }

    /// A stamp as the present wall clock shows it.
    pub(super) fn wall_ns(&self, t: u64) -> i128 {
        self.view.wall_ns(t)
    }

    /// Everything but tables, as names and values.
    pub(super) fn in_words(&self) -> Vec<(&'static str, String)> {
        let time = |t: u64| {
            if t == 0 {
                "never".to_owned()
            } else {
                show::time(self.wall_ns(t))
            }
        };
        let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        let size = match self.size_by_formula_bytes {
            Some(formula) if formula == self.size_bytes => {
                format!(
                    "{} bytes ({}), as the formula says",
                    self.size_bytes,
                    show::size(self.size_bytes)
                )
            }
            Some(formula) => format!("{} bytes; the formula says {formula}", self.size_bytes),
            None => format!("{} bytes", self.size_bytes),
        };
        let state = match self.closed_ns {
            Some(closed) => format!("{} since {}", self.state, time(closed)),
            None => self.state.to_owned(),
        };
        vec![
            ("instance", self.instance.to_owned()),
            ("schema", self.schema.to_owned()),
            ("labels", or_none(show::labels(&self.instance_labels.0.to_vec()))),
            ("incarnation", format!("{}, part {}", self.incarnation, self.part)),
            ("state", state),
            (
                "writer",
                format!(
                    "pid {}, uid {} (file of uid {})",
                    self.writer_pid, self.creator_uid, self.owner_uid
                ),
            ),
            ("created", format!("{} by pid {}", self.created, self.creator_pid)),
            ("boot", self.boot_id.clone()),
            ("file", self.file.clone()),
            ("format", self.format.clone()),
            ("size", size),
            ("needs at most", self.bound.in_words(self.series.len())),
            (
                "time axis",
                format!(
                    "{} intervals of {}{}",
                    self.slot_count,
                    show::duration(self.interval_ns),
                    if self.simulated_time {
                        ", simulated time"
                    } else {
                        ""
                    }
                ),
            ),
            ("newest interval", time(self.cursor_ns)),
            ("last tick", time(self.ticked_ns)),
            ("reopened", format!("{} times", self.reopen_count)),
            (
                "refused",
                format!(
                    "{} registrations; samples: {} stale, {} future, {} bad",
                    self.refused_count, self.stale_count, self.future_count, self.bad_count
                ),
            ),
            (
                "series",
                format!(
                    "{} and {} of unknown kind",
                    self.series.len(),
                    self.unknown_series_count
                ),
            ),
        ]
    }
}

fn pools(slab: &Slab) -> Vec<Pool> {
    let (layout, series) = (slab.layout(), slab.series());
    let max = |kind: SectionKind| u64::from(layout.section(kind).record_count);
    let count = |of: &dyn Fn(&Series) -> bool| series.iter().filter(|series| of(series)).count() as u64;
    let buckets = series
        .iter()
        .filter_map(|series| series.buckets)
        .map(|array| u64::from(array.count))
        .sum();
    let pool = |of, used, kind| Pool {
        of,
        used,
        max: max(kind),
    };
    vec![
        pool(
            "gauges and counters",
            count(&|one| !one.kind.is_distribution()),
            SectionKind::Points,
        ),
        pool(
            "distributions and histograms",
            count(&|one| one.kind.is_distribution()),
            SectionKind::Distributions,
        ),
        pool(
            "shared cells",
            count(&|one| one.cell_offset.is_some()),
            SectionKind::Cells,
        ),
        pool("histogram buckets", buckets, SectionKind::Buckets),
        pool("bytes of text", text_bytes(slab), SectionKind::Strings),
    ]
}

/// Bytes of all texts, equal ones once, as the reference writer stores them.
fn text_bytes(slab: &Slab) -> u64 {
    let identity = slab.identity();
    let labels = |pairs: &[(String, String)]| encode_labels(pairs).unwrap_or_default();
    let mut texts: HashSet<Vec<u8>> = [
        identity.instance.clone().into(),
        identity.schema.clone().into(),
        labels(&identity.labels),
    ]
    .into();
    for one in slab.series() {
        texts.extend([
            one.name.clone().into(),
            one.unit.as_str().into(),
            one.help.clone().into(),
            labels(&one.labels),
        ]);
    }
    texts.iter().map(|text| text.len() as u64).sum()
}

/// Section 13 of the specification, for the capacity that the section table shows.
fn size_by_formula(slab: &Slab) -> Option<u64> {
    let count = |kind: SectionKind| slab.layout().section(kind).record_count;
    let capacity = Capacity {
        slot_count: slab.layout().header.slot_count.get(),
        series_max: count(SectionKind::Points),
        distribution_max: count(SectionKind::Distributions),
        shared_max: count(SectionKind::Cells),
        buckets_max: count(SectionKind::Buckets),
        strings_max: count(SectionKind::Strings),
        tiers: count(SectionKind::Tiers),
    };
    Plan::new(&capacity).map(|plan| plan.file_size)
}
