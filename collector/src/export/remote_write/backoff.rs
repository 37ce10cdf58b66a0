//! How long to wait before a request goes again: exponential back-off.
//!
//! From 30 ms, doubling to 5 s, as Prometheus does it, with at most 10 % more by chance so that many collectors whose server
//! comes back do not all ask at the same moment. A server that says when ([Retry-After]) is never asked sooner, but its word
//! is taken for five minutes at most: a destination must not be silent for a day because of a number in a header.
//!
//! No clock and no source of chance in here: the caller has both.
//!
//! [Retry-After]: https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after

use std::time::Duration;

/// The first pause.
pub const PAUSE_MIN: Duration = Duration::from_millis(30);

/// Pauses grow to this.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest Retry-After that is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// The part of a pause that may come on top of it.
const JITTER: f64 = 0.1;

/// The pauses between attempts at one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Without what comes on top.
    next: Duration,
}

impl Backoff {
    /// For a request that has not failed yet.
    pub fn new() -> Self {
        Self { next: PAUSE_MIN }
    }

    /// How long to wait after one more failure, for a server that said to wait so long. `chance` is any number; all 64 bits of
    /// a random one are best ([`chance`]).
    pub fn pause(&mut self, retry_after: Option<Duration>, chance: u64) -> Duration {
        let base = self
            .next
            .max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        self.next = (self.next * 2).min(PAUSE_MAX);
        let part = chance as f64 / u64::MAX as f64;
        base + base.mul_f64(JITTER * part)
    }

    /// After a request has arrived.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// A random number for [`Backoff::pause`]; without any randomness in the system, the middle.
pub fn chance() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failures() -> impl Strategy<Value = Vec<(Option<u64>, u64)>> {
        prop::collection::vec((prop::option::weighted(0.2, 0..400_000u64), any::<u64>()), 1..40)
    }

    proptest! {
        /// Without a word of the server each pause is twice the one before, give or take the chance, up to the greatest.
        #[test]
        fn pauses_double_up_to_the_greatest(chances in prop::collection::vec(any::<u64>(), 2..30)) {
            let mut backoff = Backoff::new();
            let pauses: Vec<Duration> = chances.iter().map(|&chance| backoff.pause(None, chance)).collect();
            prop_assert!(pauses[0] >= PAUSE_MIN);
            for (index, pair) in pauses.windows(2).enumerate() {
                let ratio = pair[1].as_secs_f64() / pair[0].as_secs_f64();
                if index < 6 {
                    prop_assert!((1.8..=2.2).contains(&ratio), "{pauses:?}");
                }
                prop_assert!(pair[1] <= PAUSE_MAX.mul_f64(1.1), "{pauses:?}");
                prop_assert!(pair[1] >= PAUSE_MAX.min(pair[0].mul_f64(1.8)), "{pauses:?}");
            }
        }

        /// Whatever a server says: not sooner than it wants, nor than without its word, and not later than five minutes and a
        /// bit.
        #[test]
        fn a_server_is_never_asked_sooner_than_it_says(failures in failures()) {
            let mut backoff = Backoff::new();
            let mut own = PAUSE_MIN;
            for (after_ms, chance) in failures {
                let after = after_ms.map(Duration::from_millis);
                let pause = backoff.pause(after, chance);
                let least = own.max(after.unwrap_or_default().min(RETRY_AFTER_MAX));
                prop_assert!(pause >= least && pause <= least.mul_f64(1.100001), "{pause:?} {least:?}");
                own = (own * 2).min(PAUSE_MAX);
            }
            backoff.reset();
            prop_assert!(backoff.pause(None, 0) == PAUSE_MIN);
        }
    }

    #[test]
    fn chance_is_not_always_the_same() {
        assert!(
            (0..8)
                .map(|_| chance())
                .collect::<std::collections::HashSet<_>>()
                .len()
                > 1
        );
    }
}
