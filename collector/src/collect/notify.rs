//! What the service manager is told: ready, reloading, stopping, alive, and in a sentence how it goes.
//!
//! Outside systemd (no `NOTIFY_SOCKET`) nothing is sent. That systemd cannot be reached keeps nobody
//! from collecting, so errors are dropped.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// The line to systemd.
#[derive(Debug)]
pub struct Notifier {
    /// Half of the time in which systemd wants to hear from us.
    alive_interval: Option<Duration>,
    alive_due: Instant,
    status: String,
}

impl Notifier {
    /// Takes from the environment whether and how often systemd wants to be told.
    pub fn from_environment(now: Instant) -> Self {
        Self::new(sd_notify::watchdog_enabled(), now)
    }

    fn new(watchdog: Option<Duration>, now: Instant) -> Self {
        Self {
            alive_interval: watchdog.map(|limit| limit / 2).filter(|half| !half.is_zero()),
            alive_due: now,
            status: String::new(),
        }
    }

    /// Everything is set up, or read again.
    pub fn ready(&self) {
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }

    /// The settings are being read again. Ends with [`Self::ready`].
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    }

    /// How it goes, for `systemctl status`; sent if it is news.
    pub fn status(&mut self, status: String) {
        if self.status != status {
            let _ = sd_notify::notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Tells systemd that the loop turns, if that is due.
    pub fn alive(&mut self, now: Instant) {
        if self.is_alive_due(now) {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }

    fn is_alive_due(&mut self, now: Instant) -> bool {
        match self.alive_interval {
            Some(interval) if now >= self.alive_due => {
                self.alive_due = now + interval;
                true
            }
            _ => false,
        }
    }

    /// When [`Self::alive`] is due next, if ever.
    pub fn next_alive(&self) -> Option<Instant> {
        self.alive_interval.map(|_| self.alive_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_of_us_at_half_of_its_patience() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut notifier = Notifier::new(Some(Duration::from_millis(1_000)), start);
        assert!(notifier.is_alive_due(ms(0)) && !notifier.is_alive_due(ms(499)));
        assert_eq!(notifier.next_alive(), Some(ms(500)));
        assert!(notifier.is_alive_due(ms(500)) && !notifier.is_alive_due(ms(501)));
        let mut without = Notifier::new(None, start);
        assert!(!without.is_alive_due(ms(10_000)) && without.next_alive().is_none());
    }
}
