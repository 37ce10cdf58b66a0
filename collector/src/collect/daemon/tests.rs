//! The loop with a core that writes down what it is asked.

use super::*;
use crate::collect::core::Report;
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
