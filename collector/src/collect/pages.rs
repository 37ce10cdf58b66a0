//! What the collector answers over HTTP, from what the last pass left behind.

use crate::collect::collecting::Status;
use crate::collect::pushes::Board;
use crate::collector::Collector;
use crate::commands::StoreFacts;
use crate::exposition::{
    Family, MachineLimits, Page, Value, machine_page, own, process_families, push_families,
};
use crate::http::{ApiError, Backend, Health};
use crate::query::{self, Params, Plan, Request};
use crate::selector::Selector;
use crate::show;
use crate::store::{Archives, StoreError};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// A collector that has not made a pass for so long does not work.
const PASS_AGE_MAX: Duration = Duration::from_secs(10);

/// A collector that is further behind than this will lose what slabs forget.
const LAG_MAX: Duration = Duration::from_secs(120);

/// How old the facts about the store may be.
const INFO_AGE_MAX: Duration = Duration::from_secs(5);

/// Pages of a collector.
pub(crate) struct Pages {
    pub(crate) collector: Arc<RwLock<Collector>>,
    pub(crate) status: Arc<Status>,
    pub(crate) board: Arc<Board>,
    /// Where the archives are: all of their directories are read for `/metrics/info`, which may take seconds, in which no pass
    /// shall have to wait.
    pub(crate) store: PathBuf,
    pub(crate) info: Mutex<Option<(Instant, Vec<u8>)>>,
}

impl Pages {
    fn collector(&self) -> RwLockReadGuard<'_, Collector> {
        self.collector.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(params: &Params) -> Request {
        params.request(show::wall_now_ns(), query::Limits::default())
    }
}

impl Backend for Pages {
    fn query(&self, params: &Params, deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let (collector, request) = (self.collector(), Self::request(params));
        let live = collector.live(|source| request.takes(source));
        let plan = Plan::new(&live, collector.archives(), request)?;
        let mut body = Until {
            deadline,
            bytes: Vec::new(),
        };
        query::write_json(&plan, &mut body).map_err(|error| ApiError::too_much(error.to_string()))?;
        Ok(body.bytes)
    }

    fn explain(&self, params: &Params, _deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let (collector, request) = (self.collector(), Self::request(params));
        // A reason for nothing needs to know of the machines that were not asked for, too.
        let live = collector.live(|_| true);
        let explanation = query::explain(&live, collector.archives(), &request)?;
        to_json(&explanation)
    }

