//! The newest values of live machines, as a page.
//!
//! A series leaves with the labels of its own, those of its machine, and `instance`; its own win. Where two
//! incarnations of an instance live at once, all but the oldest carry `incarnation` too.
//!
//! Counters and distributions are there as long as their machine lives, however idle. A gauge is not known
//! between its samples, so it stays away once its newest is more than five intervals older than the
//! slab's last tick; so do the least and greatest sample of a distribution, gauges both. What a
//! series measured may end before its machine (a device unplugged): it is gone then, as Prometheus wants it.

use super::buckets::{RawBuckets, unify};
use super::family::{FamilyKind, Value};
use super::labels::LabelSet;
use super::name::{Exported, exported};
use super::own;
use super::page::Page;
use crate::selector::Selector;
use crate::show;
use rondo_reader::{Error, Liveness, PointValue, Series, Slab, View};
use rondo_shm_layout::Labels;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// Intervals for which a gauge's last sample still counts as its value.
const STALE_INTERVALS: u64 = 5;

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

/// A sample of a machine before histograms have common boundaries.
struct Reading<'s> {
    exported: Exported,
    help: &'s str,
    labels: LabelSet,
    value: PointValue,
    /// Of a histogram.
    buckets: Option<RawBuckets>,
}

fn read<'s>(
    slab: &'s Slab,
    view: &View,
    indices: &[usize],
    is_later: bool,
) -> Result<Vec<Reading<'s>>, Error> {
    let identity = slab.identity();
    let incarnation = show::hex(&identity.incarnation[..4]);
    let mut readings = Vec::with_capacity(indices.len());
    for series in indices.iter().filter_map(|&index| slab.series().get(index)) {
        let Some(value) = newest(slab, view, series)? else {
            continue;
        };
        let exported = exported(&series.name, &series.unit, series.kind);
        let buckets = slab.buckets(series, view)?.map(|buckets| RawBuckets {
            buckets: buckets.non_empty().collect(),
            scale: exported.scale,
        });
        // The last of a name counts.
        let of_slab = [
            ("instance", identity.instance.as_str()),
            ("incarnation", if is_later { &incarnation } else { "" }),
        ];
        let declared = identity.labels.iter().chain(&series.labels);
        let declared = declared.map(|(name, value)| (name.as_str(), value.as_str()));
        readings.push(Reading {
            exported,
            help: &series.help,
            labels: LabelSet::new(of_slab.into_iter().chain(declared)),
            value,
            buckets,
        });
    }
    Ok(readings)
}

/// The value that a series has at present, if it has one.
fn newest(slab: &Slab, view: &View, series: &Series) -> Result<Option<PointValue>, Error> {
    if slab.ended_ns(series)?.is_some() {
        return Ok(None);
    }
    let point = slab.latest(series, view)?;
    let fresh_ns = STALE_INTERVALS.saturating_mul(slab.layout().axis.interval_ns());
    let is_stale = point.is_none_or(|point| point.t < view.ticked_ns.saturating_sub(fresh_ns));
    Ok(match point.map(|point| point.value) {
        Some(PointValue::Gauge(_)) if is_stale => None,
        Some(PointValue::Distribution { count, sum, .. }) if is_stale => Some(totals(count, sum)),
        Some(PointValue::Torn) => None,
        None if series.kind.is_distribution() => Some(totals(0, 0.0)),
        value => value,
    })
}

fn totals(count: u64, sum: f64) -> PointValue {
    PointValue::Distribution {
        count,
        sum,
        min: None,
        max: None,
        last: None,
    }
}

/// A page in the making.
#[derive(Default)]
struct Gathered {
    page: Page,
    series_count: usize,
    /// By family, in the order of its samples.
    histograms: HashMap<String, Vec<RawBuckets>>,
}

