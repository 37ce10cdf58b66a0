//! Rules about series: `relabel` and `aggregate`.

use crate::collect::file::FileError;
use crate::collect::section::Section;
use crate::export::remote_write::{
    AggregateConfig, AggregateOp, AggregateRule, Grouping, RelabelAction, RelabelConfig, RelabelRule,
};

/// Keys of a rule that keeps, drops and renames.
pub(super) const RELABEL_KEYS: [&str; 6] = [
    "action",
    "source_labels",
    "separator",
    "regex",
    "target_label",
    "replacement",
];

/// Keys of a rule that makes one series of many machines'.
pub(super) const AGGREGATE_KEYS: [&str; 6] = ["match", "by", "without", "op", "name", "keep_original"];

/// Rules that keep, drop and rename.
pub(super) fn relabel(section: &Section<'_>) -> Result<Vec<RelabelRule>, FileError> {
    let rule = |rule: &Section<'_>| {
        rule.only(&RELABEL_KEYS)?;
        let defaults = RelabelConfig::default();
        let action = rule.parsed("action", |text| {
            choice(text, &RelabelAction::ALL, RelabelAction::name)
        })?;
        let config = RelabelConfig {
            action: action.unwrap_or(defaults.action),
            source_labels: rule.texts("source_labels")?.unwrap_or(defaults.source_labels),
            separator: rule.text("separator")?.unwrap_or(defaults.separator),
            regex: rule.text("regex")?.unwrap_or(defaults.regex),
            target_label: rule.text("target_label")?,
            replacement: rule.text("replacement")?.unwrap_or(defaults.replacement),
        };
        RelabelRule::new(config).map_err(|error| rule.wrong(error.key, error.reason))
    };
    section.sections("relabel")?.iter().map(rule).collect()
}

/// Rules that make one series of many machines'.
pub(super) fn aggregate(section: &Section<'_>) -> Result<Vec<AggregateRule>, FileError> {
    let rule = |rule: &Section<'_>| {
        rule.only(&AGGREGATE_KEYS)?;
        let defaults = AggregateConfig::default();
        let grouping = match (rule.texts("by")?, rule.texts("without")?) {
            (Some(_), Some(_)) => {
                return Err(rule.wrong("by", "there is a without, too; one of them is accepted"));
            }
            (Some(by), None) => Grouping::By(by),
            (None, Some(without)) => Grouping::Without(without),
            (None, None) => defaults.grouping,
        };
        let Some(matches) = rule.texts("match")? else {
            return Err(rule.wrong(
                "match",
                "it is missing; a selector is accepted, and {} takes every series",
            ));
        };
        let op = rule.parsed("op", |text| choice(text, &AggregateOp::ALL, AggregateOp::name))?;
        let config = AggregateConfig {
            matches,
            grouping,
            op: op.unwrap_or(defaults.op),
            name: rule.text("name")?.unwrap_or(defaults.name),
            keep_original: rule.boolean("keep_original")?.unwrap_or(defaults.keep_original),
        };
        AggregateRule::new(config).map_err(|error| rule.wrong(error.key, error.reason))
    };
    section.sections("aggregate")?.iter().map(rule).collect()
}

/// One of several, by its name.
fn choice<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|&one| name(one) == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&one| name(one)).collect();
        format!("`{text}` is not known; {} are accepted", names.join(", "))
    })
}
