//! A metric family: one name with one kind, one unit and one help, and its samples.

use super::labels::LabelSet;

/// What the samples of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Goes up and down.
    Gauge,
    /// Only grows.
    Counter,
    /// Count and sum of samples; no quantiles.
    Summary,
    /// Count and sum of samples, and how many were at most so great.
    Histogram,
}

/// One value of one family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// All that tells it from the other samples of its family.
    pub labels: LabelSet,
    /// In the family's unit.
    pub value: Value,
}

/// A value by kind of family.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a gauge or counter.
    Number(f64),
    /// Of a summary.
    Summary {
        /// Samples.
        count: u64,
        /// Their sum.
        sum: f64,
    },
    /// Of a histogram.
    Histogram {
        /// Boundaries in rising order, and the samples up to each. The infinite one may be left out.
        buckets: Vec<(f64, u64)>,
        /// All samples.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// A metric family.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// As the text format has it: a counter's ends in `_total`.
    pub name: String,
    /// What the samples are.
    pub kind: FamilyKind,
    /// The base unit; empty for none. OpenMetrics shows it where the name ends in it.
    pub unit: String,
    /// A sentence for people.
    pub help: String,
    /// In any order.
    pub samples: Vec<Sample>,
}

impl FamilyKind {
    /// The word in `# TYPE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Summary => "summary",
            Self::Histogram => "histogram",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match value {
            Value::Number(_) => matches!(self, Self::Gauge | Self::Counter),
            Value::Summary { .. } => self == Self::Summary,
            Value::Histogram { .. } => self == Self::Histogram,
        }
    }
}

impl Family {
    /// A family without samples. A counter's name gets its `_total` if it lacks it.
    pub fn new(name: impl Into<String>, kind: FamilyKind, unit: &str, help: &str) -> Self {
        let mut name = name.into();
        if kind == FamilyKind::Counter && !name.ends_with("_total") {
            name.push_str("_total");
        }
        Self {
            name,
            kind,
            unit: unit.to_owned(),
            help: help.to_owned(),
            samples: Vec::new(),
        }
    }

    /// Adds a sample. A value of another kind has no place in a family, and is not taken.
    pub fn push(&mut self, labels: LabelSet, value: Value) {
        debug_assert!(
            self.kind.takes(&value),
            "{} is a {}",
            self.name,
            self.kind.as_str()
        );
        if self.kind.takes(&value) {
            self.samples.push(Sample { labels, value });
        }
    }

    /// The name without a counter's `_total`: what OpenMetrics calls the family.
    pub(super) fn stem(&self) -> &str {
        match self.kind {
            FamilyKind::Counter => self.name.strip_suffix("_total").unwrap_or(&self.name),
            _ => &self.name,
        }
    }
}

/// A family of our own, in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// As [`Family::name`].
    pub name: &'static str,
    /// What the samples are.
    pub kind: FamilyKind,
    /// The base unit; empty for none.
    pub unit: &'static str,
    /// A sentence for people.
    pub help: &'static str,
}

impl Definition {
    /// The family, without samples.
    pub fn family(&self) -> Family {
        Family::new(self.name, self.kind, self.unit, self.help)
    }

    /// The family with one sample that has no labels.
    pub fn value(&self, value: f64) -> Family {
        self.sample([], Value::Number(value))
    }

    /// The family with one sample.
    pub fn sample<'p>(&self, labels: impl IntoIterator<Item = (&'p str, &'p str)>, value: Value) -> Family {
        let mut family = self.family();
        family.push(LabelSet::new(labels), value);
        family
    }

    /// The family with a sample for each value of one label.
    pub fn by<S: AsRef<str>>(&self, label: &str, values: impl IntoIterator<Item = (S, f64)>) -> Family {
        let mut family = self.family();
        for (of, value) in values {
            family.push(LabelSet::new([(label, of.as_ref())]), Value::Number(value));
        }
        family
    }
}
