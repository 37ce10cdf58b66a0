//! One value of one series, as it goes into a request.

use super::proto::{Histogram, MetricType};
use crate::export::Family;
use crate::exposition::FamilyKind;
use thiserror::Error;

/// Bits of the value that says that a series is over: a NaN that nothing else has.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// One value of one series. Nothing in it is owned, so a batch copies no labels.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// Sorted by name in the order of bytes, unique, none empty: see [`check_labels`].
    pub labels: &'a [(String, String)],
    /// What it belongs to; version 2.0 says it with each series, 1.0 does not say it.
    pub family: Option<&'a Family>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// When it began to count, in milliseconds since the Unix epoch; 0 for not known. Version 2.0 only.
    pub start_ms: i64,
    /// What it was.
    pub value: PointValue<'a>,
}

/// What a series was.
#[derive(Debug, Clone, Copy)]
pub enum PointValue<'a> {
    /// A number; NaN with [`STALE_BITS`] if the series is over.
    Number(f64),
    /// A native histogram, whose own stamps count, not those of the point.
    Histogram(&'a Histogram),
}

impl PointValue<'_> {
    /// What says that a series is over.
    pub fn stale() -> Self {
        Self::Number(f64::from_bits(STALE_BITS))
    }
}

impl From<FamilyKind> for MetricType {
    fn from(kind: FamilyKind) -> Self {
        match kind {
            FamilyKind::Gauge => Self::Gauge,
            FamilyKind::Counter => Self::Counter,
            FamilyKind::Summary => Self::Summary,
            FamilyKind::Histogram => Self::Histogram,
        }
    }
}

/// Why a series cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelsError {
    /// Nothing to know it by.
    #[error("a series has no labels")]
    None,
    /// Prometheus takes an empty label for one that is not there.
    #[error("a label of a series has no name")]
    EmptyName,
    /// Likewise.
    #[error("label {0:?} of a series is empty")]
    EmptyValue(String),
    /// Servers look labels up as if they were sorted.
    #[error(
        "label {later:?} of a series stands after {earlier:?}; labels are sorted by name, and each is there once"
    )]
    Order {
        /// What stands first.
        earlier: String,
        /// What stands after it, and should not.
        later: String,
    },
}

/// Whether labels are as both versions want them: sorted by name in the order of bytes, unique, no name or value empty.
///
/// # Errors
/// Says which label breaks which rule.
pub fn check_labels(labels: &[(String, String)]) -> Result<(), LabelsError> {
    if labels.is_empty() {
        return Err(LabelsError::None);
    }
    let mut earlier: Option<&str> = None;
    for (name, value) in labels {
        if name.is_empty() {
            return Err(LabelsError::EmptyName);
        }
        if value.is_empty() {
            return Err(LabelsError::EmptyValue(name.clone()));
        }
        if let Some(earlier) = earlier.filter(|earlier| *earlier >= name.as_str()) {
            return Err(LabelsError::Order {
                earlier: earlier.to_owned(),
                later: name.clone(),
            });
        }
        earlier = Some(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    }

    #[test]
    fn labels_are_sorted_unique_and_never_empty() {
        assert_eq!(
            check_labels(&labels(&[("A", "1"), ("__name__", "x"), ("a", "1")])),
            Ok(())
        );
        assert_eq!(check_labels(&[]), Err(LabelsError::None));
        assert_eq!(check_labels(&labels(&[("", "x")])), Err(LabelsError::EmptyName));
        let empty = check_labels(&labels(&[("a", "")]));
        assert_eq!(empty, Err(LabelsError::EmptyValue("a".into())));
        for wrong in [
            [("a", "1"), ("a", "2")],
            [("b", "1"), ("a", "1")],
            [("a", "1"), ("B", "1")],
        ] {
            let error = check_labels(&labels(&wrong)).unwrap_err();
            assert!(matches!(error, LabelsError::Order { .. }), "{error}");
        }
    }
}
