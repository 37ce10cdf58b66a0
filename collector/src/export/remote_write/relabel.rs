//! Rules that keep, drop and rename series on their way out: Prometheus' relabelling, in its words.
//!
//! - A rule joins the values of its `source_labels` with its `separator`; a label that a series does not have counts
//!   as empty. Its `regex` has to match the whole of that (for `labelkeep`, `labeldrop` and `labelmap`: the whole
//!   name of a label).
//! - `replacement` and `target_label` may hold `$1` or `${name}`, what a group of `regex` took. A label that is set
//!   to an empty text goes.
//! - After the last rule, labels that begin with `__` go, but `__name__`; a series whose name is no metric's goes as
//!   well.
//!
//! The meaning of each action is that of `<relabel_config>` in Prometheus' configuration.

mod config;

pub use config::{RelabelAction, RelabelConfig, RuleError};

use super::labels::{NAME, is_label_name, is_metric_name, set, value};
use regex::{Regex, RegexBuilder};
use rondo_shm_layout::Labels;
use std::borrow::Cow;

/// Bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A rule, ready to be applied.
#[derive(Debug, Clone)]
pub struct RelabelRule {
    config: RelabelConfig,
    regex: Regex,
    /// Whether it is known from the start where the result goes and what it is.
    is_fixed: bool,
}

/// A rule is what it was written as.
impl PartialEq for RelabelRule {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

impl Eq for RelabelRule {}

impl RelabelRule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// The first of its keys that is wrong, missing, or of no use to its action.
    pub fn new(config: RelabelConfig) -> Result<Self, RuleError> {
        use RelabelAction as Action;
        let action = config.action.name();
        if let Some(label) = config.source_labels.iter().find(|label| !is_label_name(label)) {
            return Err(RuleError::new(
                "source_labels",
                format!("`{label}` is not a label's name"),
            ));
        }
        let regex = anchored(&config.regex)?;
        match config.action {
            Action::Replace | Action::Lowercase | Action::Uppercase => {
                let Some(target) = &config.target_label else {
                    return Err(RuleError::new("target_label", format!("{action} needs one")));
                };
                let is_template = config.action == Action::Replace && target.contains('$');
                if !is_template && !is_label_name(target) {
                    return Err(RuleError::new(
                        "target_label",
                        format!("`{target}` is not a label's name"),
                    ));
                }
            }
            Action::Keep | Action::Drop if config.source_labels.is_empty() => {
                return Err(RuleError::new(
                    "source_labels",
                    format!("{action} needs at least one"),
                ));
            }
            Action::LabelKeep | Action::LabelDrop | Action::LabelMap if !config.source_labels.is_empty() => {
                let reason = format!("{action} looks at the names of all labels; remove it");
                return Err(RuleError::new("source_labels", reason));
            }
            _ => {}
        }
        for (key, template) in [
            ("replacement", Some(&config.replacement)),
            ("target_label", config.target_label.as_ref()),
        ] {
            // The default is Prometheus' and may refer to what is not there.
            let template = template
                .filter(|template| *template != "$1")
                .map_or("", String::as_str);
            let missing = groups(template).find(|group| !has_group(&regex, group));
            if let Some(group) = missing {
                let reason = format!(
                    "`{template}` refers to a group `{group}` that the regex does not have; \
                     ${{1}} is the first one, also before letters, and $$ is a dollar sign"
                );
                return Err(RuleError::new(key, reason));
            }
        }
        let is_fixed = !config.replacement.contains('$')
            && !config
                .target_label
                .as_ref()
                .is_some_and(|target| target.contains('$'));
        Ok(Self {
            config,
            regex,
            is_fixed,
        })
    }

    /// The rule as it was written.
    pub fn config(&self) -> &RelabelConfig {
        &self.config
    }

    /// Whether the series stays.
    fn apply(&self, labels: &mut Labels) -> bool {
        use RelabelAction as Action;
        let is_name = |name: &str| self.regex.is_match(name);
        match self.config.action {
            Action::Keep => return self.regex.is_match(&self.source(labels)),
            Action::Drop => return !self.regex.is_match(&self.source(labels)),
            Action::LabelKeep => labels.retain(|(name, _)| is_name(name)),
            Action::LabelDrop => labels.retain(|(name, _)| !is_name(name)),
            Action::LabelMap => self.map(labels),
            Action::Replace => self.replace(labels),
            Action::Lowercase => self.set_target(labels, |source| source.to_lowercase()),
            Action::Uppercase => self.set_target(labels, |source| source.to_uppercase()),
        }
        true
    }

