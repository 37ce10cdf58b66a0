//! A rule as it is written, and what can be wrong with one.

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
    pub(in crate::export::remote_write) fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self {
            key,
            reason: reason.into(),
        }
    }
}
