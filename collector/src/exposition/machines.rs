//! The newest values of live machines, as a page.
//!
//! A series leaves with the labels of its own, those of its machine, and `instance`; its own win. Where two
//! incarnations of an instance live at once, all but the oldest carry `incarnation` too. (A scrape job for this
//! page sets `honor_labels`, or Prometheus puts its own `instance` in the place of the machine's.)

use super::gathered::Gathered;
use super::page::Page;
use super::reading::read;
use crate::selector::Selector;
use crate::show;
use rondo_reader::{Liveness, Series, Slab};
use rondo_shm_layout::Labels;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// How much a page may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineLimits {
    /// Series of a page, as Prometheus counts them: each bucket is one.
    pub series_max: usize,
    /// When nobody waits for the page any more.
    pub deadline: Option<Instant>,
}

impl Default for MachineLimits {
    fn default() -> Self {
        Self {
            series_max: 50_000,
            deadline: None,
        }
    }
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MachinesError {
    /// More series than may be on a page.
    #[error("more than {0} series match; narrow `match`, for example to one metric or one instance")]
    TooMany(usize),
    /// The deadline has passed.
    #[error("reading the machines took too long; narrow `match`")]
    TooLate,
}

/// The newest values of the series that any of `matches` takes, of all slabs that live; of all series if
/// there are no `matches`. Besides its own labels, a series has `instance`, `schema` and `incarnation` to match.
///
/// Costs two system calls for each slab that has such a series, and for each series a look at the stamps of
/// its column. Slabs that are lost meanwhile are left out.
///
/// # Errors
/// [`MachinesError`]: a page is whole, or is not.
pub fn machine_page<S: Borrow<Slab>>(
    slabs: impl IntoIterator<Item = S>,
    matches: &[Selector],
    limits: &MachineLimits,
) -> Result<Page, MachinesError> {
    let mut chosen = Vec::new();
    let mut series_count = 0;
    for slab in slabs {
        limits.check(series_count)?;
        let series = matching(slab.borrow(), matches);
        if series.is_empty() {
            continue;
        }
        // A slab that cannot be looked at has no values; the collector counts it as lost.
        let Ok(view) = slab.borrow().view() else { continue };
        if view.liveness == Liveness::Live {
            series_count += series.len();
            chosen.push((slab, view, series));
        }
    }
    let later = later_incarnations(chosen.iter().map(|(slab, ..)| slab.borrow()));
    let mut gathered = Gathered::default();
    for (slab, view, series) in &chosen {
        let slab: &Slab = slab.borrow();
        limits.check(gathered.series_count)?;
        let is_later = later.contains(&slab.identity().incarnation);
        // Only whole slabs count: what was read of one that is lost cannot be trusted.
        if let Ok(values) = read(slab, view, series, is_later) {
            values.into_iter().for_each(|value| gathered.add(value));
        }
    }
    let page = gathered.page();
    limits.check(page.series_count())?;
    Ok(page)
}

impl MachineLimits {
    fn check(&self, series_count: usize) -> Result<(), MachinesError> {
        if series_count > self.series_max {
            return Err(MachinesError::TooMany(self.series_max));
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(MachinesError::TooLate),
            _ => Ok(()),
        }
    }
}

/// Places of the series of `slab` that any of `matches` takes.
fn matching(slab: &Slab, matches: &[Selector]) -> Vec<usize> {
    if matches.is_empty() {
        return (0..slab.series().len()).collect();
    }
    let identity = slab.identity();
    let mut labels: Labels = vec![
        ("instance".into(), identity.instance.clone()),
        ("schema".into(), identity.schema.clone()),
        ("incarnation".into(), show::hex(&identity.incarnation[..4])),
    ];
    labels.extend(identity.labels.iter().cloned());
    let mut own_count = 0;
    let mut takes = |series: &Series| {
        // The first of a name counts, so the series' own come before those of the slab, which stay.
        labels.splice(..own_count, series.labels.iter().cloned());
        own_count = series.labels.len();
        matches
            .iter()
            .any(|selector| selector.matches(&series.name, &labels))
    };
    let series = slab.series().iter().enumerate();
    series
        .filter(|(_, series)| takes(series))
        .map(|(index, _)| index)
        .collect()
}

/// Incarnations of an instance that has an older one.
fn later_incarnations<'s>(slabs: impl Iterator<Item = &'s Slab>) -> HashSet<[u8; 16]> {
    let mut oldest: HashMap<&str, (u64, [u8; 16])> = HashMap::new();
    let mut all = HashSet::new();
    for slab in slabs {
        let identity = slab.identity();
        let born = (identity.created_realtime_ns, identity.incarnation);
        all.insert(identity.incarnation);
        oldest
            .entry(&identity.instance)
            .and_modify(|oldest| *oldest = born.min(*oldest))
            .or_insert(born);
    }
    for (_, incarnation) in oldest.into_values() {
        all.remove(&incarnation);
    }
    all
}
