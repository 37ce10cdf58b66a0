//! The thread that pushes to one destination.
//!
//! One request at a time: samples of a series must arrive in order. A server that is down costs a pause, and no memory: rows
//! wait in the archive. Other destinations have threads of their own.

use super::backoff::{Backoff, chance};
use super::body::Body;
use super::client::{Client, ClientError};
use super::destination::Destination;
use super::outbox::{Outbox, OutboxError};
use super::reply::Reply;
use super::tallies::{Tallies, reason};
use super::version::{Verdict, Version};
use crate::collect::quiet::Quiet;
use crate::collector::Collector;
use crate::show;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long nobody waits for a word of the collector: what it stores while a destination is down is counted at least so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pushes to one destination, on a thread of its own.
#[derive(Debug)]
pub struct Sender {
    destination: Arc<Destination>,
    tallies: Arc<Tallies>,
    is_stopped: Arc<AtomicBool>,
    is_left_alone: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a destination cannot be pushed to.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// Its settings.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Its journal.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl Sender {
    /// Starts to push what `collector` has, from where the journal in `directory` was left.
    ///
    /// # Errors
    /// The settings or the journal cannot be used.
    pub fn start(
        destination: Arc<Destination>,
        directory: &Path,
        collector: Arc<RwLock<Collector>>,
    ) -> Result<Self, SenderError> {
        let client = Client::new(&destination)?;
        let outbox = Outbox::open(directory, &destination, wall_ns())?;
        let (tallies, is_stopped) = (Arc::new(Tallies::default()), Arc::new(AtomicBool::new(false)));
        let is_left_alone = Arc::new(Mutex::new(false));
        let mut sending = Sending {
            version: Version::new(destination.protocol),
            destination: destination.clone(),
            client,
            outbox,
            backoff: Backoff::new(),
            quiet: Quiet::default(),
            tallies: tallies.clone(),
            is_stopped: is_stopped.clone(),
            is_left_alone: is_left_alone.clone(),
            collector,
        };
        let thread = thread::Builder::new().name("remote-write".to_owned());
        let thread = thread.spawn(move || sending.run()).map_err(SenderError::Thread)?;
        Ok(Self {
            destination,
            tallies,
            is_stopped,
            is_left_alone,
            thread: Some(thread),
        })
    }

    /// The collector has made a pass.
    pub fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Where it pushes to.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// What the destination has had.
    pub fn tallies(&self) -> &Arc<Tallies> {
        &self.tallies
    }

    /// It is to stop after the request that is on its way. What has not left will when it is started again.
    pub fn tell_to_stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits for that, but not longer than `until`: a request that takes longer is left to itself, as the journal knows it. What
    /// becomes of it is not noted any more, as the journal may be another sender's by then.
    pub fn wait(mut self, until: Instant) {
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            let _ = thread.join();
        } else {
            *self.is_left_alone.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }
}

/// A sender that is dropped has no business with the collector any more.
impl Drop for Sender {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
    }
}

struct Sending {
    destination: Arc<Destination>,
    client: Client,
    outbox: Outbox,
    version: Version,
    backoff: Backoff,
    quiet: Quiet,
    tallies: Arc<Tallies>,
    is_stopped: Arc<AtomicBool>,
    /// Whether the journal is not ours any more. Locked while it is written.
    is_left_alone: Arc<Mutex<bool>>,
    collector: Arc<RwLock<Collector>>,
}

/// It was told to stop.
struct Stopped;

/// What became of a body.
enum Fate {
    Arrived,
    /// For good.
    Refused {
        status: u16,
        text: String,
        samples_written: u64,
    },
}

impl Sending {
    fn run(&mut self) {
        while !self.is_stopped() {
            self.look();
            let journal = self.is_left_alone.clone();
            let is_left_alone = journal.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_left_alone {
                return;
            }
            let next = self.outbox.next(self.version.protocol(), wall_ns());
            drop(is_left_alone);
            match next {
                Ok(Some(body)) => {
                    if self.deliver(&body).is_err() {
                        return;
                    }
                    let is_left_alone = journal.lock().unwrap_or_else(PoisonError::into_inner);
                    if *is_left_alone {
                        return;
                    }
                    let done = self.outbox.done();
                    drop(is_left_alone);
                    match done {
                        Ok(newest_ms) => {
                            let mut tally = self.tallies.lock();
                            tally.newest_ms = tally.newest_ms.max(newest_ms.unwrap_or(0));
                        }
                        Err(error) => self.show_problem(&error.to_string()),
                    }
                }
                Ok(None) => thread::park_timeout(LOOK_EVERY),
                Err(error) => {
                    self.show_problem(&error.to_string());
                    let pause = self.backoff.pause(None, chance());
                    let _ = self.pause(pause);
                }
            }
        }
    }

    /// Takes in what is new at the collector's.
    fn look(&mut self) {
        let collector = self.collector.read().unwrap_or_else(PoisonError::into_inner);
        self.outbox.pull(&collector);
        drop(collector);
        let counts = self.outbox.counts();
        let mut tally = self.tallies.lock();
        tally.take(&counts);
        tally.points_ahead = self.outbox.points_ahead();
    }

