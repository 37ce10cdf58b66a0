//! Sums over all machines of the host, by metric name: `rondo_host_NAME`.
//!
//! Ten thousand machines times thirty series is more than one wants to scrape; what the host as a whole
//! does is one series for each name. The name is the one under which the metric leaves a machine
//! ([`super::exported`]) after `rondo_host_`, and no label is left:
//!
//! - a counter is the growth of all machines together, those that ended included, since the collector started: so
//!   it never falls when a machine goes;
//! - a distribution or histogram is a summary of the same kind: count and sum;
//! - a gauge is two: `rondo_host_NAME` the sum over the live machines, `rondo_host_NAME_max` the greatest.
//!
//! The collector tells of each point once, as it reads it. A name is looked up once for each series
//! ([`HostTotals::place`]), so that a point costs an addition. There are at most [`NAMES_MAX`] names.
//!
//! No family of the collector's own starts with `rondo_host_`: what follows it is for strangers to choose.

use super::family::{Family, FamilyKind, Value};
use super::labels::LabelSet;
use super::name::{Scale, exported};
use super::own;
use rondo_reader::Series;
use std::collections::HashMap;

/// Names that have totals. Strangers choose them, and each is kept for ever.
pub const NAMES_MAX: usize = 1_000;

/// Sums over all machines.
#[derive(Debug, Clone, Default)]
pub struct HostTotals {
    places: HashMap<String, usize>,
    names: Vec<Name>,
    refused: u64,
}

/// Where the sums of a series' name are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPlace(u32);

#[derive(Debug, Clone)]
struct Name {
    name: String,
    kind: FamilyKind,
    unit: String,
    help: String,
    scale: Scale,
    /// Wide enough for any number of machines that count to 2^64.
    count: u128,
    sum: f64,
    /// Of a gauge, if a machine has it.
    max: Option<f64>,
}

impl HostTotals {
    /// Where the points of `series` go; `None` if its name has no totals.
    pub fn place(&mut self, series: &Series) -> Option<HostPlace> {
        let exported = exported(&series.name, &series.unit, series.kind);
        let place = match self.places.get(&exported.name) {
            Some(&place) => Some(place),
            None if self.names.len() < NAMES_MAX => {
                self.places.insert(exported.name.clone(), self.names.len());
                self.names.push(Name {
                    name: exported.name,
                    kind: exported.kind,
                    unit: exported.unit.clone(),
                    help: series.help.clone(),
                    scale: exported.scale,
                    count: 0,
                    sum: 0.0,
                    max: None,
                });
                Some(self.names.len() - 1)
            }
            None => None,
        };
        // Sums are kept in the unit of the first series: one of another unit would need its own.
        let place = place.filter(|&place| {
            let there = &self.names[place];
            (there.kind, &there.unit, there.scale) == (exported.kind, &exported.unit, exported.scale)
        });
        self.refused += u64::from(place.is_none());
        place.map(|place| HostPlace(place as u32))
    }

    /// A counter has grown, in its own unit. The first point of a series is growth from 0.
    pub fn counter_grew(&mut self, place: HostPlace, by: u64) {
        self.names[place.0 as usize].count += u128::from(by);
    }

    /// A distribution or histogram has more samples.
    pub fn samples_came(&mut self, place: HostPlace, count: u64, sum: f64) {
        let name = &mut self.names[place.0 as usize];
        name.count += u128::from(count);
        // A hostile machine must not make it infinite, or NaN, for ever.
        if (name.sum + sum).is_finite() {
            name.sum += sum;
        }
    }

    /// Forgets all gauges: each live one has to be told again.
    pub fn begin_gauges(&mut self) {
        for name in self
            .names
            .iter_mut()
            .filter(|name| name.kind == FamilyKind::Gauge)
        {
            (name.sum, name.max) = (0.0, None);
        }
    }

    /// What a gauge of a live machine is at present.
    pub fn gauge(&mut self, place: HostPlace, value: f64) {
        let name = &mut self.names[place.0 as usize];
        name.sum += value;
        name.max = Some(name.max.map_or(value, |max| max.max(value)));
    }

    /// All sums.
    pub fn families(&self) -> Vec<Family> {
        let mut families = vec![own::NAMES_REFUSED.value(self.refused as f64)];
        for name in &self.names {
            let scaled = |value| name.scale.apply(value);
            let mut add = |ending: &str, of: &str, value: Value| {
                let help = format!("{of} of the host. {}", name.help);
                let full = format!("rondo_host_{}{ending}", name.name);
                let kind = match name.kind {
                    FamilyKind::Histogram => FamilyKind::Summary,
                    kind => kind,
                };
                let mut family = Family::new(full, kind, &name.unit, help.trim_end());
                family.push(LabelSet::default(), value);
                families.push(family);
            };
            match name.kind {
                FamilyKind::Counter => add("", "All machines", Value::Number(scaled(name.count as f64))),
                FamilyKind::Gauge => {
                    let Some(max) = name.max else { continue };
                    add("", "Sum of the live machines", Value::Number(scaled(name.sum)));
                    add(
                        "_max",
                        "Greatest of the live machines",
                        Value::Number(scaled(max)),
                    );
                }
                FamilyKind::Summary | FamilyKind::Histogram => {
                    // Text has no greater numbers than those of a summary.
                    let count = u64::try_from(name.count).unwrap_or(u64::MAX);
                    let sum = scaled(name.sum);
                    add("", "All machines", Value::Summary { count, sum });
                }
            }
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Format, Page};
    use rondo_reader::{Limits, Slab};
    use rondo_writer::{Unit, Writer};

    /// A machine that ends takes nothing away from the totals, only from the gauges.
    #[test]
    fn totals_do_not_fall_when_a_machine_ends_and_gauges_do() {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
        let _exits = writer.counter("exits").help("Exits.").owned().unwrap();
        let _busy = writer
            .histogram("busy_ns")
            .unit(Unit::Nanoseconds)
            .owned()
            .unwrap();
        let _memory = writer.gauge("memory_mib").unit(Unit::Mebibytes).owned().unwrap();
        let slab = Slab::open(writer.paths().next().unwrap(), &Limits::default()).unwrap();

        let mut totals = HostTotals::default();
        let places: Vec<HostPlace> = slab
            .series()
            .iter()
            .map(|one| totals.place(one).unwrap())
            .collect();
        let same: Vec<HostPlace> = slab
            .series()
            .iter()
            .map(|one| totals.place(one).unwrap())
            .collect();
        assert_eq!(places, same, "a second machine has the same names");
        totals.counter_grew(places[0], u64::MAX);
        totals.counter_grew(places[0], u64::MAX);
        totals.samples_came(places[1], 2, 3e9);
        for hostile in [f64::NAN, f64::INFINITY] {
            totals.samples_came(places[1], 0, hostile);
        }
        totals.begin_gauges();
        totals.gauge(places[2], 1.0);
        totals.gauge(places[2], 2.0);
        let text = Page::from(totals.families()).write(Format::Text);
        for line in [
            "# HELP rondo_host_exits_total All machines of the host. Exits.",
            "rondo_host_exits_total 3.6893488147419103e19",
            "# TYPE rondo_host_busy_seconds summary",
            "rondo_host_busy_seconds_count 2",
            "rondo_host_busy_seconds_sum 3",
            "rondo_host_memory_bytes 3145728",
            "rondo_host_memory_bytes_max 2097152",
            "rondo_names_refused 0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        totals.begin_gauges();
        let text = Page::from(totals.families()).write(Format::Text);
        assert!(
            text.contains("rondo_host_exits_total 3.6") && !text.contains("memory"),
            "{text}"
        );
    }
}
