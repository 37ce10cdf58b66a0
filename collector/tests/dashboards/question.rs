//! Whether an expression of a panel has data.

use super::Target;
use crate::prometheus_common::{Prometheus, encoded};
use serde_json::Value;

/// The time range that is shown.
const RANGE_SECONDS: u64 = 120;

/// An expression of a panel, asked for one machine after the other until one has data.
pub struct Question {
    pub target: Target,
    /// What the variable `instance` may be.
    pub instances: Vec<&'static str>,
}

impl Question {
    /// Why there is nothing, or `Ok` when a machine has numbers in all series that come, and labels for its legend.
    pub fn ask(&self, prometheus: &Prometheus, now: f64) -> Result<(), String> {
        let mut why = String::new();
        for instance in &self.instances {
            let expr = self.target.expression(instance, RANGE_SECONDS);
            let query = encoded(&expr);
            let path = if self.target.is_instant {
                format!("/api/v1/query?query={query}&time={now}")
            } else {
                let (start, step) = (now - RANGE_SECONDS as f64, self.target.step_seconds);
                format!("/api/v1/query_range?query={query}&start={start}&end={now}&step={step}")
            };
            let Some(reply) = prometheus.get(&path) else {
                return Err("Prometheus does not answer".into());
            };
            // It will not get better.
            assert_eq!(
                reply["status"], "success",
                "{}: {expr}: {reply}",
                self.target.title
            );
            let results = reply["data"]["result"].as_array().unwrap();
            if results.iter().any(has_number) {
                for label in self.target.legend_labels() {
                    let all = results.iter().all(|one| one["metric"][label].is_string());
                    assert!(all, "{}: a series without {label}: {reply}", self.target.title);
                }
                return Ok(());
            }
            why = format!("{expr} gives {} series, and no number", results.len());
        }
        Err(why)
    }
}

fn has_number(series: &Value) -> bool {
    let of = |sample: &Value| {
        sample[1]
            .as_str()
            .and_then(|text| text.parse().ok())
            .is_some_and(|x: f64| !x.is_nan())
    };
    of(&series["value"]) || series["values"].as_array().is_some_and(|all| all.iter().any(of))
}
