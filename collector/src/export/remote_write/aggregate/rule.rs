//! Rules that say which series leave as one, and under which labels.
//!
//! - A series belongs to the first rule one of whose selectors takes it; selectors see the labels as relabelling left
//!   them.
//! - What leaves has the labels that the rule keeps. The name and `le` are always among them: buckets of different
//!   boundaries have no sum.
//! - **It keeps the metric's own name** unless the rule says otherwise. The originals do not leave, so `sum by (job)
//!   (x)` over what a server has is right with or without the rule, and dashboards stay as they are. Prometheus'
//!   habit for recording rules, `level:metric:op`, is for series that live beside their originals; so a rule that
//!   keeps those has to name what it makes, such as `fleet:{name}:sum`.
//! - `min` and `max` are of values at one time. A counter's value says how long its machine has run, so for
//!   cumulative series they are of what each grew by in a window; a selector that asks for a counter by name is
//!   refused.

use crate::export::remote_write::labels::{NAME, is_label_name, is_metric_name, set, value};
use crate::export::remote_write::relabel::RuleError;
use crate::selector::Selector;
use rondo_shm_layout::Labels;

/// How many become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateOp {
    /// Their sum; of cumulative series a counter that only grows.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sum, Self::Min, Self::Max];

    /// Its word in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

