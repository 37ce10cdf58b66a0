//! The loop: a pass each second, what came to the bus at once, orders at once.
//!
//! One thread waits for whichever comes first: the next tick, an order, a change of the bus, or the time to tell
//! systemd that it is alive. What is done then is the [`Core`]'s business.

use crate::collect::notify::Notifier;
use crate::collect::pace::{PASS_INTERVAL, Pace};
use crate::collect::place::{Place, Standing};
use crate::collect::quiet::Quiet;
use crate::collect::settings::{Key, Settings};
use crate::collect::signals::Orders;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::fmt;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

/// How often the bus is looked at even if nothing was heard of it.
const RESCAN_INTERVAL: Duration = Duration::from_secs(10);

/// Machines that start together are attached together.
const ATTACH_PAUSE: Duration = Duration::from_millis(20);

/// Attaching between passes takes at most one part in so many of a core, however fast machines come.
const ATTACH_SHARE: u32 = 20;

/// What collects.
pub trait Core {
    /// Slabs may have come or gone: attach the new ones. Called between passes, soon after the change; pauses grow with
    /// what it costs.
    ///
    /// # Errors
    /// Logged, and tried again with the next pass.
    fn attach(&mut self) -> anyhow::Result<()>;

    /// Read what is new, once a second. The bus directory may only be listed if [`Tick::bus_changed`]: it may be
    /// missing, or another collector's, otherwise.
    ///
    /// # Errors
    /// The pass could not be made, or not list the directory: tried again with the next one. Like [`Report::errors`], this
    /// is logged, at most once a minute for the same text.
    fn pass(&mut self, tick: &Tick) -> anyhow::Result<Report>;

    /// Settings that can change in a running collector have changed: `keep` and the limits.
    fn reload(&mut self, settings: &Settings);

    /// The end: store everything that is complete.
    ///
    /// # Errors
    /// What is then the command's.
    fn finish(&mut self) -> anyhow::Result<()>;
}

/// When and why a pass is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Slabs may have come or gone since the last look at the directory.
    pub bus_changed: bool,
    /// Ticks so far that had no pass because an earlier one took too long.
    pub missed_count: u64,
}

/// What a pass found.
#[derive(Debug, Default)]
pub struct Report {
    /// Slabs whose writer lives.
    pub live_count: u64,
    /// Slabs whose writer is gone.
    pub ended_count: u64,
    /// Files that were not let in.
    pub refused_count: u64,
    /// What went wrong with single slabs, or with the store, and is tried again by itself.
    pub errors: Vec<anyhow::Error>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            live_count,
            ended_count,
            refused_count,
            errors: _,
        } = self;
        write!(
            f,
            "{live_count} live slabs, {ended_count} ended, {refused_count} refused"
        )
    }
}

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
mod tests {
    use super::*;
    use crate::collect::settings::Sources;
    use crate::collect::signals::Remote;
    use std::path::Path;
    use tempfile::TempDir;

