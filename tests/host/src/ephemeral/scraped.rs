//! A real Prometheus that scrapes each machine in several ways, and what it knows of them afterwards.

use super::machine::{Machine, TICKED, counted};
use super::summary::Captured;
use super::targets::Targets;
use anyhow::{Context, Result};
use rondo_tests::servers::Server;
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use tempfile::TempDir;

/// A way to scrape: a job of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Job {
    /// From one scrape to the next.
    pub interval_s: u64,
    /// Whether the target is written down before the machine starts, so that Prometheus is ready when it does.
    pub in_advance: bool,
}

impl Job {
    /// What is asked for, what would be fair to rondo's second, and the best case of each.
    pub const ALL: [Self; 6] = [
        Self::new(1, true),
        Self::new(1, false),
        Self::new(15, true),
        Self::new(15, false),
        Self::new(30, true),
        Self::new(30, false),
    ];

    const fn new(interval_s: u64, in_advance: bool) -> Self {
        Self {
            interval_s,
            in_advance,
        }
    }

    /// What Prometheus calls it.
    fn name(self) -> String {
        let how = if self.in_advance { "announced" } else { "found" };
        format!("{how}-{}s", self.interval_s)
    }

    /// What tables say.
    pub fn title(self) -> String {
        let how = if self.in_advance { ", announced" } else { "" };
        format!("Prometheus, {} s{how}", self.interval_s)
    }
}

/// The server, and the files by which it finds machines.
pub struct Scraper {
    server: Server,
    /// Those that live.
    pub found: Targets,
    /// Those, and those that will live soon.
    pub announced: Targets,
    _directory: TempDir,
}

impl Scraper {
    /// Starts it; nothing is scraped yet.
    ///
    /// # Errors
    /// There is no room for its files.
    pub fn start(exporter: SocketAddr) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let targets = |name| Targets::create(directory.path().join(name), exporter);
        let (found, announced) = (targets("found.json")?, targets("announced.json")?);
        let jobs = Job::ALL.map(|job| {
            let targets = if job.in_advance { &announced } else { &found };
            format!(
                "- job_name: {}\n  scrape_interval: {s}s\n  scrape_timeout: {timeout_s}s\n  file_sd_configs:\n  - files: [\"{}\"]\n",
                job.name(),
                targets.path().display(),
                s = job.interval_s,
                timeout_s = job.interval_s.min(10),
            )
        });
        let server = Server::prometheus(&format!("scrape_configs:\n{}", jobs.concat()));
        Ok(Self {
            server,
            found,
            announced,
            _directory: directory,
        })
    }

    /// What it knows of a machine by each job, in the order of [`Job::ALL`]. The values of [`TICKED`] are one for each scrape that succeeded; totals are what it answers
    /// for the machine's life, from the start of its process to the end, asked at the end.
    ///
    /// # Errors
    /// An answer is not as documented.
    pub fn captured(&self, machine: &Machine) -> Result<[Captured; 6]> {
        let life_ms = machine.ended_ms - machine.born_ms;
        let matcher = format!(",instance=\"{}\"", machine.instance);
        let range = format!("{}[{life_ms}ms]", counted(&matcher));
        let increases = self.by_job(&format!("sum by (job) (increase({range}))"), machine)?;
        let lasts = self.by_job(&format!("sum by (job) (last_over_time({range}))"), machine)?;
        let selector = format!("{TICKED}{{instance=\"{}\"}}[{life_ms}ms]", machine.instance);
        let mut stamps = HashMap::<String, Vec<i64>>::new();
        for (labels, column) in self.server.samples(&selector, machine.ended_ms) {
            let job = labels.into_iter().find(|(name, _)| name == "job");
            let column = column.into_iter().map(|(stamp_ms, _)| stamp_ms);
            stamps
                .entry(job.context("a series has no job")?.1)
                .or_default()
                .extend(column);
        }
        Ok(Job::ALL.map(|job| {
            let stamps = stamps.get(&job.name()).map_or(&[][..], Vec::as_slice);
            Captured {
                points: stamps.len() as u64,
                increase: increases.get(&job.name()).copied(),
                last: lasts.get(&job.name()).copied(),
                seen_after_s: stamps
                    .iter()
                    .min()
                    .map(|first_ms| (first_ms - machine.born_ms) as f64 / 1e3),
            }
        }))
    }

    fn by_job(&self, expression: &str, machine: &Machine) -> Result<HashMap<String, f64>> {
        let answer = self.server.query(expression, machine.ended_ms);
        let each = answer.iter().map(|series| {
            let job = series["metric"]["job"].as_str();
            let value = series["value"][1].as_str().and_then(|value| value.parse().ok());
            job.map(str::to_owned).zip(value)
        });
        each.collect::<Option<_>>()
            .with_context(|| format!("{expression}: {answer:?}"))
    }
}