    /// Posts a body until it is taken, or refused for good. One of which a part is refused goes once more, machine by machine.
    fn deliver(&mut self, body: &Body) -> Result<(), Stopped> {
        let sample_count = body.sample_count;
        let Fate::Refused {
            status,
            text,
            samples_written,
        } = self.post(body.clone())?
        else {
            return Ok(());
        };
        // What is wrong with the request as a whole is wrong with each part of it.
        let is_about_samples = matches!(status, 400 | 409 | 413 | 422);
        let parts = body.split("instance").unwrap_or_default();
        if !is_about_samples || parts.len() < 2 {
            self.count_refused(status, &text, sample_count, samples_written, "");
            return Ok(());
        }
        for (instance, part) in parts {
            let sample_count = part.sample_count;
            if let Fate::Refused {
                status,
                text,
                samples_written,
            } = self.post(part)?
            {
                self.count_refused(status, &text, sample_count, samples_written, &instance);
            }
        }
        Ok(())
    }

    /// Posts a body until there is an answer that stays.
    fn post(&mut self, mut body: Body) -> Result<Fate, Stopped> {
        let mut is_retry = false;
        loop {
            if self.is_stopped() {
                return Err(Stopped);
            }
            let reply = self.client.send(&body.bytes, body.protocol);
            self.count_request(&reply, &body, is_retry);
            is_retry = true;
            match self.version.judge(body.protocol, body.sample_count, &reply) {
                Verdict::Done => {
                    self.works(body.sample_count as u64);
                    return Ok(Fate::Arrived);
                }
                Verdict::Short { sent, written } => {
                    self.works(written);
                    let missing = sent - written;
                    *self.tallies.lock().samples_refused.entry("other").or_default() += missing;
                    self.complain(&format!("the server wrote {written} of {sent} samples"));
                    return Ok(Fate::Arrived);
                }
                Verdict::AgainAsV1 { why } => {
                    tracing::info!(
                        "remote write to {}: 1.0 from now on: {why}",
                        self.destination.name
                    );
                    match body.to_v1() {
                        Ok(v1) => body = v1,
                        Err(error) => {
                            let text = error.to_string();
                            return Ok(Fate::Refused {
                                status: 0,
                                text,
                                samples_written: 0,
                            });
                        }
                    }
                    continue;
                }
                Verdict::Failed => {}
            }
            match reply {
                Reply::Retry { after, why } => {
                    self.complain(&format!("{why}; trying again"));
                    self.tallies.lock().problem = Some(why);
                    let pause = self.backoff.pause(after, chance());
                    self.pause(pause)?;
                }
                Reply::Refused {
                    status,
                    body,
                    written,
                } => {
                    self.backoff.reset();
                    return Ok(Fate::Refused {
                        status,
                        text: body,
                        samples_written: written.map_or(0, |written| written.samples + written.histograms),
                    });
                }
                Reply::NotSupported => {
                    let text = "the server supports no version of remote write that rondo speaks".to_owned();
                    return Ok(Fate::Refused {
                        status: 415,
                        text,
                        samples_written: 0,
                    });
                }
                Reply::Accepted { .. } => return Ok(Fate::Arrived),
            }
        }
    }

    fn works(&mut self, samples: u64) {
        self.backoff.reset();
        let mut tally = self.tallies.lock();
        tally.samples_sent += samples;
        if tally.problem.take().is_some() {
            tracing::info!("remote write to {}: works again", self.destination.name);
        }
    }

    fn count_request(&self, reply: &Reply, body: &Body, is_retry: bool) {
        let outcome = match reply {
            Reply::Accepted { .. } => "accepted",
            Reply::Refused { .. } | Reply::NotSupported => "refused",
            Reply::Retry { .. } => "failed",
        };
        let mut tally = self.tallies.lock();
        *tally.requests.entry(outcome).or_default() += 1;
        tally.bytes_sent += body.bytes.len() as u64;
        tally.retries += u64::from(is_retry);
    }

    fn count_refused(&mut self, status: u16, text: &str, samples: usize, written: u64, instance: &str) {
        let refused = (samples as u64).saturating_sub(written);
        let reason = reason(text);
        let mut tally = self.tallies.lock();
        tally.samples_sent += written;
        *tally.samples_refused.entry(reason).or_default() += refused;
        drop(tally);
        let whose = if instance.is_empty() {
            String::new()
        } else {
            format!(" of {instance}")
        };
        let problem = format!("{refused} samples{whose} refused for good (status {status}): {text}");
        self.show_problem(&problem);
    }

    fn show_problem(&mut self, problem: &str) {
        self.complain(problem);
        self.tallies.lock().problem = Some(problem.to_owned());
    }

    /// Waits so long, and looks at the collector after each of its passes: what was not seen cannot be counted once it is
    /// overwritten.
    fn pause(&mut self, pause: Duration) -> Result<(), Stopped> {
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
            self.look();
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn complain(&mut self, text: &str) {
        let text = format!("remote write to {}: {text}", self.destination.name);
        if self.quiet.admits(&text, Instant::now()) {
            tracing::warn!("{text}");
        }
    }
}

fn wall_ns() -> i64 {
    i64::try_from(show::wall_now_ns()).unwrap_or(i64::MAX)
}
