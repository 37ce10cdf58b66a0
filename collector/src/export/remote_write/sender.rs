//! The thread that pushes to one destination.
//!
//! One request at a time: samples of a series must arrive in order. A server that is down costs a pause, and no memory: rows
//! wait in the archive. Other destinations have threads of their own.
//!
//! Whatever is wrong with the world, the thread tries again, and the collector does not wait for it: a file of TLS that is
//! missing, a journal that cannot be used, the request of the sender before that is still on its way.

use super::client::Client;
use super::destination::Destination;
use super::outbox::Outbox;
use super::sending::{LOOK_EVERY, Sending};
use super::tallies::Tallies;
use crate::collect::quiet::Quiet;
use crate::collector::Collector;
use crate::show;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long after a start that failed there is another.
const START_AGAIN: Duration = Duration::from_secs(10);

/// Pushes to one destination, on a thread of its own.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    /// None if the system had no thread to give.
    thread: Option<JoinHandle<()>>,
}

/// What a sender and its thread have in common.
pub(super) struct Shared {
    pub(super) destination: Arc<Destination>,
    pub(super) collector: Arc<RwLock<Collector>>,
    pub(super) tallies: Arc<Tallies>,
    /// Where the journals are.
    directory: PathBuf,
    is_stopped: AtomicBool,
    /// Whether the journal is not ours any more. Locked while it is read or written, and common to all senders that follow one
    /// another.
    is_left_alone: Arc<Mutex<bool>>,
    /// The thread that has to end before the journal is this one's.
    before: Mutex<Option<JoinHandle<()>>>,
    quiet: Mutex<Quiet>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shared");
        shown
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// It was told to stop.
pub(super) struct Stopped;

impl Sender {
    /// Starts to push what `collector` has, from where the journal in `directory` was left: by the sender `after` which this
    /// one comes, if there is one. That is told to stop, and this one begins when its last request is through.
    ///
    /// Waits for nothing and cannot fail: what is wrong is in the log and the [tallies](Self::tallies), and tried again.
    pub fn start(
        destination: Arc<Destination>,
        directory: &Path,
        collector: Arc<RwLock<Collector>>,
        after: Option<Self>,
    ) -> Self {
        let (before, is_left_alone) = match after {
            None => (None, Arc::default()),
            Some(mut after) => {
                after.tell_to_stop();
                let thread = after.thread.take();
                let before = thread.or_else(|| lock(&after.shared.before).take());
                (before, after.shared.is_left_alone.clone())
            }
        };
        let shared = Shared {
            destination,
            collector,
            tallies: Arc::default(),
            directory: directory.to_owned(),
            is_stopped: AtomicBool::new(false),
            is_left_alone,
            before: Mutex::new(before),
            quiet: Mutex::default(),
        };
        let mut sender = Self {
            shared: Arc::new(shared),
            thread: None,
        };
        sender.spawn();
        sender
    }

    fn spawn(&mut self) {
        if let Some(thread) = self.thread.take() {
            *lock(&self.shared.before) = Some(thread);
        }
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("remote-write".to_owned());
        match thread.spawn(move || shared.run()) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self
                .shared
                .fail("thread", &format!("cannot start a thread: {error}")),
        }
    }

    /// Starts the thread once more if it has ended without being told to: by a panic, or as there was none to be had.
    pub fn revive(&mut self) {
        if self.is_over() && !self.shared.is_stopped() {
            self.spawn();
        }
    }

    /// The collector has made a pass.
    pub fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Where it pushes to.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.shared.destination
    }

    /// What the destination has had.
    pub fn tallies(&self) -> &Arc<Tallies> {
        &self.shared.tallies
    }

    /// It is to stop after the request that is on its way. What has not left will when it is started again.
    pub fn tell_to_stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it does nothing any more.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for that, but not longer than `until`: a request that takes longer is left to itself, as the journal knows it. What
    /// becomes of it is not noted any more, as the journal may be another's by then.
    pub fn wait(mut self, until: Instant) {
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            let _ = thread.join();
        } else {
            *lock(&self.shared.is_left_alone) = true;
        }
    }
}

/// A sender that is dropped has no business with the collector any more.
impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
    }
}

