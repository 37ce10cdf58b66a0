//! What the collector says of the servers that it pushes to.

use super::family::{Definition, Family, Value};
use super::labels::LabelSet;
use super::own;
use crate::export::remote_write::Tally;

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
    let pairs =
        |map: &std::collections::BTreeMap<&'static str, u64>| map.iter().map(|(k, v)| (*k, *v)).collect();
    vec![
        of(own::PUSH_SAMPLES, &|tally| tally.samples_sent as f64),
        by(own::PUSH_REFUSED, "reason", &|tally| {
            pairs(&tally.samples_refused)
        }),
        of(own::PUSH_CONFLICTS, &|tally| tally.samples_conflicting as f64),
        of(own::PUSH_LOST, &|tally| tally.points_lost as f64),
        of(own::PUSH_TOO_OLD, &|tally| tally.rows_too_old as f64),
        of(own::PUSH_AHEAD, &|tally| tally.points_ahead as f64),
        by(own::PUSH_REQUESTS, "outcome", &|tally| pairs(&tally.requests)),
        of(own::PUSH_RETRIES, &|tally| tally.retries as f64),
        of(own::PUSH_BYTES, &|tally| tally.bytes_sent as f64),
        of(own::PUSH_NEWEST, &|tally| tally.newest_ms as f64 / 1e3),
    ]
}
