//! The series of one name and one instance, read and written a few at a time.
//!
//! A machine that was started anew goes on with the series of the one before, so what has the same labels is one series, in
//! order of time and with one sample for each millisecond: the oldest machine's.

use super::families::Family;
use super::sink::Sink;
use super::slice::Slice;
use super::stock::Stock;
use crate::export::{Naming, Outgoing, outgoing};
use crate::store::Run;
use rondo_shm_layout::Labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// Values that are read at once, some 60 bytes each. One series alone may have more.
const VALUES_AT_ONCE: u64 = 1 << 18;

/// What has left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) samples: u64,
    pub(super) series: u64,
    pub(super) families: u64,
}

/// What leaves of one instance under one name.
pub(super) struct Machine<'a> {
    stock: &'a Stock,
    family: &'a Family,
    naming: Naming,
    /// By the labels that tell them apart, boundaries aside.
    groups: Vec<Group>,
    /// By number of a slice: its series that leave, and as what.
    leaving: BTreeMap<usize, (Vec<usize>, Vec<Outgoing>)>,
    pub(super) warnings: Vec<String>,
}

/// Series that come from the same series of one slab, or more of them one after the other.
#[derive(Default)]
struct Group {
    /// Numbers of a slice, and of a series in its layout.
    parts: Vec<(usize, usize)>,
    /// The labels of each, in the order in which they leave.
    leaves: Vec<Labels>,
    values: u64,
}

/// The rows of a slice, with some of its series.
struct Rows<'a> {
    slice: &'a Slice,
    outgoing: HashMap<Labels, Outgoing>,
    runs: Vec<Run>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(stock: &'a Stock, slices: Range<usize>, family: &'a Family, naming: Naming) -> Self {
        let mut groups: BTreeMap<Labels, Group> = BTreeMap::new();
        let mut of_slices = BTreeMap::new();
        for (number, slice) in slices.clone().zip(&stock.slices[slices]) {
            let takes = |&index: &usize| {
                let series = slice.layout.series().get(index);
                series.is_some_and(|series| stock.takes(&slice.source, series))
            };
            let of_layout = family.series_of(slice.layout_id).iter().copied();
            let series: Vec<usize> = of_layout.filter(takes).collect();
            if series.is_empty() {
                continue;
            }
            let rows = slice.rows_max();
            let all = leaving(slice, &series, family, naming);
            for one in &all {
                let mut who = one.labels.clone();
                who.retain(|(name, _)| name != "__name__" && name != "le");
                let group = groups.entry(who).or_default();
                let part = (number, series[one.series()]);
                if !group.parts.contains(&part) {
                    group.parts.push(part);
                    group.values += rows;
                }
                if !group.leaves.contains(&one.labels) {
                    group.leaves.push(one.labels.clone());
                }
            }
            of_slices.insert(number, (series, all));
        }
        Self {
            stock,
            family,
            naming,
            groups: groups.into_values().collect(),
            leaving: of_slices,
            warnings: Vec::new(),
        }
    }

    /// Writes all of it, the family's head first if it has none yet.
    pub(super) fn write(
        &mut self,
        sink: &mut dyn Sink,
        has_head: &mut bool,
        counts: &mut Counts,
    ) -> std::io::Result<()> {
        let groups = std::mem::take(&mut self.groups);
        let mut rest = &groups[..];
        while !rest.is_empty() {
            let mut values = 0;
            let fits = rest.iter().take_while(|group| {
                values += group.values;
                values <= VALUES_AT_ONCE
            });
            let (these, after) = rest.split_at(fits.count().max(1));
            rest = after;
            let rows = self.read(these);
            for group in these {
                for labels in &group.leaves {
                    let samples = samples(group, labels, &rows);
                    if samples.is_empty() {
                        continue;
                    }
                    if !*has_head {
                        sink.family(self.family)?;
                        *has_head = true;
                    }
                    sink.series(labels, &samples)?;
                    counts.series += 1;
                    counts.samples += samples.len() as u64;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, groups: &[Group]) -> BTreeMap<usize, Rows<'a>> {
        let mut wanted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for &(slice, series) in groups.iter().flat_map(|group| &group.parts) {
            wanted.entry(slice).or_default().insert(series);
        }
        let mut rows = BTreeMap::new();
        for (number, series) in wanted {
            let slice = &self.stock.slices[number];
            let series: Vec<usize> = series.into_iter().collect();
            // Mostly all at once.
            let outgoing = match self.leaving.get(&number) {
                Some((all, outgoing)) if *all == series => outgoing.clone(),
                _ => leaving(slice, &series, self.family, self.naming),
            };
            let runs = self.stock.read(slice, &series, &mut self.warnings);
            let outgoing = outgoing
                .into_iter()
                .map(|one| (one.labels.clone(), one))
                .collect();
            rows.insert(
                number,
                Rows {
                    slice,
                    outgoing,
                    runs,
                },
            );
        }
        rows
    }
}

/// How some series of a slice leave under the name, placed in rows that have only these.
fn leaving(slice: &Slice, series: &[usize], family: &Family, naming: Naming) -> Vec<Outgoing> {
    let layout = slice.layout.project(series);
    let mut all = outgoing(&slice.source, &layout, slice.incarnation.as_deref(), naming);
    all.retain(|one| one.family.name == family.name);
    all
}

/// The samples of one series in order of time.
fn samples(group: &Group, labels: &Labels, rows: &BTreeMap<usize, Rows<'_>>) -> Vec<(i64, f64)> {
    let mut samples = Vec::new();
    let slices: BTreeSet<usize> = group.parts.iter().map(|(slice, _)| *slice).collect();
    for rows in slices.iter().filter_map(|slice| rows.get(slice)) {
        let Some(outgoing) = rows.outgoing.get(labels) else {
            continue;
        };
        for run in &rows.runs {
            let known = rows.slice.rows(run);
            samples.extend(known.filter_map(|(row, stamp_ms)| Some((stamp_ms, outgoing.value(run, row)?))));
        }
    }
    // Stable: of one time the first stays.
    samples.sort_by_key(|(stamp_ms, _)| *stamp_ms);
    samples.dedup_by_key(|(stamp_ms, _)| *stamp_ms);
    samples
}
