//! The destinations that a collector pushes to, as its settings want them.

use crate::collect::settings::Settings;
use crate::collector::Collector;
use crate::export::remote_write::{Client, Destination, Sender, Tallies};
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
    /// Those of destinations that are gone, up to the end of their last request: until then their journals are theirs.
    leaving: Vec<Sender>,
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
    /// Starts to push to all destinations. What keeps one from that is in the log, and tried again: nothing about a server, or
    /// what is kept for it, keeps the collector from recording.
    pub(crate) fn start(settings: &Settings, collector: &Arc<RwLock<Collector>>) -> Self {
        let mut pushes = Self {
            collector: collector.clone(),
            directory: settings.store.join("export"),
            senders: Vec::new(),
            leaving: Vec::new(),
            board: Arc::default(),
        };
        pushes.reload(settings);
        pushes
    }

    /// What destinations have had.
    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    fn publish(&self) {
        let tallies = self.senders.iter();
        let tallies = tallies.map(|sender| (sender.destination().name.clone(), sender.tallies().clone()));
        *self.board.0.lock().unwrap_or_else(PoisonError::into_inner) = tallies.collect();
    }

    /// The collector has made a pass.
    pub(crate) fn wake(&mut self) {
        for sender in &mut self.senders {
            sender.revive();
            sender.wake();
        }
        self.leaving.retain(|sender| !sender.is_over());
    }

    /// Stops those that are gone or changed, and starts those that are new. Waits for none of them.
    pub(crate) fn reload(&mut self, settings: &Settings) {
        let mut running = std::mem::take(&mut self.senders);
        for destination in &settings.remote_write {
            let sender = match take(&mut running, destination) {
                Some(same) if **same.destination() == *destination => same,
                before => self.change(destination, before),
            };
            self.senders.push(sender);
        }
        running.iter().for_each(Sender::tell_to_stop);
        self.leaving.extend(running);
        self.publish();
    }

    /// Pushes to a destination that is new, or other than before: then not until it is known that it can.
    fn change(&mut self, destination: &Destination, before: Option<Sender>) -> Sender {
        if let Some(before) = before {
            return match Client::new(destination) {
                Ok(_) => self.begin(destination, Some(before)),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    tracing::error!(
                        "cannot push to {} as it is set now, and goes on as before: {error:#}",
                        destination.name
                    );
                    before
                }
            };
        }
        let leaving = take(&mut self.leaving, destination);
        self.begin(destination, leaving)
    }

    fn begin(&self, destination: &Destination, after: Option<Sender>) -> Sender {
        tracing::info!(
            "pushing tier {} to {} ({})",
            destination.tier,
            destination.address(),
            destination.name
        );
        let destination = Arc::new(destination.clone());
        Sender::start(destination, &self.directory, self.collector.clone(), after)
    }

    /// Stops all of them, at once, so that the patience for one is that for all. What has not left will when they are started
    /// again.
    pub(crate) fn stop(&mut self) {
        self.senders.iter().for_each(Sender::tell_to_stop);
        let until = Instant::now() + PATIENCE;
        for sender in self.senders.drain(..).chain(self.leaving.drain(..)) {
            sender.wait(until);
        }
    }
}

/// The one of that name, which has the same journal.
fn take(senders: &mut Vec<Sender>, destination: &Destination) -> Option<Sender> {
    let at = senders
        .iter()
        .position(|sender| sender.destination().name == destination.name)?;
    Some(senders.swap_remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::listen::Listen;
    use crate::collector::CollectorSettings;
    use crate::export::remote_write::Tls;
    use crate::store::ArchiveSettings;
    use rondo_reader::Limits;
    use std::path::Path;

    fn settings(folder: &Path, remote_write: Vec<Destination>) -> Settings {
        Settings {
            bus: folder.into(),
            store: folder.join("store"),
            store_budget_bytes: 16 << 20,
            keep: Duration::ZERO,
            limits: Limits::default(),
            listen: Listen::Nowhere,
            remote_write,
        }
    }

    fn collector(settings: &Settings) -> Arc<RwLock<Collector>> {
        let settings = CollectorSettings {
            bus: settings.bus.clone(),
            store: settings.store.clone(),
            archives: ArchiveSettings {
                budget_bytes: settings.store_budget_bytes,
                extent_bytes: 64 << 10,
            },
            keep: settings.keep,
            limits: settings.limits,
        };
        Arc::new(RwLock::new(Collector::open(settings, Instant::now()).unwrap()))
    }

    fn to(name: &str) -> Destination {
        Destination::new(name, "http://127.0.0.1:1/")
    }

    fn without_authority(name: &str) -> Destination {
        Destination {
            tls: Tls {
                ca_file: Some("/nonexistent/ca.pem".into()),
                ..Tls::default()
            },
            ..to(name)
        }
    }

    /// A mistake in the settings would stop what works.
    #[test]
    fn a_destination_that_cannot_be_pushed_to_as_it_is_set_now_goes_on_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut now = settings(folder.path(), vec![to("a"), to("b")]);
        let mut pushes = Pushes::start(&now, &collector(&now));
        let tallies = pushes.senders[0].tallies().clone();
        now.remote_write = vec![without_authority("a"), without_authority("new")];
        pushes.reload(&now);
        let names = |pushes: &Pushes| -> Vec<String> {
            let all = pushes.board().all();
            all.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&pushes), ["a", "new"]);
        assert_eq!(**pushes.senders[0].destination(), to("a"));
        assert!(Arc::ptr_eq(&tallies, pushes.senders[0].tallies()));
        // And takes the settings once they can be used.
        let better = Destination { tier: 2, ..to("a") };
        now.remote_write = vec![better.clone()];
        pushes.reload(&now);
        assert_eq!(**pushes.senders[0].destination(), better);
        assert_eq!(names(&pushes), ["a"]);
        pushes.stop();
    }

    /// A destination that goes and comes while its request hangs has two senders for a while, and one journal.
    #[test]
    fn one_that_comes_back_comes_after_the_one_that_is_leaving() {
        let folder = tempfile::tempdir().unwrap();
        let mut now = settings(folder.path(), vec![to("a")]);
        let mut pushes = Pushes::start(&now, &collector(&now));
        now.remote_write.clear();
        pushes.reload(&now);
        assert_eq!((pushes.senders.len(), pushes.leaving.len()), (0, 1));
        now.remote_write.push(to("a"));
        pushes.reload(&now);
        assert_eq!((pushes.senders.len(), pushes.leaving.len()), (1, 0));
        now.remote_write.clear();
        pushes.reload(&now);
        let until = Instant::now() + Duration::from_secs(10);
        while !pushes.leaving.is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
            pushes.wake();
        }
        assert!(pushes.leaving.is_empty(), "it is kept for ever");
    }
}