/// Which labels are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// These.
    By(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// What stands for the metric's own name in a rule's `name`.
const OWN_NAME: &str = "{name}";

/// Endings of names that cumulative series have.
const CUMULATIVE_ENDINGS: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateConfig {
    /// Selectors; a series that one of them takes is the rule's.
    pub matches: Vec<String>,
    /// Which labels are kept.
    pub grouping: Grouping,
    /// How many become one.
    pub op: AggregateOp,
    /// The name of what leaves, in which `{name}` stands for the metric's own.
    pub name: String,
    /// Whether the originals leave, too.
    pub keep_original: bool,
}

impl Default for AggregateConfig {
    /// The sum of everything without `instance`.
    fn default() -> Self {
        Self {
            matches: vec!["{}".into()],
            // Two machines of one name differ in their incarnation only.
            grouping: Grouping::Without(vec!["instance".into(), "incarnation".into()]),
            op: AggregateOp::Sum,
            name: OWN_NAME.into(),
            keep_original: false,
        }
    }
}

/// A rule, ready to be applied.
#[derive(Debug, Clone)]
pub struct AggregateRule {
    config: AggregateConfig,
    selectors: Vec<Selector>,
}

/// A rule is what it was written as.
impl PartialEq for AggregateRule {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

impl Eq for AggregateRule {}

impl AggregateRule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// The first of its keys that is wrong.
    pub fn new(config: AggregateConfig) -> Result<Self, RuleError> {
        if config.matches.is_empty() {
            return Err(RuleError::new("match", "it is empty; {} takes every series"));
        }
        let parse = |text: &String| {
            text.parse()
                .map_err(|error| RuleError::new("match", format!("{error}")))
        };
        let selectors: Vec<Selector> = config.matches.iter().map(parse).collect::<Result<_, _>>()?;
        if config.op != AggregateOp::Sum {
            let is_counter = |name: &&str| CUMULATIVE_ENDINGS.iter().any(|ending| name.ends_with(ending));
            let names = selectors.iter().filter_map(|selector| selector.exact(NAME));
            if let Some(name) = names.into_iter().find(is_counter) {
                let reason = format!("{name} adds up over time, so that only its sum means something");
                return Err(RuleError::new("op", reason));
            }
        }
        let (key, labels) = match &config.grouping {
            Grouping::By(labels) => ("by", labels),
            Grouping::Without(labels) => ("without", labels),
        };
        if let Some(label) = labels.iter().find(|label| !is_label_name(label)) {
            return Err(RuleError::new(key, format!("`{label}` is not a label's name")));
        }
        if let (Grouping::Without(labels), kept) = (&config.grouping, [NAME, "le"])
            && let Some(label) = labels.iter().find(|label| kept.contains(&label.as_str()))
        {
            return Err(RuleError::new(key, format!("{label} is always kept")));
        }
        if !is_metric_name(&config.name.replace(OWN_NAME, "x")) {
            let reason = format!(
                "`{}` is not a metric's name; letters, digits, _, : and {{name}}, for the metric's own, are accepted",
                config.name
            );
            return Err(RuleError::new("name", reason));
        }
        if config.keep_original && config.name == OWN_NAME {
            let reason = "with keep_original, what is made needs a name of its own, such as fleet:{name}:sum: \
                          otherwise a sum over the metric counts everything twice";
            return Err(RuleError::new("name", reason));
        }
        Ok(Self { config, selectors })
    }

    /// The rule as it was written.
    pub fn config(&self) -> &AggregateConfig {
        &self.config
    }

    /// How many become one.
    pub fn op(&self) -> AggregateOp {
        self.config.op
    }

    /// Whether the series that it takes leave, too.
    pub fn keeps_originals(&self) -> bool {
        self.config.keep_original
    }

    /// The first of several rules that takes a series, and the labels of what it is part of.
    pub fn first<'r>(rules: &'r [Self], labels: &Labels) -> Option<(&'r Self, Labels)> {
        let rule = rules.iter().find(|rule| rule.takes(labels))?;
        Some((rule, rule.reduced(labels)))
    }

    /// Whether it takes a series, of sorted labels with a name among them.
    pub fn takes(&self, labels: &Labels) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.matches_by(|label| Some(value(labels, label))))
    }

    /// The labels of what a series is part of: sorted, with a name.
    pub fn reduced(&self, labels: &Labels) -> Labels {
        let is_kept = |label: &String| match &self.config.grouping {
            _ if label == NAME || label == "le" => true,
            Grouping::By(kept) => kept.contains(label),
            Grouping::Without(gone) => !gone.contains(label),
        };
        let mut reduced: Labels = labels
            .iter()
            .filter(|(label, _)| is_kept(label))
            .cloned()
            .collect();
        if self.config.name != OWN_NAME {
            let name = self.config.name.replace(OWN_NAME, value(labels, NAME));
            set(&mut reduced, NAME, name);
        }
        reduced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn rule(change: impl FnOnce(&mut AggregateConfig)) -> Result<AggregateRule, RuleError> {
        let mut config = AggregateConfig::default();
        change(&mut config);
        AggregateRule::new(config)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    const BUCKET: [(&str, &str); 5] = [
        ("__name__", "exits_bucket"),
        ("instance", "vm-1"),
        ("le", "0.1"),
        ("reason", "io"),
        ("vcpu", "0"),
    ];

    #[test]
    fn a_series_keeps_its_name_and_loses_its_instance() {
        let rule = rule(|_| {}).unwrap();
        let reduced = rule.reduced(&labels(&BUCKET));
        let expected = [
            ("__name__", "exits_bucket"),
            ("le", "0.1"),
            ("reason", "io"),
            ("vcpu", "0"),
        ];
        assert_eq!(reduced, labels(&expected));
    }

    #[test]
    fn name_and_boundaries_are_kept_whatever_a_rule_keeps() {
        let by = rule(|config| config.grouping = Grouping::By(texts(&["reason", "host"]))).unwrap();
        let expected = [("__name__", "exits_bucket"), ("le", "0.1"), ("reason", "io")];
        assert_eq!(by.reduced(&labels(&BUCKET)), labels(&expected));
        for label in ["le", "__name__"] {
            let error = rule(|config| config.grouping = Grouping::Without(texts(&[label]))).unwrap_err();
            assert_eq!(error.to_string(), format!("without: {label} is always kept"));
        }
    }

    #[test]
    fn a_rule_may_name_what_it_makes() {
        let named = rule(|config| config.name = "fleet:{name}:sum".into()).unwrap();
        assert_eq!(
            value(&named.reduced(&labels(&BUCKET)), NAME),
            "fleet:exits_bucket:sum"
        );
        for wrong in ["", "a b", "1{name}", "{Name}", "{name}-sum"] {
            assert_eq!(
                rule(|config| config.name = wrong.into()).unwrap_err().key,
                "name",
                "{wrong}"
            );
        }
    }

    /// The sum over a metric must not count its machines and their sum.
    #[test]
    fn what_stands_beside_its_originals_has_a_name_of_its_own() {
        let error = rule(|config| config.keep_original = true).unwrap_err();
        assert!(error.to_string().contains("counts everything twice"), "{error}");
        let named = rule(|config| {
            config.keep_original = true;
            config.name = "fleet:{name}".into();
        });
        assert!(named.unwrap().keeps_originals());
    }

    #[test]
    fn the_first_rule_that_takes_a_series_has_it() {
        let of = |selectors: &[&str], op| {
            rule(|config| {
                config.matches = texts(selectors);
                config.op = op;
            })
            .unwrap()
        };
        let rules = [
            of(&["up", "{reason=\"io\",vcpu!~\"[1-9]\"}"], AggregateOp::Max),
            of(&["{instance=~\"vm-.*\"}"], AggregateOp::Sum),
        ];
        let op =
            |pairs: &[(&str, &str)]| AggregateRule::first(&rules, &labels(pairs)).map(|(rule, _)| rule.op());
        assert_eq!(op(&BUCKET), Some(AggregateOp::Max));
        assert_eq!(
            op(&[("__name__", "up"), ("instance", "vm-1")]),
            Some(AggregateOp::Max)
        );
        assert_eq!(
            op(&[("__name__", "x"), ("instance", "vm-1")]),
            Some(AggregateOp::Sum)
        );
        assert_eq!(op(&[("__name__", "x"), ("instance", "host")]), None);
    }

    #[test]
    fn what_is_wrong_names_its_key() {
        let error = rule(|config| config.matches = texts(&["up", "a{b="])).unwrap_err();
        assert_eq!(error.key, "match");
        assert!(error.reason.contains("a value in quotes"), "{error}");
        assert_eq!(rule(|config| config.matches.clear()).unwrap_err().key, "match");
        let error = rule(|config| config.grouping = Grouping::By(texts(&["a-b"]))).unwrap_err();
        assert_eq!(error.to_string(), "by: `a-b` is not a label's name");
        let error = rule(|config| {
            config.matches = texts(&["exits_total{a=\"b\"}"]);
            config.op = AggregateOp::Max;
        });
        assert_eq!(error.unwrap_err().key, "op");
    }
}
