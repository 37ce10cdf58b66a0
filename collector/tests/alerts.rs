//! The alerts of `contrib/prometheus/`: Prometheus takes them, they fire when they should and not otherwise, and ask for
//! nothing that a collector does not have.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../../tests/src/skip.rs"]
mod skip;

use regex::Regex;
use rondo_collector::exposition::own;
use skip::{has, skip};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/prometheus")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// What a pattern's first group takes in a text.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    let captures = pattern.captures_iter(text);
    captures.map(|found| found[1].to_owned()).collect()
}

#[test]
fn prometheus_takes_the_alerts_and_each_fires_on_its_reason_alone() {
    const NAME: &str = "prometheus_takes_the_alerts_and_each_fires_on_its_reason_alone";
    if !has("promtool") {
        return skip(NAME, "no promtool");
    }
    for arguments in [
        ["check", "rules", "rondo-alerts.yml"],
        ["test", "rules", "rondo-alerts-test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(arguments).current_dir(folder()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

/// An alert whose metric was renamed never fires, and looks as if all were well.
#[test]
fn alerts_ask_for_metrics_that_a_collector_has() {
    let rules = read("rondo-alerts.yml");
    let expressions: String = rules
        .lines()
        .filter(|line| !line.contains("summary:") && !line.contains("description:") && !line.contains('#'))
        .collect();
    let asked = found(r"(rondo_[a-z_]+)", &expressions);
    let known: BTreeSet<String> = own::ALL.iter().map(|one| one.name.to_owned()).collect();
    assert!(asked.len() > 8, "{asked:?}");
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn each_alert_is_tested_and_explained() {
    let alerts = found(r"- alert: (\w+)", &read("rondo-alerts.yml"));
    assert_eq!(
        found(r#"alertname="(\w+)""#, &read("rondo-alerts-test.yml")),
        alerts
    );
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(found(r"\| `(Rondo\w+)` \|", &page), alerts);
}
