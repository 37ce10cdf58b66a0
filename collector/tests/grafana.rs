//! The dashboards in `contrib/grafana`: they are whole, and each of their expressions has data in a real Prometheus.
//!
//! Prometheus runs with the configuration that is there for it, a collector pushes to it with nothing but the flag, and
//! machines record: two with the names of a VMM, of which one ends early, and one of `rondo demo`. Variables are put in as
//! Grafana would. A panel that is empty on a screen is noticed by whoever needs it, at the wrong time.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod dashboards;
mod http_common;
mod prometheus_common;
#[path = "../../tests/src/skip.rs"]
mod skip;

use dashboards::machines::{DemoMachine, Life, Vmms};
use dashboards::question::Question;
use dashboards::{Dashboard, directory, read, scrape_interval, setting};
use prometheus_common::{Collecting, Prometheus, collect, encoded, free_address};
use serde_json::Value;
use skip::has;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// How long data may take to come: rates of scraped series need two scrapes, 15 s apart.
const PATIENCE: Duration = Duration::from_secs(80);

#[test]
fn dashboards_are_as_generated() {
    if !has("python3") {
        return skip::skip("dashboards_are_as_generated", "no python3");
    }
    let said = Command::new("python3")
        .arg("-B")
        .arg(directory().join("generate.py"))
        .arg("--check")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
}

#[test]
fn every_panel_has_title_description_and_unit_and_a_place_of_its_own() {
    for dashboard in read() {
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard.all_panels() {
            let title = panel["title"].as_str().unwrap();
            assert!(
                !title.is_empty() && ids.insert(panel["id"].as_u64().unwrap()),
                "{panel}"
            );
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && x + w <= 24, "{title}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{title} lies on another");
            }
        }
        for panel in dashboard.panels() {
            let title = &panel["title"];
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{title}");
            assert!(
                !panel["fieldConfig"]["defaults"]["unit"]
                    .as_str()
                    .unwrap()
                    .is_empty(),
                "{title}"
            );
            let letters: BTreeSet<&str> = panel["targets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["refId"].as_str().unwrap())
                .collect();
            assert_eq!(
                letters.len(),
                panel["targets"].as_array().unwrap().len(),
                "{title}"
            );
        }
    }
}

#[test]
fn everything_asks_the_data_source_of_the_variable() {
    fn sources<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("datasource"));
                members.values().for_each(|member| sources(member, found));
            }
            Value::Array(members) => members.iter().for_each(|member| sources(member, found)),
            _ => {}
        }
    }
    for dashboard in read() {
        let mut found = Vec::new();
        sources(&dashboard.json, &mut found);
        let expected = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
        assert!(found.iter().all(|one| **one == expected), "{found:?}");
        assert!(found.len() >= dashboard.panels().count() + dashboard.targets().len() + 2);
        let of = dashboard.variable("datasource");
        assert_eq!(
            (&of["type"], &of["query"]),
            (&"datasource".into(), &"prometheus".into())
        );
    }
}

/// `$__rate_interval` follows from it: with a shorter one than the real, rates would have gaps.
#[test]
fn grafana_is_told_the_scrape_interval_that_prometheus_has() {
    assert_eq!(scrape_interval(), setting("prometheus.yml", "scrape_interval"));
}

/// A variable that is misspelt would be sent to Prometheus as it is. A window of fixed length is too short for one
/// scrape interval or another.
#[test]
fn expressions_use_variables_that_there_are_and_no_fixed_rates() {
    for dashboard in read() {
        let known: BTreeSet<&str> = dashboard
            .variables()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        for target in dashboard.targets() {
            for name in target.variables() {
                let is_there = known.contains(name) || ["__rate_interval", "__range"].contains(&name);
                assert!(is_there, "${name} in {}", target.expr);
            }
            for function in ["rate(", "increase("] {
                for (at, _) in target.expr.match_indices(function) {
                    let window = target.expr[at..].split_once('[').unwrap().1;
                    assert!(window.starts_with("$__"), "{}", target.expr);
                }
            }
        }
        let links = dashboard.json["links"].as_array().unwrap();
        let others = read();
        let is_other = |url: &str| {
            others
                .iter()
                .any(|other| url == format!("/d/{}", other.json["uid"].as_str().unwrap()))
        };
        assert!(!links.is_empty() && links.iter().all(|link| is_other(link["url"].as_str().unwrap())));
    }
}

/// The values of a `label_values(SELECTOR, LABEL)`, as Grafana asks for them.
fn label_values(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
    variable: &str,
    scrape_job: &str,
) -> Vec<String> {
    let definition = dashboard.variable(variable)["query"]["query"].as_str().unwrap();
    let inner = definition
        .strip_prefix("label_values(")
        .unwrap()
        .strip_suffix(')')
        .unwrap();
    let (selector, label) = inner.rsplit_once(", ").unwrap();
    let selector = selector.replace("$scrape_job", scrape_job).replace("$job", ".*");
    assert!(!selector.contains('$'), "{selector}");
    let reply = prometheus
        .get(&format!(
            "/api/v1/label/{label}/values?match[]={}",
            encoded(&selector)
        ))
        .unwrap();
    assert_eq!(reply["status"], "success", "{selector}: {reply}");
    serde_json::from_value(reply["data"].clone()).unwrap()
}

