//! Rules that keep, drop and rename series on their way out: Prometheus' relabelling, in its words.
//!
//! - A rule joins the values of its `source_labels` with its `separator`; a label that a series does not have
//!   counts as empty. Its `regex` has to match the whole of that (for `labelkeep`, `labeldrop` and `labelmap`: the
//!   whole name of a label).
//! - `replacement` and `target_label` may hold `$1` or `${name}`, what a group of `regex` took. A label that is
//!   set to an empty text goes.
//! - After the last rule, labels that begin with `__` go, but `__name__`; a series whose name is no metric's goes as well.
//!
//! The meaning of each action is that of `<relabel_config>` in Prometheus' configuration.

use regex::{Regex, RegexBuilder};
use rondo_shm_layout::Labels;
use std::borrow::Cow;

/// The label that a metric's name is in.
pub(super) const NAME: &str = "__name__";

/// Bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelabelAction {
    /// Drops series that do not match.
    Keep,
    /// Drops series that match.
    Drop,
    /// Sets the target label of series that match to the replacement.
    Replace,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Copies the value of labels whose name matches to the label that the replacement names.
    LabelMap,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

impl RelabelAction {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Keep,
        Self::Drop,
        Self::Replace,
        Self::LabelKeep,
        Self::LabelDrop,
        Self::LabelMap,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// Its word in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Replace => "replace",
            Self::LabelKeep => "labelkeep",
            Self::LabelDrop => "labeldrop",
            Self::LabelMap => "labelmap",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelConfig {
    /// What it does.
    pub action: RelabelAction,
    /// Whose values are looked at.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// What they have to match.
    pub regex: String,
    /// What is set.
    pub target_label: Option<String>,
    /// What it is set to.
    pub replacement: String,
}

impl Default for RelabelConfig {
    /// As Prometheus has it: `replace` of all by itself.
    fn default() -> Self {
        Self {
            action: RelabelAction::Replace,
            source_labels: Vec::new(),
            separator: ";".into(),
            regex: "(.*)".into(),
            target_label: None,
            replacement: "$1".into(),
        }
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct RuleError {
    /// The key that is wrong.
    pub key: &'static str,
    /// What was found, and what is accepted.
    pub reason: String,
}

impl RuleError {
    pub(super) fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self {
            key,
            reason: reason.into(),
        }
    }
}

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
        for (name, value) in labels.iter() {
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

/// The value of a label in sorted ones, empty where it is not there.
pub(super) fn value<'l>(labels: &'l Labels, label: &str) -> &'l str {
    labels
        .binary_search_by(|(name, _)| name.as_str().cmp(label))
        .map_or("", |at| &labels[at].1)
}

/// Sets a label in sorted ones, or removes it if the value is empty.
pub(super) fn set(labels: &mut Labels, label: &str, value: String) {
    match labels.binary_search_by(|(name, _)| name.as_str().cmp(label)) {
        Ok(at) if value.is_empty() => drop(labels.remove(at)),
        Ok(at) => labels[at].1 = value,
        Err(_) if value.is_empty() => {}
        Err(at) => labels.insert(at, (label.to_owned(), value)),
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, of any length: with its ending, a name may be longer than one in a slab.
pub(crate) fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`, of any length.
pub(crate) fn is_metric_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.is_empty() && name.bytes().all(is_word) && !name.as_bytes()[0].is_ascii_digit()
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
#[path = "relabel_tests.rs"]
mod tests;
