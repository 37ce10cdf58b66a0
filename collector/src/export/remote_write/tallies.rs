//! What a destination has had, for those who look from outside.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one destination has had since it was started. Shared with the thread that sends.
#[derive(Debug, Default)]
pub struct Tallies(Mutex<Tally>);

/// The same, at a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Samples in requests that the server took.
    pub samples_sent: u64,
    /// Bytes of the bodies of all requests, retries included.
    pub bytes_sent: u64,
    /// Requests by what became of them: `accepted`, `refused` for good, or `failed`, and tried again.
    pub requests: BTreeMap<&'static str, u64>,
    /// Samples that the server refused for good, or says that it did not write, by the reason it gives.
    pub samples_refused: BTreeMap<&'static str, u64>,
    /// Attempts after the first.
    pub retries: u64,
    /// Points that were overwritten or damaged in the store before they left.
    pub points_lost: u64,
    /// Rows that were older than `max_age`.
    pub rows_too_old: u64,
    /// Samples left out since another series has the same labels.
    pub samples_conflicting: u64,
    /// Points in the store that have not left.
    pub points_ahead: u64,
    /// Stamp of the newest sample that the server took.
    pub newest_ms: i64,
    /// What is wrong at present.
    pub problem: Option<String>,
}

impl Tallies {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is now.
    pub fn get(&self) -> Tally {
        self.lock().clone()
    }
}

/// Why a server refused samples, from what it says: servers have no codes for it.
pub(super) fn reason(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    let reasons = [
        (
            "too_old",
            &["out of bounds", "too old", "too far in the past"][..],
        ),
        ("out_of_order", &["out of order", "out-of-order"]),
        ("duplicate", &["duplicate"]),
    ];
    let has = |(_, words): &&(&str, &[&str])| words.iter().any(|word| text.contains(word));
    reasons.iter().find(has).map_or("other", |(reason, _)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are those of Prometheus 2.42 and Mimir 2.
    #[test]
    fn reasons_are_read_from_what_servers_say() {
        for (text, expected) in [
            ("out of bounds", "too_old"),
            ("too old sample", "too_old"),
            ("out of order sample", "out_of_order"),
            ("duplicate sample for timestamp", "duplicate"),
            ("user=1: err: out-of-order sample. timestamp=…", "out_of_order"),
            ("label value too long", "other"),
        ] {
            assert_eq!(reason(text), expected, "{text}");
        }
    }
}