    /// The values that it looks at; a copy only of several.
    fn source<'l>(&self, labels: &'l Labels) -> Cow<'l, str> {
        let mut values = self.config.source_labels.iter().map(|label| value(labels, label));
        match (values.next(), values.len()) {
            (None, _) => Cow::Borrowed(""),
            (Some(one), 0) => Cow::Borrowed(one),
            (Some(first), _) => {
                let mut joined = first.to_owned();
                for value in values {
                    joined.push_str(&self.config.separator);
                    joined.push_str(value);
                }
                Cow::Owned(joined)
            }
        }
    }

    fn replace(&self, labels: &mut Labels) {
        let source = self.source(labels);
        let target = self.config.target_label.as_deref().unwrap_or_default();
        if self.is_fixed {
            if self.regex.is_match(&source) {
                drop(source);
                set(labels, target, self.config.replacement.clone());
            }
            return;
        }
        // Tells without an allocation, and most series are none of the rule's.
        if !self.regex.is_match(&source) {
            return;
        }
        let Some(groups) = self.regex.captures(&source) else {
            return;
        };
        let (mut name, mut text) = (String::new(), String::new());
        groups.expand(target, &mut name);
        groups.expand(&self.config.replacement, &mut text);
        drop(groups);
        drop(source);
        if is_label_name(&name) {
            set(labels, &name, text);
        }
    }

    fn map(&self, labels: &mut Labels) {
        let mut copies = Vec::new();
        // As in `replace`: most labels are none of the rule's.
        for (name, value) in labels.iter().filter(|(name, _)| self.regex.is_match(name)) {
            if let Some(groups) = self.regex.captures(name) {
                let mut to = String::new();
                groups.expand(&self.config.replacement, &mut to);
                if is_label_name(&to) {
                    copies.push((to, value.clone()));
                }
            }
        }
        for (name, value) in copies {
            set(labels, &name, value);
        }
    }

    fn set_target(&self, labels: &mut Labels, change: impl Fn(&str) -> String) {
        let changed = change(&self.source(labels));
        set(
            labels,
            self.config.target_label.as_deref().unwrap_or_default(),
            changed,
        );
    }
}

/// What becomes of a series' labels, sorted and with a `__name__`, by the rules in turn; `None` if the series is
/// dropped. The result is sorted and unique.
///
/// A rule that does not match allocates nothing, but for the joined text of several source labels.
pub fn relabel(rules: &[RelabelRule], mut labels: Labels) -> Option<Labels> {
    if rules.iter().any(|rule| !rule.apply(&mut labels)) {
        return None;
    }
    labels.retain(|(name, _)| !name.starts_with("__") || name == NAME);
    is_metric_name(value(&labels, NAME)).then_some(labels)
}

/// A regular expression that matches whole texts, in which `.` is any character, as in Prometheus.
fn anchored(pattern: &str) -> Result<Regex, RuleError> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
    };
    // By itself first: `a)|(b` would pass between parentheses.
    let regex = build(pattern).and_then(|_| build(&format!("^(?s:{pattern})$")));
    regex.map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too big".to_owned(),
            error => {
                // The last line says what is wrong, those before it show where.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!(
                    "`{pattern}` is not a regular expression: {}",
                    last.trim_start_matches("error: ")
                )
            }
        };
        RuleError::new("regex", reason)
    })
}

/// The groups that a template refers to.
fn groups(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = template;
    std::iter::from_fn(move || {
        loop {
            let after = &rest[rest.find('$')? + 1..];
            if let Some(escaped) = after.strip_prefix('$') {
                rest = escaped;
                continue;
            }
            let (group, next) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}')?,
                None => {
                    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    after.split_at(after.find(|c| !is_word(c)).unwrap_or(after.len()))
                }
            };
            rest = next;
            if !group.is_empty() {
                return Some(group);
            }
        }
    })
}

fn has_group(regex: &Regex, group: &str) -> bool {
    match group.parse::<usize>() {
        Ok(number) => number < regex.captures_len(),
        Err(_) => regex.capture_names().flatten().any(|name| name == group),
    }
}

#[cfg(test)]
mod tests;