impl Gathered {
    fn add(&mut self, reading: Reading<'_>) {
        let Reading {
            exported,
            help,
            labels,
            value,
            buckets,
        } = reading;
        let scaled = |value| exported.scale.apply(value);
        let value = match (value, &buckets) {
            (PointValue::Gauge(value), _) => Value::Number(scaled(value)),
            (PointValue::Counter(total), _) => Value::Number(scaled(total as f64)),
            (PointValue::Distribution { sum, .. }, Some(raw)) => Value::Histogram {
                buckets: Vec::new(),
                count: raw.count(),
                sum: scaled(sum),
            },
            (
                PointValue::Distribution {
                    count, sum, min, max, ..
                },
                None,
            ) => {
                for (ending, help_of, extreme) in [("_min", "Least", min), ("_max", "Greatest", max)] {
                    let Some(extreme) = extreme else { continue };
                    let name = format!("{}{ending}", exported.name);
                    let help = format!("{help_of} sample of the newest interval. {help}");
                    self.push(
                        &name,
                        FamilyKind::Gauge,
                        &exported.unit,
                        &help,
                        labels.clone(),
                        Value::Number(scaled(extreme)),
                    );
                }
                let sum = scaled(sum);
                Value::Summary { count, sum }
            }
            (PointValue::Torn, _) => return,
        };
        let is_taken = self.push(&exported.name, exported.kind, &exported.unit, help, labels, value);
        if let Some(raw) = buckets.filter(|_| is_taken) {
            self.series_count += 2 * raw.buckets.len();
            self.histograms.entry(exported.name).or_default().push(raw);
        }
    }

    fn push(
        &mut self,
        name: &str,
        kind: FamilyKind,
        unit: &str,
        help: &str,
        labels: LabelSet,
        value: Value,
    ) -> bool {
        self.series_count += 1;
        let family = self.page.family(name, kind, unit, help);
        let is_taken = family.is_some();
        if let Some(family) = family {
            family.push(labels, value);
        }
        is_taken
    }