impl Shared {
    /// On the thread.
    fn run(self: &Arc<Self>) {
        let before = lock(&self.before).take();
        // Its request ends at its deadline at the latest.
        if before.is_some_and(|before| before.join().is_err()) {
            tracing::error!(
                "remote write to {}: its thread ended by a panic and is started again; what was on its way leaves once more",
                self.destination.name
            );
            self.tallies.lock().problem = Some("its thread ended by a panic".to_owned());
            if self.pause(START_AGAIN, || ()).is_err() {
                return;
            }
        }
        while !self.is_stopped() {
            match self.with_journal(|| self.open()) {
                None => return,
                Some(Ok((client, outbox))) => {
                    self.works();
                    self.count_left_out(outbox.histograms_left_out());
                    return Sending::new(self.clone(), client, outbox).run();
                }
                Some(Err(error)) => {
                    self.fail("start", &format!("cannot start, trying again: {error:#}"));
                    let _ = self.pause(START_AGAIN, || ());
                }
            }
        }
    }

    fn open(&self) -> anyhow::Result<(Client, Outbox)> {
        let client = Client::new(&self.destination)?;
        let outbox = Outbox::open(&self.directory, &self.destination, wall_ns())?;
        Ok((client, outbox))
    }

    fn count_left_out(&self, histograms: u64) {
        if histograms > 0 {
            tracing::warn!(
                "remote write to {}: {histograms} native histograms were on their way and do not leave, as it is to have none",
                self.destination.name
            );
            let mut tally = self.tallies.lock();
            *tally.samples_refused.entry("other").or_default() += histograms;
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Does something with the journal, unless that is not ours any more.
    pub(super) fn with_journal<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let is_left_alone = lock(&self.is_left_alone);
        (!*is_left_alone).then(act)
    }

    /// Waits so long, and looks at the collector after each of its passes: what was not seen cannot be counted once it is
    /// overwritten.
    pub(super) fn pause(&self, pause: Duration, mut look: impl FnMut()) -> Result<(), Stopped> {
        let until = Instant::now() + pause;
        loop {
            if self.is_stopped() {
                return Err(Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::park_timeout(left.min(LOOK_EVERY));
            look();
        }
    }

    /// Something is wrong until it [works](Self::works).
    pub(super) fn fail(&self, kind: &str, problem: &str) {
        self.complain(kind, problem);
        self.tallies.lock().problem = Some(problem.to_owned());
    }

    pub(super) fn works(&self) {
        let had_problem = self.tallies.lock().problem.take().is_some();
        if had_problem && lock(&self.quiet).admits("works", Instant::now()) {
            tracing::info!("remote write to {}: works again", self.destination.name);
        }
    }

    /// In the log, once a minute for each kind: the text may be a server's, and another each time.
    pub(super) fn complain(&self, kind: &str, text: &str) {
        if lock(&self.quiet).admits(kind, Instant::now()) {
            tracing::warn!("remote write to {}: {text}", self.destination.name);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn wall_ns() -> i64 {
    i64::try_from(show::wall_now_ns()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::CollectorSettings;
    use crate::store::ArchiveSettings;
    use rondo_reader::Limits;

    /// A thread that is gone without a word would leave its destination without samples for ever.
    #[test]
    fn a_thread_that_panicked_is_started_again_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let settings = CollectorSettings {
            bus: folder.path().into(),
            store: folder.path().join("store"),
            archives: ArchiveSettings {
                budget_bytes: 16 << 20,
                extent_bytes: 64 << 10,
            },
            keep: Duration::ZERO,
            limits: Limits::default(),
        };
        let collector = Collector::open(settings, Instant::now()).unwrap();
        let destination = Arc::new(Destination::new("test", "http://127.0.0.1:1/"));
        let collector = Arc::new(RwLock::new(collector));
        let mut sender = Sender::start(destination, folder.path(), collector, None);
        sender.revive();
        assert!(lock(&sender.shared.before).is_none(), "it was alive");
        sender.tell_to_stop();
        let thread = sender.thread.take().unwrap();
        thread.join().unwrap();
        sender.revive();
        assert!(sender.is_over(), "it was told to stop");
        sender.shared.is_stopped.store(false, Ordering::Release);
        sender.thread = Some(thread::spawn(|| panic!("a mistake of ours")));
        while !sender.is_over() {
            thread::yield_now();
        }
        sender.revive();
        let until = Instant::now() + Duration::from_secs(10);
        let has_problem = || {
            let problem = sender.tallies().get().problem;
            problem.is_some_and(|problem| problem.contains("panic"))
        };
        while !has_problem() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(has_problem() && !sender.is_over());
        sender.tell_to_stop();
        sender.wait(until);
    }
}
