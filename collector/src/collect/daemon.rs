//! The loop: a pass each second, what came to the bus at once, orders at once.
//!
//! One thread waits for whichever comes first: the next tick, an order, a change of the bus, or the time to tell
//! systemd that it is alive. What is done then is the [`Core`]'s business.

use crate::collect::core::{Core, Tick};
use crate::collect::key::Key;
use crate::collect::notify::Notifier;
use crate::collect::pace::{PASS_INTERVAL, Pace};
use crate::collect::place::{Place, Standing};
use crate::collect::quiet::Quiet;
use crate::collect::settings::Settings;
use crate::collect::signals::Orders;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

/// How often the bus is looked at even if nothing was heard of it.
const RESCAN_INTERVAL: Duration = Duration::from_secs(10);

/// Machines that start together are attached together.
const ATTACH_PAUSE: Duration = Duration::from_millis(20);

/// Attaching between passes takes at most one part in so many of a core, however fast machines come.
const ATTACH_SHARE: u32 = 20;

/// Collects until it is told to stop. `read_settings` is called for each order to reload.
///
/// # Errors
/// The bus is another collector's when it starts, the kernel does not let it wait, or [`Core::finish`] failed.
pub fn run(
    core: &mut impl Core,
    settings: Settings,
    orders: &Orders,
    read_settings: impl FnMut() -> anyhow::Result<Settings>,
) -> anyhow::Result<()> {
    let now = Instant::now();
    let mut place = Place::new(&settings.bus);
    if let Standing::Missing = place.check()? {
        tracing::info!(
            "waiting for the bus: {} does not exist yet",
            settings.bus.display()
        );
    }
    // Only now: whoever reads this may rely on it that the bus, if there is one, and the store are this collector's.
    tracing::info!(
        "collecting from {} into {}",
        settings.bus.display(),
        settings.store.display()
    );
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut daemon = Daemon {
        core,
        settings,
        read_settings,
        place,
        notifier: Notifier::from_environment(now),
        pace: Pace::aligned(now, wall.unwrap_or_default()),
        quiet: Quiet::default(),
        bus_changed: true,
        looked_at: now,
        attach_due: now + PASS_INTERVAL,
    };
    daemon.notifier.ready();
    daemon.turn_until_stopped(orders)?;
    tracing::info!("stopping");
    daemon.notifier.stopping();
    daemon.core.finish()
}

struct Daemon<'c, C, F> {
    core: &'c mut C,
    settings: Settings,
    read_settings: F,
    place: Place,
    notifier: Notifier,
    pace: Pace,
    quiet: Quiet,
    /// Something changed that the core has not looked at.
    bus_changed: bool,
    /// When the core last looked at the directory.
    looked_at: Instant,
    /// When it may next do so between passes.
    attach_due: Instant,
}

impl<C: Core, F: FnMut() -> anyhow::Result<Settings>> Daemon<'_, C, F> {
    fn turn_until_stopped(&mut self, orders: &Orders) -> anyhow::Result<()> {
        loop {
            orders.clear_wakes();
            if orders.is_stop() {
                return Ok(());
            }
            if orders.take_reload() {
                self.reload();
            }
            self.bus_changed |= self.place.take_changes();
            let now = Instant::now();
            if self.pace.is_due(now) {
                self.pass(now);
            } else if self.may_attach() && now >= self.attach_due {
                self.attach(now);
            }
            self.notifier.alive(Instant::now());
            self.wait(orders)?;
        }
    }

    fn may_attach(&self) -> bool {
        self.bus_changed && self.place.is_ours()
    }

    fn wait(&self, orders: &Orders) -> anyhow::Result<()> {
        let attach = Some(self.attach_due).filter(|_| self.may_attach());
        let others = [self.notifier.next_alive(), attach].into_iter().flatten();
        let until = others.fold(self.pace.next(), Instant::min);
        let mut fds = vec![PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
        // What is known to have changed need not be heard again.
        if let Some(fd) = self.place.fd().filter(|_| !self.bus_changed) {
            fds.push(PollFd::new(fd, PollFlags::POLLIN));
        }
        let timeout = TimeSpec::from_duration(until.saturating_duration_since(Instant::now()));
        match ppoll(&mut fds, Some(timeout), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(anyhow::Error::new(errno).context("cannot wait for the next second")),
        }
    }

    fn pass(&mut self, now: Instant) {
        match self.place.check() {
            Ok(Standing::Ours) => {
                let is_stale = now.saturating_duration_since(self.looked_at) >= RESCAN_INTERVAL;
                self.bus_changed |= is_stale || self.place.is_blind();
            }
            Ok(Standing::Won) => self.bus_changed = true,
            Ok(Standing::Missing) => {
                self.notifier
                    .status(format!("waiting for the bus {}", self.settings.bus.display()));
            }
            Err(error) => self.complain(&anyhow::Error::new(error), now),
        }
        let tick = Tick {
            bus_changed: self.may_attach(),
            missed_count: self.pace.missed_count(),
        };
        match self.core.pass(&tick) {
            Ok(report) => {
                if tick.bus_changed {
                    self.looked(now);
                }
                if self.place.is_ours() {
                    self.notifier.status(report.to_string());
                }
                for error in &report.errors {
                    self.complain(error, now);
                }
            }
            Err(error) => self.complain(&error.context("a pass failed and is tried again"), now),
        }
    }

    fn attach(&mut self, now: Instant) {
        match self.core.attach() {
            Ok(()) => self.looked(now),
            Err(error) => {
                self.complain(
                    &error.context("cannot attach slabs; tried again with the next pass"),
                    now,
                );
                self.attach_due = self.pace.next() + ATTACH_PAUSE;
            }
        }
    }

    /// The core has seen what was on the bus at `started`.
    fn looked(&mut self, started: Instant) {
        let now = Instant::now();
        self.bus_changed = false;
        self.looked_at = started;
        self.attach_due = now + ATTACH_PAUSE.max((now - started) * ATTACH_SHARE);
    }

    fn reload(&mut self) {
        self.notifier.reloading();
        match (self.read_settings)() {
            Ok(read) => {
                let (next, needs_restart) = self.settings.reloaded(&read);
                if !needs_restart.is_empty() {
                    let names: Vec<&str> = needs_restart.into_iter().map(Key::name).collect();
                    tracing::warn!(
                        "{} changed, which needs a restart; the old stays in force",
                        names.join(", ")
                    );
                }
                self.settings = next;
                self.core.reload(&self.settings);
                tracing::info!("settings read again");
            }
            Err(error) => tracing::error!("settings not read again, the old stay in force: {error:#}"),
        }
        self.notifier.ready();
    }

    fn complain(&mut self, error: &anyhow::Error, now: Instant) {
        let text = format!("{error:#}");
        if self.quiet.admits(&text, now) {
            tracing::error!("{text}");
        }
    }
}

#[cfg(test)]
mod tests;