    fn page(mut self) -> Page {
        for (name, raws) in &self.histograms {
            let unified = unify(raws);
            let samples = self.page.samples_mut(name);
            for (sample, boundaries) in samples.iter_mut().zip(unified) {
                if let Value::Histogram { buckets, .. } = &mut sample.value {
                    *buckets = boundaries;
                }
            }
        }
        self.page.settle();
        let conflicts = own::SERIES_CONFLICTS.value(self.page.conflicts() as f64);
        self.page.add(conflicts);
        self.page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;
    use rondo_reader::{Bus, Limits};
    use rondo_writer::{Unit, Writer};
    use std::path::Path;

    const SECOND: u64 = 1_000_000_000;

    fn machine(bus: &Path, instance: &str) -> Writer {
        Writer::builder(instance)
            .label("tenant", "blue")
            .label("zone", "z1")
            .bus(bus)
            .simulated_time(100 * SECOND)
            .create()
            .unwrap()
    }

    fn page_of(bus: &Path, matches: &[&str], limits: &MachineLimits) -> Result<Page, MachinesError> {
        let bus = Bus::open(bus, &Limits::default()).unwrap();
        assert_eq!(bus.refused_count(), 0);
        let matches: Vec<Selector> = matches.iter().map(|text| text.parse().unwrap()).collect();
        machine_page(bus.slabs(), &matches, limits)
    }

    fn text_of(bus: &Path, matches: &[&str]) -> String {
        page_of(bus, matches, &MachineLimits::default())
            .unwrap()
            .write(Format::Text)
    }

    /// The lines that are values of machines.
    fn values(text: &str) -> Vec<&str> {
        text.lines().filter(|line| line.contains("instance=")).collect()
    }

    #[test]
    fn series_leave_with_the_labels_of_their_machine_and_their_own_win() {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = machine(bus.path(), "vm-1");
        let mut exits = writer
            .counter("exits")
            .label("vcpu", "0")
            .label("zone", "z2")
            .owned()
            .unwrap();
        exits.add_at(100 * SECOND, 3);
        writer.tick_at(100 * SECOND);
        let text = text_of(bus.path(), &[]);
        assert_eq!(
            values(&text),
            [r#"exits_total{instance="vm-1",tenant="blue",vcpu="0",zone="z2"} 3"#]
        );
        assert!(
            text.contains("# HELP exits_total No help was registered.\n"),
            "{text}"
        );
        assert!(text.contains("\nrondo_series_conflicts 0\n"), "{text}");
    }

    #[test]
    fn an_idle_counter_stays_and_an_unset_gauge_goes_after_five_intervals() {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = machine(bus.path(), "vm-1");
        let _idle = writer.counter("idle").owned().unwrap();
        let mut load = writer.gauge("load").owned().unwrap();
        let mut wait = writer
            .distribution("wait_ms")
            .unit(Unit::Milliseconds)
            .owned()
            .unwrap();
        let _quiet = writer.distribution("quiet").owned().unwrap();
        load.set_at(100 * SECOND, 0.5);
        wait.record_at(100 * SECOND, 1.5);
        wait.record_at(100 * SECOND, 2.5);
        let names = |text: &str| -> Vec<String> {
            values(text)
                .iter()
                .map(|line| line.replace(r#"{instance="vm-1",tenant="blue",zone="z1"}"#, ""))
                .collect()
        };
        let always = [
            "idle_total 0",
            "quiet_count 0",
            "quiet_sum 0",
            "wait_seconds_count 2",
            "wait_seconds_sum 0.004",
        ];
        let fresh = ["load 0.5", "wait_seconds_max 0.0025", "wait_seconds_min 0.0015"];
        for second in 100..=106 {
            writer.tick_at(second * SECOND);
            let mut expected = always.to_vec();
            if second <= 105 {
                expected.extend(fresh);
            }
            let mut found = names(&text_of(bus.path(), &[]));
            found.sort();
            expected.sort_unstable();
            assert_eq!(found, expected, "after {second}");
        }
    }

    #[test]
    fn only_what_lives_is_there() {
        let bus = tempfile::tempdir().unwrap();
        let (mut here, mut gone) = (machine(bus.path(), "here"), machine(bus.path(), "gone"));
        let disk = here.counter("disk").owned().unwrap();
        let _ = here.counter("exits").owned().unwrap();
        let _ = gone.counter("exits").owned().unwrap();
        disk.end();
        gone.close();
        let text = text_of(bus.path(), &[]);
        assert_eq!(
            values(&text),
            [r#"exits_total{instance="here",tenant="blue",zone="z1"} 0"#]
        );
    }

    #[test]
    fn the_later_of_two_incarnations_carries_its_label() {
        let bus = tempfile::tempdir().unwrap();
        let mut old = machine(bus.path(), "vm-1");
        let _ = old.counter("exits").owned().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let mut new = Writer::builder("vm-1")
            .bus(bus.path())
            .simulated_time(200 * SECOND)
            .create()
            .unwrap();
        let _ = new.counter("exits").owned().unwrap();
        let incarnation = show::hex(&new.incarnation()[..4]);
        let text = text_of(bus.path(), &[]);
        let expected = [
            format!(r#"exits_total{{incarnation="{incarnation}",instance="vm-1"}} 0"#),
            r#"exits_total{instance="vm-1",tenant="blue",zone="z1"} 0"#.to_owned(),
        ];
        assert_eq!(values(&text), expected);
        drop(old);
        let text = text_of(bus.path(), &[]);
        assert_eq!(
            values(&text),
            [r#"exits_total{instance="vm-1"} 0"#],
            "alone again"
        );
    }

    /// One machine that calls a gauge what all others call a counter costs its own series only.
    #[test]
    fn what_contradicts_an_earlier_machine_is_left_out_and_counted() {
        let bus = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (machine(bus.path(), "a"), machine(bus.path(), "b"));
        let _ = a.distribution("wait").unit(Unit::Nanoseconds).owned().unwrap();
        let _ = b.histogram("wait_seconds").unit(Unit::Seconds).owned().unwrap();
        let _ = b.counter("exits").owned().unwrap();
        let text = text_of(bus.path(), &[]);
        assert!(text.contains("wait_seconds_count{instance=\"a\""), "{text}");
        assert!(
            !text.contains("wait_seconds_count{instance=\"b\"")
                && text.contains("exits_total{instance=\"b\""),
            "{text}"
        );
        assert!(text.contains("\nrondo_series_conflicts 1\n"), "{text}");
    }

    #[test]
    fn histograms_of_all_machines_have_the_same_boundaries() {
        let bus = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (machine(bus.path(), "a"), machine(bus.path(), "b"));
        let mut wait = a.histogram("wait").unit(Unit::Nanoseconds).owned().unwrap();
        wait.record_at(100 * SECOND, 5.0);
        let mut wait = b.histogram("wait").unit(Unit::Nanoseconds).owned().unwrap();
        wait.record_at(100 * SECOND, 8.0);
        wait.record_at(100 * SECOND, 1e30);
        let text = text_of(bus.path(), &[]).replace(r#",tenant="blue",zone="z1""#, "");
        let expected = [
            r#"wait_seconds_bucket{instance="a",le="5e-09"} 0"#,
            r#"wait_seconds_bucket{instance="a",le="6e-09"} 1"#,
            r#"wait_seconds_bucket{instance="a",le="8e-09"} 1"#,
            r#"wait_seconds_bucket{instance="a",le="9e-09"} 1"#,
        ];
        assert_eq!(values(&text)[..4], expected);
        let b: Vec<&str> = values(&text)
            .into_iter()
            .filter(|line| line.contains("\"b\""))
            .collect();
        let of_b = |line: &str| assert!(b.contains(&line), "{line}: {b:?}");
        of_b(r#"wait_seconds_bucket{instance="b",le="6e-09"} 0"#);
        of_b(r#"wait_seconds_bucket{instance="b",le="9e-09"} 1"#);
        of_b(r#"wait_seconds_bucket{instance="b",le="+Inf"} 2"#);
        of_b(r#"wait_seconds_count{instance="b"} 2"#);
        of_b(r#"wait_seconds_sum{instance="b"} 1e21"#);
    }

    #[test]
    fn selectors_take_by_the_names_and_labels_of_machine_and_series() {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = machine(bus.path(), "vm-1");
        let _ = writer
            .counter("busy_ns")
            .unit(Unit::Nanoseconds)
            .label("vcpu", "0")
            .owned()
            .unwrap();
        let _ = writer.counter("exits").label("zone", "z2").owned().unwrap();
        for (matches, count) in [
            (vec!["busy_ns"], 1),
            (vec!["busy_seconds_total"], 0),
            (vec!["{instance=\"vm-1\"}"], 2),
            (vec!["{schema=\"vmm\",tenant=\"blue\"}"], 2),
            (vec!["{zone=\"z1\"}"], 1),
            (vec!["{zone=\"z2\"}"], 1),
            (vec!["busy_ns", "{zone=\"z2\"}", "busy_ns"], 2),
            (vec!["{instance!=\"vm-1\"}"], 0),
        ] {
            assert_eq!(values(&text_of(bus.path(), &matches)).len(), count, "{matches:?}");
        }
    }

    /// A page is whole, or is not: a part of it would look as if the rest had gone.
    #[test]
    fn too_many_series_are_refused_and_so_is_taking_too_long() {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = machine(bus.path(), "vm-1");
        let _ = writer.counter("a").owned().unwrap();
        let _ = writer.distribution("b").owned().unwrap();
        // a, b_count, b_sum, and rondo_series_conflicts.
        let limits = |series_max, deadline| MachineLimits { series_max, deadline };
        assert_eq!(
            page_of(bus.path(), &[], &limits(4, None)).unwrap().series_count(),
            4
        );
        assert_eq!(
            page_of(bus.path(), &[], &limits(3, None)),
            Err(MachinesError::TooMany(3))
        );
        assert_eq!(
            page_of(bus.path(), &[], &limits(1, None)),
            Err(MachinesError::TooMany(1))
        );
        let past = Some(Instant::now());
        assert_eq!(
            page_of(bus.path(), &[], &limits(4, past)),
            Err(MachinesError::TooLate)
        );
    }
}