    /// What the loop asked for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Call {
        Attach,
        Pass(Tick),
        Reload(Duration),
        Finish,
    }

    /// Writes down each call, and does with the world what a test's script says.
    struct Fake<S> {
        started: Instant,
        calls: Vec<(Duration, Call)>,
        remote: Remote,
        script: S,
    }

    impl<S: FnMut(usize, Call, &Remote) -> anyhow::Result<()>> Fake<S> {
        fn note(&mut self, call: Call) -> anyhow::Result<()> {
            self.calls.push((self.started.elapsed(), call));
            let passes = self
                .calls
                .iter()
                .filter(|(_, call)| matches!(call, Call::Pass(_)));
            (self.script)(passes.count(), call, &self.remote)
        }
    }

    impl<S: FnMut(usize, Call, &Remote) -> anyhow::Result<()>> Core for Fake<S> {
        fn attach(&mut self) -> anyhow::Result<()> {
            self.note(Call::Attach)
        }
        fn pass(&mut self, tick: &Tick) -> anyhow::Result<Report> {
            self.note(Call::Pass(*tick)).map(|()| Report::default())
        }
        fn reload(&mut self, settings: &Settings) {
            self.note(Call::Reload(settings.keep)).unwrap();
        }
        fn finish(&mut self) -> anyhow::Result<()> {
            self.note(Call::Finish)
        }
    }

    fn settings(bus: &Path) -> Settings {
        let flags = vec![(Key::Bus, bus.into())];
        Settings::load(&Sources {
            flags,
            is_root: true,
            ..Sources::default()
        })
        .unwrap()
    }

    /// Runs the loop until the script stops it. The script gets the number of passes so far.
    fn play(
        bus: &Path,
        read_settings: impl FnMut() -> anyhow::Result<Settings>,
        script: impl FnMut(usize, Call, &Remote) -> anyhow::Result<()>,
    ) -> Vec<(Duration, Call)> {
        let orders = Orders::new().unwrap();
        let mut fake = Fake {
            started: Instant::now(),
            calls: Vec::new(),
            remote: orders.remote().unwrap(),
            script,
        };
        run(&mut fake, settings(bus), &orders, read_settings).unwrap();
        fake.calls
    }

    fn no_reload() -> anyhow::Result<Settings> {
        unreachable!("nobody asked to reload")
    }

    fn bus() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn passes_are_a_second_apart_and_the_first_is_made_at_once() {
        let bus = bus();
        let calls = play(bus.path(), no_reload, |passes, _, remote| {
            // Work must not add up: a loop that slept a second after each pass would drift by this.
            std::thread::sleep(MS(150));
            if passes == 4 {
                remote.stop();
            }
            Ok(())
        });
        // Wide enough for a loaded machine, too narrow for a drift.
        assert!(calls[0].0 < MS(500), "{calls:?}");
        let two_seconds = calls[3].0 - calls[1].0;
        assert!(two_seconds > MS(1_900) && two_seconds < MS(2_250), "{calls:?}");
        assert!(matches!(
            calls[0].1,
            Call::Pass(Tick {
                bus_changed: true,
                ..
            })
        ));
        assert!(matches!(
            calls[1].1,
            Call::Pass(Tick {
                bus_changed: false,
                ..
            })
        ));
        assert_eq!(calls[4].1, Call::Finish);
        assert!(
            calls[4].0 - calls[3].0 < MS(600),
            "stopped without waiting for the next second"
        );
    }

    /// A machine that starts right after a pass is attached before the next one; ten together cost one look.
    #[test]
    fn what_comes_to_the_bus_is_attached_at_once_and_together() {
        let bus = bus();
        let mut made_at = None;
        let calls = play(bus.path(), no_reload, |passes, call, remote| {
            if passes == 2 && made_at.is_none() {
                made_at = Some(Instant::now());
                for i in 0..10 {
                    std::fs::write(bus.path().join(format!("{i}.slab")), "").unwrap();
                }
            }
            if call == Call::Attach {
                assert!(passes == 2 && made_at.unwrap().elapsed() < MS(500));
                remote.stop();
            }
            assert!(passes < 4, "never attached");
            Ok(())
        });
        assert_eq!(
            calls.iter().filter(|(_, call)| *call == Call::Attach).count(),
            1,
            "{calls:?}"
        );
    }

    #[test]
    fn a_pass_of_more_than_a_second_skips_ticks_and_counts_them() {
        let bus = bus();
        let calls = play(bus.path(), no_reload, |passes, _, remote| {
            match passes {
                2 => std::thread::sleep(MS(2_500)),
                4 => remote.stop(),
                _ => {}
            }
            Ok(())
        });
        let missed = |i: usize| match calls[i].1 {
            Call::Pass(tick) => tick.missed_count,
            call => panic!("{call:?}"),
        };
        assert_eq!([missed(1), missed(2), missed(3)], [0, 1, 1], "{calls:?}");
    }

    #[test]
    fn a_pass_that_fails_is_tried_again_and_what_changed_is_not_forgotten() {
        let bus = bus();
        let calls = play(bus.path(), no_reload, |passes, _, remote| match passes {
            1 => anyhow::bail!("the disk is full"),
            2 => {
                remote.stop();
                Ok(())
            }
            _ => Ok(()),
        });
        let passes: Vec<Call> = calls
            .iter()
            .map(|(_, call)| *call)
            .filter(|call| *call != Call::Attach)
            .collect();
        let tick = Call::Pass(Tick {
            bus_changed: true,
            missed_count: 0,
        });
        assert_eq!(passes[0], tick);
        // Seen to by an attach in between, or else by the pass itself.
        assert!(passes[1] == tick || calls[1].1 == Call::Attach, "{calls:?}");
    }

    #[test]
    fn a_reload_is_made_at_once_and_a_broken_file_leaves_the_old_settings() {
        let bus = bus();
        let mut answers = vec![Err(anyhow::anyhow!("unknown key")), Ok(MS(5_000))];
        let read = || {
            answers.pop().unwrap().map(|keep| Settings {
                keep,
                ..settings(bus.path())
            })
        };
        let calls = play(bus.path(), read, |passes, call, remote| {
            match call {
                Call::Pass(_) if passes < 3 => remote.reload(),
                Call::Pass(_) => remote.stop(),
                _ => {}
            }
            Ok(())
        });
        let reloads: Vec<usize> = (0..calls.len())
            .filter(|&i| matches!(calls[i].1, Call::Reload(_)))
            .collect();
        assert_eq!(reloads, [1], "the second was broken: {calls:?}");
        assert_eq!(calls[1].1, Call::Reload(MS(5_000)));
        assert!(calls[1].0 - calls[0].0 < MS(500));
    }

    /// Slabs that are attached are read on while the directory is away, and it is looked at once it is back.
    #[test]
    fn the_bus_may_come_late_and_go_and_come_again() {
        let parent = tempfile::tempdir().unwrap();
        let bus = parent.path().join("bus");
        let calls = play(&bus, no_reload, |passes, call, remote| {
            if let Call::Pass(_) = call {
                match passes {
                    1 | 4 => std::fs::create_dir(&bus).unwrap(),
                    2 => std::fs::remove_dir_all(&bus).unwrap(),
                    5 => remote.stop(),
                    _ => {}
                }
            }
            Ok(())
        });
        let looked: Vec<bool> = calls
            .iter()
            .filter_map(|(_, call)| match call {
                Call::Pass(tick) => Some(tick.bus_changed),
                _ => None,
            })
            .collect();
        assert_eq!(looked, [false, true, false, false, true], "{calls:?}");
    }

    #[test]
    fn a_second_collector_is_refused_at_the_start() {
        let bus = bus();
        let _first = crate::collect::lock::BusLock::take(bus.path()).unwrap();
        let orders = Orders::new().unwrap();
        let mut fake = Fake {
            started: Instant::now(),
            calls: Vec::new(),
            remote: orders.remote().unwrap(),
            script: |_, _, _: &Remote| Ok(()),
        };
        let error = run(&mut fake, settings(bus.path()), &orders, no_reload).unwrap_err();
        assert!(
            error.to_string().starts_with("another collector (pid "),
            "{error}"
        );
        assert!(fake.calls.is_empty());
    }
}
