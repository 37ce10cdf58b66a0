//! Dashboards as their files have them, and what of an expression Grafana replaces before it asks.

pub mod machines;
pub mod question;

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where they are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/grafana")
}

/// All of them.
pub fn read() -> Vec<Dashboard> {
    let files = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let jsons = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let found: Vec<Dashboard> = jsons
        .map(|path| Dashboard {
            json: serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap(),
        })
        .collect();
    assert_eq!(found.len(), 2);
    found
}

/// What a file there says after `key:`, the first time.
pub fn setting(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(directory().join(file)).unwrap();
    let start = format!("{key}: ");
    let found = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(&start));
    found.unwrap().to_owned()
}

/// The scrape interval that Grafana is told.
pub fn scrape_interval() -> String {
    setting("provisioning/datasources/prometheus.yaml", "timeInterval")
}

pub struct Dashboard {
    pub json: Value,
}

impl Dashboard {
    /// Rows among them.
    pub fn all_panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().unwrap().iter()
    }

    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.all_panels().filter(|panel| panel["type"] != "row")
    }

    pub fn variables(&self) -> impl Iterator<Item = &Value> {
        self.json["templating"]["list"].as_array().unwrap().iter()
    }

    pub fn variable(&self, name: &str) -> &Value {
        self.variables().find(|one| one["name"] == name).unwrap()
    }

    pub fn targets(&self) -> Vec<Target> {
        let of_panel = |panel: &Value| {
            let title = panel["title"].as_str().unwrap().to_owned();
            let targets = panel["targets"].as_array().unwrap().clone();
            assert!(!targets.is_empty(), "{title}");
            targets.into_iter().map(move |json| Target::new(&title, &json))
        };
        self.panels().flat_map(of_panel).collect()
    }
}

/// One expression of a panel.
pub struct Target {
    pub title: String,
    pub expr: String,
    legend: String,
    pub is_instant: bool,
    /// Its "min step", or the data source's scrape interval.
    pub step_seconds: u64,
}

impl Target {
    fn new(title: &str, json: &Value) -> Self {
        let step = json["interval"]
            .as_str()
            .map_or_else(scrape_interval, str::to_owned);
        Self {
            title: title.to_owned(),
            expr: json["expr"].as_str().unwrap().to_owned(),
            legend: json["legendFormat"].as_str().unwrap().to_owned(),
            is_instant: json["instant"] == true,
            step_seconds: step.strip_suffix('s').unwrap().parse().unwrap(),
        }
    }

    /// Names of the variables in it.
    pub fn variables(&self) -> Vec<&str> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = self.expr.split('$').skip(1);
        starts
            .map(|rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
            .collect()
    }

    /// Labels that its legend names.
    pub fn legend_labels(&self) -> Vec<&str> {
        let starts = self.legend.split("{{").skip(1);
        starts.map(|rest| rest.split_once("}}").unwrap().0).collect()
    }

    /// As it is asked. Of a range that is shorter than a scrape interval per pixel, `$__interval` is that interval, and
    /// `$__rate_interval`, the greater of `$__interval` and one of it or of four of it, is four of it.
    pub fn expression(&self, instance: &str, range_seconds: u64) -> String {
        let rate_interval = format!("{}s", 4 * self.step_seconds);
        let range = format!("{range_seconds}s");
        let values = [
            ("$__rate_interval", rate_interval.as_str()),
            ("$__range", &range),
            ("$scrape_job", "rondo-scrape"),
            ("$job", ".*"),
            ("$instance", instance),
            ("$collector", ".*"),
        ];
        let put_in = |expr: String, (name, value): (&str, &str)| expr.replace(name, value);
        values.into_iter().fold(self.expr.clone(), put_in)
    }
}
