//! What the collector says of the servers that it pushes to.

use super::family::{Definition, Family, Value};
use super::labels::LabelSet;
use super::own;
use crate::export::remote_write::Tally;
use std::collections::BTreeMap;

/// Why servers refuse samples, why aggregation does not take them as they are, and what becomes of requests, as the help of
/// the three families says.
const REASONS: [&str; 4] = ["too_old", "out_of_order", "duplicate", "other"];
const UNMERGED: [&str; 6] = ["delayed", "late", "unknown", "conflicting", "unusable", "refused"];
const OUTCOMES: [&str; 3] = ["accepted", "refused", "failed"];

/// The families of all destinations, by name; none if there are no destinations.
pub fn push_families(destinations: &[(String, Tally)]) -> Vec<Family> {
    if destinations.is_empty() {
        return Vec::new();
    }
    let of = |definition: Definition, value: &dyn Fn(&Tally) -> f64| {
        let values = destinations.iter().map(|(name, tally)| (name, value(tally)));
        definition.by("destination", values)
    };
    let by = |definition: Definition, label: &str, values: &dyn Fn(&Tally) -> Vec<(&'static str, u64)>| {
        let mut family = definition.family();
        for (name, tally) in destinations {
            for (of, value) in values(tally) {
                let labels = LabelSet::new([("destination", name.as_str()), (label, of)]);
                family.push(labels, Value::Number(value as f64));
            }
        }
        family
    };
    // With a 0 for what has not happened yet: of a series that starts at 1, nobody sees the growth.
    let pairs = |known: &[&'static str], map: &BTreeMap<&'static str, u64>| {
        let mut all: BTreeMap<&'static str, u64> = known.iter().map(|of| (*of, 0)).collect();
        all.extend(map);
        all.into_iter().collect()
    };
    vec![
        of(own::PUSH_UP, &|tally| {
            f64::from(u8::from(tally.problem.is_none()))
        }),
        of(own::PUSH_SAMPLES, &|tally| tally.samples_sent as f64),
        by(own::PUSH_REFUSED, "reason", &|tally| {
            pairs(&REASONS, &tally.samples_refused)
        }),
        of(own::PUSH_CONFLICTS, &|tally| tally.samples_conflicting as f64),
        of(own::PUSH_LOST, &|tally| tally.points_lost as f64),
        of(own::PUSH_TOO_OLD, &|tally| tally.rows_too_old as f64),
        by(own::PUSH_UNMERGED, "reason", &|tally| {
            pairs(&UNMERGED, &tally.samples_unmerged)
        }),
        of(own::PUSH_AHEAD, &|tally| tally.points_ahead as f64),
        by(own::PUSH_REQUESTS, "outcome", &|tally| {
            pairs(&OUTCOMES, &tally.requests)
        }),
        of(own::PUSH_RETRIES, &|tally| tally.retries as f64),
        of(own::PUSH_BYTES, &|tally| tally.bytes_sent as f64),
        of(own::PUSH_NEWEST, &|tally| tally.newest_ms as f64 / 1e3),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Format, Page};

    #[test]
    fn a_destination_is_up_until_something_is_wrong() {
        let broken = Tally {
            problem: Some("nobody listens".into()),
            ..Tally::default()
        };
        let both = [("new".into(), Tally::default()), ("broken".into(), broken)];
        let text = Page::from(push_families(&both)).write(Format::Text);
        for line in [
            "rondo_remote_write_up{destination=\"new\"} 1",
            "rondo_remote_write_up{destination=\"broken\"} 0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    /// `increase()` does not see the first refusal if the series starts with it.
    #[test]
    fn what_has_not_happened_yet_is_there_as_zero() {
        let tally = Tally {
            samples_refused: [("too_old", 7)].into(),
            samples_unmerged: [("late", 3)].into(),
            ..Tally::default()
        };
        let text = Page::from(push_families(&[("here".into(), tally)])).write(Format::Text);
        for (name, label, of, value) in [
            ("samples_refused", "reason", "too_old", 7),
            ("samples_refused", "reason", "other", 0),
            ("samples_unmerged", "reason", "late", 3),
            ("samples_unmerged", "reason", "delayed", 0),
            ("requests", "outcome", "accepted", 0),
            ("requests", "outcome", "failed", 0),
        ] {
            let line =
                format!("rondo_remote_write_{name}_total{{destination=\"here\",{label}=\"{of}\"}} {value}");
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        for (family, values) in [(own::PUSH_REFUSED, &REASONS[..]), (own::PUSH_REQUESTS, &OUTCOMES)] {
            assert!(
                values.iter().all(|value| family.help.contains(value)),
                "{}",
                family.help
            );
        }
    }
}
