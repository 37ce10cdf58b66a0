//! The rules of back-off: pauses after failures grow, and a server's Retry-After is kept.
//!
//! Pauses are measured from before an answer is sent until the next request has come, so a busy machine makes them longer,
//! never shorter. For the same reason each is compared with what is due after so many failures, not with the one before.

use std::time::{Duration, Instant};

/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(30);

/// Pauses grow to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Clocks are not perfect.
const SLACK: f64 = 0.9;

/// Failures in a row.
#[derive(Debug, Default)]
pub struct Pauses {
    failure_count: u32,
    failed: Option<(Instant, Duration)>,
    /// All pauses after failures so far.
    pub seen: Vec<Duration>,
}

impl Pauses {
    /// The answer to a request that may go again was sent at that time, with that Retry-After.
    pub fn failed(&mut self, at: Instant, retry_after: Option<Duration>) {
        let shift = self.failure_count.min(16);
        let own = (PAUSE_MIN * (1 << shift)).min(PAUSE_MAX);
        self.failed = Some((at, own.max(retry_after.unwrap_or_default())));
        self.failure_count += 1;
    }

    /// A request got through, or never will.
    pub fn forget(&mut self) {
        self.failure_count = 0;
        self.failed = None;
    }

    /// A request came; a sentence if it came too early.
    pub fn arrived(&mut self, at: Instant) -> Option<String> {
        let (failed, least) = self.failed.take()?;
        let pause = at.saturating_duration_since(failed);
        self.seen.push(pause);
        (pause < least.mul_f64(SLACK)).then(|| {
            format!(
                "a pause of {pause:?} after {} failures in a row; at least {least:?} is due",
                self.failure_count
            )
        })
    }
}
