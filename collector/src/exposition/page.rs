//! A page: families by name, each once and in one piece.

use super::family::{Family, FamilyKind, Sample, Value};
use super::write::{Format, write_family};
use std::collections::BTreeMap;

/// A set of families that can be written. What cannot stand on one page is left out and counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    families: BTreeMap<String, Family>,
    conflicts: u64,
}

impl Page {
    /// Adds a family. Its samples join those of the same name; if that has another kind or unit, they
    /// are conflicts.
    pub fn add(&mut self, family: Family) {
        match self.families.get_mut(&family.name) {
            None => {
                self.families.insert(family.name.clone(), family);
            }
            Some(there) if there.kind == family.kind && there.unit == family.unit => {
                there.samples.extend(family.samples);
            }
            Some(_) => self.conflicts += family.samples.len() as u64,
        }
    }

    /// The family of that name, for one more sample, which is a conflict if there is none of that kind and unit.
    pub(super) fn family(
        &mut self,
        name: &str,
        kind: FamilyKind,
        unit: &str,
        help: &str,
    ) -> Option<&mut Family> {
        if !self.families.contains_key(name) {
            self.families
                .insert(name.to_owned(), Family::new(name, kind, unit, help));
        }
        let found = self
            .families
            .get_mut(name)
            .filter(|there| there.kind == kind && there.unit == unit);
        self.conflicts += u64::from(found.is_none());
        found
    }

    /// The samples of a family, in the order in which they were added.
    pub(super) fn samples_mut(&mut self, name: &str) -> &mut [Sample] {
        self.families
            .get_mut(name)
            .map_or(&mut [], |family| &mut family.samples)
    }

    /// Leaves out samples that have the labels of an earlier one of their family.
    pub(super) fn settle(&mut self) {
        for family in self.families.values_mut() {
            let before = family.samples.len();
            family.samples.sort_by(|a, b| a.labels.cmp(&b.labels));
            family.samples.dedup_by(|a, b| a.labels == b.labels);
            self.conflicts += (before - family.samples.len()) as u64;
        }
    }

    /// The families in order of their names.
    pub fn families(&self) -> impl ExactSizeIterator<Item = &Family> {
        self.families.values()
    }

    /// Samples left out so far because of their family's kind, unit or labels.
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// How many series a scrape of it has.
    pub fn series_count(&self) -> usize {
        let of = |value: &Value| match value {
            Value::Number(_) => 1,
            Value::Summary { .. } => 2,
            Value::Histogram { buckets, .. } => 3 + buckets.len(),
        };
        self.families()
            .flat_map(|family| &family.samples)
            .map(|sample| of(&sample.value))
            .sum()
    }

    /// The page as text.
    pub fn write(mut self, format: Format) -> String {
        self.settle();
        let mut out = String::new();
        for family in self.families.values() {
            // OpenMetrics calls a counter by its stem. Where that is the name of another family, it leaves with its
            // full name and without a type, rather than not at all.
            let is_ambiguous =
                family.kind == FamilyKind::Counter && self.families.contains_key(family.stem());
            write_family(&mut out, family, format, is_ambiguous);
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

impl From<Vec<Family>> for Page {
    fn from(families: Vec<Family>) -> Self {
        let mut page = Self::default();
        families.into_iter().for_each(|family| page.add(family));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::LabelSet;

    fn gauge(name: &str, unit: &str, instance: &str, value: f64) -> Family {
        let mut family = Family::new(name, FamilyKind::Gauge, unit, "Help.");
        family.push(LabelSet::new([("instance", instance)]), Value::Number(value));
        family
    }

    /// Two families of one name would make Prometheus refuse the page, with everyone's values on it.
    #[test]
    fn families_of_one_name_become_one_and_what_differs_is_counted() {
        let counter = {
            let mut family = Family::new("a", FamilyKind::Counter, "", "Help.");
            family.push(LabelSet::default(), Value::Number(7.0));
            family
        };
        let page = Page::from(vec![
            gauge("b", "", "2", 1.0),
            gauge("b", "", "1", 2.0),
            gauge("b", "seconds", "3", 3.0),
            gauge("b", "", "2", 4.0),
            counter,
        ]);
        assert_eq!(page.conflicts(), 1, "the unit");
        assert_eq!(
            page.write(Format::Text),
            "# HELP a_total Help.\n# TYPE a_total counter\na_total 7\n\
             # HELP b Help.\n# TYPE b gauge\nb{instance=\"1\"} 2\nb{instance=\"2\"} 1\n"
        );
    }

    #[test]
    fn a_counter_whose_stem_is_taken_leaves_untyped_in_openmetrics() {
        let mut counter = Family::new("memory_bytes_total", FamilyKind::Counter, "bytes", "All.");
        counter.push(LabelSet::default(), Value::Number(2.0));
        let page = Page::from(vec![gauge("memory_bytes", "bytes", "1", 1.0), counter]);
        let text = page.write(Format::OpenMetrics);
        assert!(
            text.contains("# TYPE memory_bytes gauge\n# UNIT memory_bytes bytes\n"),
            "{text}"
        );
        assert!(text.contains("# TYPE memory_bytes_total unknown\n"), "{text}");
        assert!(text.ends_with("memory_bytes_total 2\n# EOF\n"), "{text}");
    }
}