/// A collector that pushes to a Prometheus that scrapes it.
struct SetUp {
    bus: TempDir,
    collector: Collecting,
    prometheus: Prometheus,
}

impl SetUp {
    /// With the flag and the file that the README names, and nothing else.
    fn start() -> Self {
        let bus = tempfile::tempdir_in("/dev/shm").unwrap();
        let address = free_address();
        let url = format!("http://{address}/api/v1/write");
        let collector = collect(bus.path(), &["--remote-write", &url]);
        let config = std::fs::read_to_string(directory().join("prometheus.yml")).unwrap();
        assert_eq!(config.matches("127.0.0.1:9190").count(), 2);
        let config = config.replace("127.0.0.1:9190", &collector.address.to_string());
        let prometheus = Prometheus::start(address, &config, &["--web.enable-remote-write-receiver"]);
        Self {
            bus,
            collector,
            prometheus,
        }
    }
}

#[test]
fn every_expression_has_data_in_a_prometheus_that_a_collector_filled() {
    const NAME: &str = "every_expression_has_data_in_a_prometheus_that_a_collector_filled";
    if !has("prometheus") {
        return skip::skip(NAME, "no prometheus");
    }
    let set_up = SetUp::start();
    let prometheus = &set_up.prometheus;
    let lives = vec![Life::new("vm-1", 0, 100), Life::new("vm-2", 0, 22)];
    let vmms = Vmms::start(set_up.bus.path(), lives);
    let demo = DemoMachine::start(set_up.bus.path(), "demo-1", 100);

    let mut open: Vec<Question> = Vec::new();
    let dashboards = read();
    for dashboard in &dashboards {
        // Of one machine's panels, a VMM has some and a demo machine others.
        let instances = match dashboard.json["uid"].as_str().unwrap() {
            "rondo-machine" => vec!["vm-1", "demo-1"],
            _ => vec![".*"],
        };
        let questions = dashboard.targets().into_iter().map(|target| Question {
            target,
            instances: instances.clone(),
        });
        open.extend(questions);
    }
    let (asked, started) = (open.len(), Instant::now());
    assert!(asked > 100, "{asked}");
    let mut reasons = BTreeMap::new();
    while !open.is_empty() {
        std::thread::sleep(Duration::from_secs(1));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        reasons.clear();
        open.retain(|one| match one.ask(prometheus, now) {
            Ok(()) => false,
            Err(why) => {
                reasons.insert(one.target.title.clone(), why);
                true
            }
        });
        assert!(
            open.is_empty() || started.elapsed() < PATIENCE,
            "{} of {asked} expressions have no data: {reasons:#?}\n{}",
            open.len(),
            prometheus.log()
        );
    }

    for dashboard in &dashboards {
        let instances = label_values(prometheus, dashboard, "instance", "rondo-scrape");
        assert_eq!(instances, ["demo-1", "vm-1", "vm-2"]);
        // What was pushed has no job, and is chosen by `.*` all the same; what was scraped is not on offer.
        let no_jobs: [&str; 0] = [];
        assert_eq!(
            label_values(prometheus, dashboard, "job", "rondo-scrape"),
            no_jobs
        );
        assert_eq!(
            label_values(prometheus, dashboard, "job", "another"),
            ["rondo-scrape"]
        );
    }
    let fleet = dashboards
        .iter()
        .find(|one| one.json["uid"] == "rondo-fleet")
        .unwrap();
    let collectors = label_values(prometheus, fleet, "collector", "rondo-scrape");
    assert_eq!(collectors, [set_up.collector.address.to_string()]);
    drop((vmms, demo));
}

/// Not a test of anything: how the pictures in `docs/images` are made, from the same machines, coming and going.
#[test]
#[ignore = "takes five minutes, needs matplotlib, and writes to docs/images; PYTHON names another interpreter"]
fn pictures_for_the_documentation() {
    let set_up = SetUp::start();
    let bus = set_up.bus.path();
    let mut lives = vec![Life::new("vm-1", 0, 300)];
    lives.extend((2..=8).map(|number| Life::new(format!("vm-{number}"), 32 * (number - 2), 45)));
    let vmms = Vmms::start(bus, lives);
    let mut demos = vec![DemoMachine::start(bus, "demo-1", 270)];
    for number in 2..=5 {
        std::thread::sleep(Duration::from_secs(54));
        demos.push(DemoMachine::start(bus, &format!("demo-{number}"), 45));
    }
    std::thread::sleep(Duration::from_secs(70));
    let images = directory().join("../../docs/images");
    std::fs::create_dir_all(&images).unwrap();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    for (dashboard, image, more) in [
        ("rondo-fleet", "fleet", &["--range=300"][..]),
        (
            "rondo-machine",
            "machine",
            &[
                "--range=300",
                "--rows=Now,vCPUs,Block devices,Process",
                "instance=vm-1",
            ],
        ),
        (
            "rondo-machine",
            "short-machine",
            &[
                "--range=150",
                "--rows=1 s bus against 15 s scrape",
                "instance=vm-8",
            ],
        ),
    ] {
        let status = Command::new(&python)
            .arg(directory().join("render.py"))
            .arg(directory().join(format!("{dashboard}.json")))
            .arg(format!("http://{}", set_up.prometheus.address))
            .arg(images.join(format!("{image}.png")))
            .args(more)
            .status()
            .unwrap();
        assert!(status.success(), "{image}");
    }
    drop((vmms, demos));
}