    fn info(&self) -> Result<Vec<u8>, ApiError> {
        let mut last = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, body)) = &*last
            && at.elapsed() < INFO_AGE_MAX
        {
            return Ok(body.clone());
        }
        let unavailable = |error: StoreError| ApiError::unavailable(error.to_string());
        let archives = Archives::open_read_only(&self.store).map_err(unavailable)?;
        let body = to_json(&StoreFacts::read(&archives).map_err(unavailable)?)?;
        *last = Some((Instant::now(), body.clone()));
        Ok(body)
    }

    fn machines(&self, matches: &[Selector], limits: &MachineLimits) -> Result<Page, ApiError> {
        let collector = self.collector();
        Ok(machine_page(
            collector.slabs().map(|(slab, _)| slab),
            matches,
            limits,
        )?)
    }

    fn self_metrics(&self) -> Vec<Family> {
        let collector = self.collector();
        let (states, totals, usage) = (
            collector.states(),
            collector.totals(),
            collector.archives().usage(),
        );
        let number = |count: u64| count as f64;
        let tiers = || usage.iter().map(|usage| usage.tier.to_string());
        let by_tier = |of: &dyn Fn(&crate::store::ArchiveUsage) -> f64| {
            tiers().zip(usage.iter().map(of)).collect::<Vec<(String, f64)>>()
        };
        let series: usize = collector.slabs().map(|(slab, _)| slab.series().len()).sum();
        // Whoever builds a release says it; `make` does.
        let revision = option_env!("RONDO_REVISION").filter(|revision| !revision.is_empty());
        let revision = revision.unwrap_or("unknown");
        let build = [("version", env!("CARGO_PKG_VERSION")), ("revision", revision)];
        let refused = ["stale", "future", "bad"]
            .into_iter()
            .zip(totals.tally.refused.map(number));
        let rows = totals.tally.rows.iter().enumerate();
        let rows = rows.map(|(tier, &rows)| (tier.to_string(), number(rows)));
        let (passes, missed) = self.status.passes();
        let mut families = vec![
            own::BUILD_INFO.sample(build, Value::Number(1.0)),
            own::SLABS.by(
                "state",
                [
                    ("live", number(states.live)),
                    ("stuck", number(states.stuck)),
                    ("ended", number(states.ended)),
                    ("refused", number(states.refused)),
                    ("lost", number(states.lost)),
                ],
            ),
            own::SERIES.value(series as f64),
            own::SLABS_LOST.value(number(totals.lost)),
            own::SLABS_UNLINKED.value(number(totals.unlinked)),
            own::MACHINES_ENDED.value(number(totals.ended)),
            own::PASSES.value(number(totals.passes)),
            own::PASSES_MISSED.value(number(missed)),
            own::PASS_DURATION.sample([], passes.value()),
            own::LAG.value(collector.lag().as_secs_f64()),
            own::POINTS_READ.value(number(totals.tally.points)),
            own::POINTS_TORN.value(number(totals.tally.torn)),
            own::SAMPLES_REFUSED.by("reason", refused),
            own::INTERVALS_LOST.value(number(totals.tally.intervals_lost)),
            own::ROWS_WRITTEN.by("tier", rows),
            own::STORE_BYTES.by("tier", by_tier(&|usage| number(usage.file_bytes))),
            own::STORE_USED.by("tier", by_tier(&|usage| number(usage.frame_bytes))),
            own::STORE_WRITTEN.by("tier", by_tier(&|usage| number(usage.written_bytes))),
            own::STORE_ERRORS.value(number(totals.store_errors)),
        ];
        let oldest = usage.iter().filter_map(|usage| {
            let oldest_ns = usage.wall_ns.as_ref()?.start;
            Some((usage.tier.to_string(), oldest_ns as f64 / 1e9))
        });
        families.push(own::STORE_OLDEST.by("tier", oldest));
        let destinations = self.board.all().into_iter();
        let destinations: Vec<_> = destinations
            .map(|(name, tallies)| (name, tallies.get()))
            .collect();
        families.extend(push_families(&destinations));
        families.extend(process_families());
        families.extend(collector.host_totals().families());
        families
    }

    fn health(&self) -> Health {
        let mut health = self.status.health();
        match self.status.last_pass() {
            None => health.problems.push("no pass was made yet".into()),
            Some(at) if at.elapsed() > PASS_AGE_MAX => health.problems.push(format!(
                "the last pass was made {} s ago; is the process stopped, or its store hanging?",
                at.elapsed().as_secs()
            )),
            Some(_) => {}
        }
        if health.lag_seconds > LAG_MAX.as_secs_f64() {
            health.problems.push(format!(
                "{:.0} s behind: slabs forget what is not read in time; see rondo_pass_duration_seconds",
                health.lag_seconds
            ));
        }
        health
    }

    fn is_ready(&self) -> bool {
        self.status.last_pass().is_some()
    }
}

/// Bytes of an answer, as long as somebody waits for it: series are read one after the other as they are written.
struct Until {
    deadline: Instant,
    bytes: Vec<u8>,
}

impl io::Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if Instant::now() > self.deadline {
            let reason = "the answer took too long to make; ask for a shorter range or fewer series";
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
    let mut body = serde_json::to_vec(value).map_err(|error| ApiError::unavailable(error.to_string()))?;
    body.push(b'\n');
    Ok(body)
}
