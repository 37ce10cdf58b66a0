//! The loop's core: a [`Collector`], shared with whoever answers queries.
//!
//! Passes have the collector for themselves; queries share it between passes. A pass that has to wait for a query is late
//! by that, and loses nothing: slabs hold minutes.

use crate::collect::core::{Core, Report, Tick};
use crate::collect::settings::Settings;
use crate::collect::{listen::Listen, pages::Pages, pushes::Pushes};
use crate::collector::{Collector, CollectorSettings, PassReport};
use crate::exposition::Tally;
use crate::http;
use crate::show;
use crate::store::{ArchiveSettings, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// A collector that passes are made with, and that others may look at.
pub struct Collecting {
    collector: Arc<RwLock<Collector>>,
    server: Option<http::Server>,
    pushes: Pushes,
    status: Arc<Status>,
}

/// How passes go, for those who must not wait for one.
#[derive(Debug)]
pub(crate) struct Status(Mutex<Passes>);

#[derive(Debug)]
struct Passes {
    durations: Tally,
    missed_count: u64,
    last: Option<(Instant, i128)>,
    last_seconds: f64,
    lag: Duration,
    live_count: u64,
    problems: Vec<String>,
}

impl Status {
    fn new() -> Self {
        Self(Mutex::new(Passes {
            durations: Tally::new(Tally::SECONDS),
            missed_count: 0,
            last: None,
            last_seconds: 0.0,
            lag: Duration::ZERO,
            live_count: 0,
            problems: Vec::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Passes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the last pass ended.
    pub(crate) fn last_pass(&self) -> Option<Instant> {
        self.lock().last.map(|(at, _)| at)
    }

    /// How long passes took, and how many were missed.
    pub(crate) fn passes(&self) -> (Tally, u64) {
        let passes = self.lock();
        (passes.durations.clone(), passes.missed_count)
    }

    /// What the last pass said.
    pub(crate) fn health(&self) -> http::Health {
        let passes = self.lock();
        http::Health {
            problems: passes.problems.clone(),
            lag_seconds: passes.lag.as_secs_f64(),
            last_pass_ns: passes.last.map(|(_, wall_ns)| wall_ns),
            pass_seconds: passes.last_seconds,
            live_slabs: passes.live_count,
        }
    }
}

impl Collecting {
    /// Opens the store, begins to push, and listens.
    ///
    /// # Errors
    /// Those of the store, or the address cannot be listened on.
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let collector = Collector::open(
            CollectorSettings {
                bus: settings.bus.clone(),
                store: settings.store.clone(),
                archives: ArchiveSettings {
                    budget_bytes: settings.store_budget_bytes,
                    ..ArchiveSettings::default()
                },
                keep: settings.keep,
                limits: settings.limits,
            },
            Instant::now(),
        )?;
        let (collector, status) = (Arc::new(RwLock::new(collector)), Arc::new(Status::new()));
        let pushes = Pushes::start(settings, &collector);
        Ok(Self {
            server: serve(settings, &collector, &status, &pushes)?,
            collector,
            pushes,
            status,
        })
    }

    /// A panic in a query cannot have left anything half done: queries only read.
    fn collector(&self) -> RwLockWriteGuard<'_, Collector> {
        self.collector.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(
    settings: &Settings,
    collector: &Arc<RwLock<Collector>>,
    status: &Arc<Status>,
    pushes: &Pushes,
) -> anyhow::Result<Option<http::Server>> {
    let listen = &settings.listen;
    if *listen == Listen::Nowhere {
        return Ok(None);
    }
    let pages = Pages {
        collector: collector.clone(),
        status: status.clone(),
        board: pushes.board().clone(),
        store: settings.store.clone(),
        info: Mutex::new(None),
    };
    let server = http::serve(listen, Arc::new(pages), http::Limits::default())?;
    tracing::info!("answering on {}", server.local_addr());
    Ok(Some(server))
}

/// What a pass could not do, if that was all of it.
fn result(report: PassReport) -> anyhow::Result<()> {
    report.errors.into_iter().next().map_or(Ok(()), Err)
}

impl Core for Collecting {
    fn attach(&mut self) -> anyhow::Result<()> {
        result(self.collector().discover())
    }

    fn pass(&mut self, tick: &Tick) -> anyhow::Result<Report> {
        let started = Instant::now();
        let mut collector = self.collector();
        let report = collector.pass(started, tick.bus_changed);
        if report.attached + report.ended + report.unlinked > 0 {
            tracing::info!(
                "{} slabs came, {} machines ended, {} slabs removed",
                report.attached,
                report.ended,
                report.unlinked
            );
        }
        let states = collector.states();
        // What is wrong with single slabs is theirs; a store that fails is everybody's.
        let is_of_store = |error: &&anyhow::Error| error.downcast_ref::<StoreError>().is_some();
        let store_problems = report
            .errors
            .iter()
            .filter(is_of_store)
            .map(|error| format!("{error:#}"))
            .collect();
        let report = Report {
            live_count: states.live + states.stuck,
            ended_count: states.ended,
            refused_count: states.refused,
            errors: report.errors,
        };
        tracing::debug!("{report}");
        let mut passes = self.status.lock();
        passes.last_seconds = started.elapsed().as_secs_f64();
        let seconds = passes.last_seconds;
        passes.durations.observe(seconds);
        passes.missed_count = tick.missed_count;
        passes.last = Some((Instant::now(), show::wall_now_ns()));
        passes.lag = collector.lag();
        passes.live_count = report.live_count;
        passes.problems = store_problems;
        drop(passes);
        drop(collector);
        self.pushes.wake();
        Ok(report)
    }

    fn reload(&mut self, settings: &Settings) {
        self.collector().reconfigure(settings.keep, settings.limits);
        self.pushes.reload(settings);
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.shutdown();
        }
        self.pushes.stop();
        result(self.collector().finish(Instant::now()))
    }
}
