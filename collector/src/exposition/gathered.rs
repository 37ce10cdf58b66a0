//! A page of machines in the making: families by name, and histograms that wait for their boundaries.

use super::buckets::{RawBuckets, unify};
use super::family::{FamilyKind, Value};
use super::labels::LabelSet;
use super::own;
use super::page::Page;
use super::reading::Reading;
use rondo_reader::PointValue;
use std::collections::HashMap;

/// A page in the making.
#[derive(Default)]
pub(super) struct Gathered {
    page: Page,
    /// So far; boundaries of histograms are not counted yet.
    pub(super) series_count: usize,
    /// By family, in the order of its samples.
    histograms: HashMap<String, Vec<RawBuckets>>,
}

impl Gathered {
    pub(super) fn add(&mut self, reading: Reading<'_>) {
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
            self.series_count += 2;
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

    pub(super) fn page(mut self) -> Page {
        for (name, raws) in self.histograms {
            let unified = unify(raws);
            let samples = self.page.samples_mut(&name);
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
