//! The destinations that a collector pushes to, as its settings want them.

use crate::collect::settings::Settings;
use crate::collector::Collector;
use crate::export::remote_write::{Destination, Sender, SenderError, Tallies};
use anyhow::Context;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a request that is on its way is waited for at the end. It is written down, so nothing depends on it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The destinations, each with its sender.
pub(crate) struct Pushes {
    collector: Arc<RwLock<Collector>>,
    /// Where the journals are.
    directory: PathBuf,
    senders: Vec<Sender>,
    board: Arc<Board>,
}

/// What destinations have had, for those who look from outside.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Vec<(String, Arc<Tallies>)>>);

impl Board {
    /// By the destination's name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Tallies>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pushes {
    /// Starts to push to all destinations.
    ///
    /// # Errors
    /// One of them cannot be pushed to.
    pub(crate) fn start(settings: &Settings, collector: &Arc<RwLock<Collector>>) -> anyhow::Result<Self> {
        let mut pushes = Self {
            collector: collector.clone(),
            directory: settings.store.join("export"),
            senders: Vec::new(),
            board: Arc::default(),
        };
        for destination in &settings.remote_write {
            let started = pushes.add(destination);
            started.with_context(|| format!("cannot push to {}", destination.name))?;
        }
        Ok(pushes)
    }

    /// What destinations have had.
    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    fn add(&mut self, destination: &Destination) -> Result<(), SenderError> {
        let destination = Arc::new(destination.clone());
        let sender = Sender::start(destination, &self.directory, self.collector.clone())?;
        let destination = sender.destination();
        tracing::info!(
            "pushing tier {} to {} ({})",
            destination.tier,
            destination.url,
            destination.name
        );
        self.senders.push(sender);
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let tallies = self.senders.iter();
        let tallies = tallies.map(|sender| (sender.destination().name.clone(), sender.tallies().clone()));
        *self.board.0.lock().unwrap_or_else(PoisonError::into_inner) = tallies.collect();
    }

    /// The collector has made a pass.
    pub(crate) fn wake(&self) {
        self.senders.iter().for_each(Sender::wake);
    }

    /// Stops those that are gone or changed, and starts those that are new. One that cannot be started is left out, and says why.
    pub(crate) fn reload(&mut self, settings: &Settings) {
        let wanted = &settings.remote_write;
        let (kept, gone): (Vec<Sender>, Vec<Sender>) = std::mem::take(&mut self.senders)
            .into_iter()
            .partition(|sender| wanted.contains(sender.destination()));
        self.senders = kept;
        stop(gone);
        for destination in wanted {
            let is_there = self
                .senders
                .iter()
                .any(|sender| **sender.destination() == *destination);
            if !is_there && let Err(error) = self.add(destination) {
                tracing::error!("cannot push to {}: {error}", destination.name);
            }
        }
        self.publish();
    }

    /// Stops all of them. What has not left will when they are started again.
    pub(crate) fn stop(&mut self) {
        stop(std::mem::take(&mut self.senders));
    }
}

/// All at once, so that the patience for one is that for all.
fn stop(senders: Vec<Sender>) {
    senders.iter().for_each(Sender::tell_to_stop);
    let until = Instant::now() + PATIENCE;
    for sender in senders {
        sender.wait(until);
    }
}
