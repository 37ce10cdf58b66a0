//! The loop of a sender: the next request, until it is taken or refused for good; then the one after.

use super::backoff::{Backoff, chance};
use super::body::Body;
use super::client::Client;
use super::outbox::Outbox;
use super::reply::Reply;
use super::sender::{Shared, Stopped, wall_ns};
use super::tallies::reason;
use super::version::{Verdict, Version};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

/// How long nobody waits for a word of the collector: what it stores while a destination is down is counted at least so often.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A sender that has all it needs.
pub(super) struct Sending {
    shared: Arc<Shared>,
    client: Client,
    outbox: Outbox,
    version: Version,
    backoff: Backoff,
}

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
    pub(super) fn new(shared: Arc<Shared>, client: Client, outbox: Outbox) -> Self {
        Self {
            version: Version::new(shared.destination.protocol),
            shared,
            client,
            outbox,
            backoff: Backoff::new(),
        }
    }

    /// Until it is told to stop, or the journal is another's.
    pub(super) fn run(&mut self) {
        let shared = self.shared.clone();
        while !shared.is_stopped() {
            self.look();
            let next = shared.with_journal(|| self.outbox.next(self.version.protocol(), wall_ns()));
            match next {
                None => return,
                Some(Ok(Some(body))) => {
                    if self.deliver(&body).is_err() {
                        return;
                    }
                    match shared.with_journal(|| self.outbox.done()) {
                        None => return,
                        Some(Ok(newest_ms)) => {
                            let mut tally = shared.tallies.lock();
                            tally.newest_ms = tally.newest_ms.max(newest_ms.unwrap_or(0));
                        }
                        Some(Err(error)) => {
                            shared.fail("journal", &format!("{:#}", anyhow::Error::new(error)));
                        }
                    }
                }
                Some(Ok(None)) => thread::park_timeout(LOOK_EVERY),
                Some(Err(error)) => {
                    shared.fail("journal", &format!("{:#}", anyhow::Error::new(error)));
                    let pause = self.backoff.pause(None, chance());
                    let _ = self.pause(pause);
                }
            }
        }
    }

    /// Takes in what is new at the collector's.
    fn look(&mut self) {
        let collector = self
            .shared
            .collector
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        self.outbox.pull(&collector);
        drop(collector);
        let counts = self.outbox.counts();
        let mut tally = self.shared.tallies.lock();
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
            if self.shared.is_stopped() {
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
                    *self
                        .shared
                        .tallies
                        .lock()
                        .samples_refused
                        .entry("other")
                        .or_default() += missing;
                    self.shared
                        .complain("short", &format!("the server wrote {written} of {sent} samples"));
                    return Ok(Fate::Arrived);
                }
                Verdict::AgainAsV1 { why } => {
                    tracing::info!(
                        "remote write to {}: 1.0 from now on: {why}",
                        self.shared.destination.name
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
                Reply::Retry { status, after, why } => {
                    let kind = format!("retry {}", status.unwrap_or(0));
                    self.shared.complain(&kind, &format!("{why}; trying again"));
                    self.shared.tallies.lock().problem = Some(why);
                    let pause = self.backoff.pause(after, chance());
                    self.pause(pause)?;
                }
                Reply::Refused {
                    status,
                    body: text,
                    written,
                } => {
                    self.backoff.reset();
                    return Ok(Fate::Refused {
                        status,
                        text,
                        samples_written: written
                            .map_or(0, |written| written.of_sent(body.sample_count as u64)),
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
        let mut tally = self.shared.tallies.lock();
        tally.samples_sent = tally.samples_sent.saturating_add(samples);
        drop(tally);
        self.shared.works();
    }

    fn count_request(&self, reply: &Reply, body: &Body, is_retry: bool) {
        let outcome = match reply {
            Reply::Accepted { .. } => "accepted",
            Reply::Refused { .. } | Reply::NotSupported => "refused",
            Reply::Retry { .. } => "failed",
        };
        let mut tally = self.shared.tallies.lock();
        *tally.requests.entry(outcome).or_default() += 1;
        tally.bytes_sent += body.bytes.len() as u64;
        tally.retries += u64::from(is_retry);
    }

    fn count_refused(&mut self, status: u16, text: &str, samples: usize, written: u64, instance: &str) {
        let refused = (samples as u64).saturating_sub(written);
        let reason = reason(text);
        let mut tally = self.shared.tallies.lock();
        tally.samples_sent = tally.samples_sent.saturating_add(written);
        *tally.samples_refused.entry(reason).or_default() += refused;
        drop(tally);
        let whose = if instance.is_empty() {
            String::new()
        } else {
            format!(" of {instance}")
        };
        let problem = format!("{refused} samples{whose} refused for good (status {status}): {text}");
        self.shared.fail(&format!("refused {status} {reason}"), &problem);
    }

    /// Waits so long, and looks at the collector after each of its passes: what was not seen cannot be counted once it is
    /// overwritten.
    fn pause(&mut self, pause: Duration) -> Result<(), Stopped> {
        let shared = self.shared.clone();
        shared.pause(pause, || self.look())
    }
}
