//! The whole of it: machines come and go beside a collector and a Prometheus, and afterwards both are asked.

use super::exporter::Exporter;
use super::kind::Kind;
use super::machine::{Heard, Machine};
use super::plan::{self, Birth, Step};
use super::scraped::Scraper;
use super::stored::Collecting;
use super::summary::Life;
use crate::load::{self, Busy};
use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long machines live.
    pub lives: Vec<u64>,
    /// How many live for each of these times.
    pub machines: u64,
    /// How many are alive at once, on average.
    pub at_once: u64,
    /// Of the times at which they start.
    pub seed: u64,
    /// The program `rondo`.
    pub rondo: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Every machine.
    pub lives: Vec<Life>,
    /// From the first announcement to the end of the last machine.
    pub took_s: f64,
    /// CPU seconds of all processes of the host in that time, those that this one started included.
    pub busy_s: f64,
    /// The average load at the end.
    pub load: f64,
}

/// Everything that knows of machines while they live.
struct Scene<'a> {
    kind: &'a Kind,
    exporter: Exporter,
    scraper: Scraper,
    collecting: Collecting,
    children: Mutex<Vec<Arc<Mutex<Child>>>>,
    failure: Mutex<Option<anyhow::Error>>,
    bar: &'a ProgressBar,
    stop: &'a AtomicBool,
}

/// Runs all machines, and asks about them; `bar` shows how many are over.
///
/// # Errors
/// Something cannot be started, a machine fails, what is read contradicts itself, or a signal has set `stop`.
pub fn run(settings: &Settings, kind: &Kind, bar: &ProgressBar, stop: &AtomicBool) -> Result<Outcome> {
    let births = plan::births(
        &settings.lives,
        settings.machines,
        settings.at_once,
        settings.seed,
    );
    let exporter = Exporter::start()?;
    let scene = Scene {
        kind,
        scraper: Scraper::start(exporter.address())?,
        exporter,
        collecting: Collecting::start(settings.rondo.clone())?,
        children: Mutex::default(),
        failure: Mutex::default(),
        bar,
        stop,
    };
    bar.set_length(births.len() as u64);
    let (busy, start) = (Busy::read()?, Instant::now());
    let machines = scene.live_all(&births)?;
    let (took_s, busy_s) = (start.elapsed().as_secs_f64(), Busy::read()?.all_s(&busy));
    let load = load::average()?;

    bar.set_message("asking");
    let stored = scene.collecting.end()?;
    let each = machines.into_iter().map(|machine| {
        go_on(stop)?;
        let mut captured = vec![stored.captured(&machine)?];
        captured.extend(scene.scraper.captured(&machine)?);
        Ok(Life { machine, captured })
    });
    Ok(Outcome {
        lives: each.collect::<Result<_>>()?,
        took_s,
        busy_s,
        load,
    })
}

impl Scene<'_> {
    /// Starts each machine at its time, and waits for the last one.
    fn live_all(&self, births: &[Birth]) -> Result<Vec<Machine>> {
        let start = Instant::now();
        let machines = thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut go = || {
                for (at, step) in plan::steps(births) {
                    self.wait(start + at)?;
                    match step {
                        Step::Announce(birth) => self.scraper.announced.add(&birth.instance)?,
                        Step::Start(birth) => threads.push(scope.spawn(move || {
                            let lived = self.live(&birth);
                            lived.map_err(|error| self.fail(error)).ok()
                        })),
                    }
                }
                while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
                    self.wait(Instant::now() + Duration::from_millis(100))?;
                }
                Ok(())
            };
            if let Err(error) = go() {
                self.fail(error);
                for child in self.children().iter() {
                    // Fails if it has ended.
                    let _ = lock(child).kill();
                }
            }
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok()?)
                .collect::<Vec<_>>()
        });
        match lock(&self.failure).take() {
            Some(error) => Err(error),
            None => {
                ensure!(
                    machines.len() == births.len(),
                    "a thread that ran a machine panicked"
                );
                Ok(machines)
            }
        }
    }

    /// Nothing goes on after this; the first reason counts.
    fn fail(&self, error: anyhow::Error) {
        lock(&self.failure).get_or_insert(error);
    }

    fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    /// One machine, from before its start until after its end.
    fn live(&self, birth: &Birth) -> Result<Machine> {
        let instance = birth.instance.as_str();
        let born_ms = Timestamp::now().as_millisecond();
        let mut child = self.kind.start(self.collecting.bus(), instance, birth.life_s)?;
        // An orchestrator knows a machine's address when it has started it.
        self.scraper.found.add(instance)?;
        let stderr = child.stderr.take().context("a machine has no standard error")?;
        let child = Arc::new(Mutex::new(child));
        self.children().push(child.clone());
        if self.has_failed() {
            // Perhaps too late for those that were killed.
            lock(&child).kill()?;
        }
        let heard = Heard::listen(stderr, |slab| self.exporter.add(instance, slab));
        // Its standard error has ended, so it has.
        lock(&child).wait()?;
        self.exporter.remove(instance);
        let ended_ms = Timestamp::now().as_millisecond();
        self.scraper.found.remove(instance)?;
        self.scraper.announced.remove(instance)?;
        self.children().retain(|other| !Arc::ptr_eq(other, &child));
        self.bar.inc(1);
        heard?.truth(instance, birth.life_s, (born_ms, ended_ms))
    }

    fn wait(&self, until: Instant) -> Result<()> {
        loop {
            go_on(self.stop)?;
            ensure!(!self.has_failed(), "a machine failed");
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.bar.set_message(format!("{} alive", self.children().len()));
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn children(&self) -> MutexGuard<'_, Vec<Arc<Mutex<Child>>>> {
        lock(&self.children)
    }
}

fn go_on(stop: &AtomicBool) -> Result<()> {
    ensure!(!stop.load(Ordering::Relaxed), "stopped by a signal");
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
