//! Counts the slabs of a bus.

use crate::collect::core::{Core, Report, Tick};
use crate::collect::settings::Settings;
use crate::show;
use rondo_reader::{Bus, Limits, Liveness};
use std::path::PathBuf;

/// A core that attaches slabs and counts them by state.
#[derive(Debug)]
pub struct Census {
    directory: PathBuf,
    limits: Limits,
    bus: Option<Bus>,
}

impl Census {
    /// Looks at nothing before the first pass.
    pub fn new(settings: &Settings) -> Self {
        Self {
            directory: settings.bus.clone(),
            limits: settings.limits,
            bus: None,
        }
    }
}

impl Core for Census {
    fn attach(&mut self) -> anyhow::Result<()> {
        let Some(bus) = &mut self.bus else {
            self.bus = Some(Bus::open(&self.directory, &self.limits)?);
            return Ok(());
        };
        let changes = bus.rescan()?;
        for name in changes.added {
            tracing::debug!("attached {}", show::printable(&name));
        }
        for slab in changes.removed {
            tracing::debug!("detached {}", slab.path().display());
        }
        Ok(())
    }

    fn pass(&mut self, tick: &Tick) -> anyhow::Result<Report> {
        if tick.bus_changed {
            self.attach()?;
        }
        let mut report = Report::default();
        for slab in self.bus.iter().flat_map(Bus::slabs) {
            match slab.liveness() {
                Ok(Liveness::Live) => report.live_count += 1,
                Ok(Liveness::Closed | Liveness::Dead) => report.ended_count += 1,
                Err(error) => report.errors.push(error.into()),
            }
        }
        report.refused_count += self.bus.as_ref().map_or(0, |bus| bus.refused_count() as u64);
        tracing::debug!("{report}");
        Ok(report)
    }

    fn reload(&mut self, settings: &Settings) {
        if self.limits != settings.limits {
            self.limits = settings.limits;
            self.bus = None;
        }
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
