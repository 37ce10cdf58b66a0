//! The loop's core: a [`Collector`], shared with whoever answers queries.
//!
//! Passes have the collector for themselves; queries share it between passes. A pass that has to wait for a query is late
//! by that, and loses nothing: slabs hold minutes.

use crate::collect::core::{Core, Report, Tick};
use crate::collect::settings::Settings;
use crate::collector::{Collector, CollectorSettings, PassReport};
use crate::store::{ArchiveSettings, StoreError};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Instant;

/// A collector that passes are made with, and that others may look at.
pub struct Collecting {
    collector: Arc<RwLock<Collector>>,
}

impl Collecting {
    /// Opens the store.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
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
        Ok(Self {
            collector: Arc::new(RwLock::new(collector)),
        })
    }

    /// The collector, for queries.
    pub fn shared(&self) -> Arc<RwLock<Collector>> {
        self.collector.clone()
    }

    /// A panic in a query cannot have left anything half done: queries only read.
    fn collector(&self) -> RwLockWriteGuard<'_, Collector> {
        self.collector.write().unwrap_or_else(PoisonError::into_inner)
    }
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
        let mut collector = self.collector();
        let report = collector.pass(Instant::now(), tick.bus_changed);
        if report.attached + report.ended + report.unlinked > 0 {
            tracing::info!(
                "{} slabs came, {} machines ended, {} slabs removed",
                report.attached,
                report.ended,
                report.unlinked
            );
        }
        let states = collector.states();
        let report = Report {
            live_count: states.live + states.stuck,
            ended_count: states.ended,
            refused_count: states.refused,
            errors: report.errors,
        };
        tracing::debug!("{report}");
        Ok(report)
    }

    fn reload(&mut self, settings: &Settings) {
        self.collector().reconfigure(settings.keep, settings.limits);
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        result(self.collector().finish(Instant::now()))
    }
}
