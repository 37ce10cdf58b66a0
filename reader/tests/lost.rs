//! A file that shrinks under its mapping: an error, never a crash, never zeros for values.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{SECOND, START};
use rondo_reader::{Error, Limits, PointValue, Slab};
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// The gauge of the sample slab is the number of the second, so every value can be told from a zero page.
fn is_right(value: PointValue, t: u64) -> bool {
    value == PointValue::Gauge(((t - START) / SECOND) as f64)
}

#[test]
fn after_a_cut_every_read_is_an_error() {
    let bus = common::bus();
    let path = common::sample(bus.path());
    let mut slab = common::open(&path);
    let view = slab.view().unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    let series = common::series(&slab, "gauge").clone();
    assert!(matches!(slab.latest(&series, &view), Err(Error::Lost(_))));
    assert!(slab.is_lost());
    assert!(matches!(
        slab.range(&series, &view, 0, u64::MAX),
        Err(Error::Lost(_))
    ));
    assert!(matches!(
        slab.scan(&view, 0, u64::MAX, |_, _| {}),
        Err(Error::Lost(_))
    ));
    assert!(matches!(
        slab.scan(&view, u64::MAX, 0, |_, _| {}),
        Err(Error::Lost(_))
    ));
    assert!(matches!(
        slab.buckets(common::series(&slab, "histogram"), &view),
        Err(Error::Lost(_))
    ));
    assert!(matches!(slab.live(), Err(Error::Lost(_))));
    assert!(matches!(slab.view(), Err(Error::Lost(_))));
    assert!(matches!(slab.refresh(), Err(Error::Lost(_))));
    assert_eq!(slab.identity().instance, "vm-1", "what was copied is still there");
}

/// What is missing of the last page reads as zeros without a fault; the next view notices.
#[test]
fn a_cut_within_a_page_is_noticed_by_the_next_view() {
    let bus = common::bus();
    let path = common::sample(bus.path());
    let slab = common::open(&path);
    let len = slab.size_bytes();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(len - 8)
        .unwrap();
    assert!(matches!(slab.view(), Err(Error::Lost(_))));
}

#[test]
fn a_lost_slab_does_not_touch_its_neighbours() {
    let bus = common::bus();
    let bytes = common::sample_bytes();
    let paths: Vec<_> = (0..20).map(|i| bus.path().join(format!("{i}.slab"))).collect();
    for path in &paths {
        common::file(path, &bytes);
    }
    let slabs: Vec<Slab> = paths.iter().map(|path| common::open(path)).collect();
    for path in paths.iter().step_by(2) {
        OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(4096)
            .unwrap();
    }
    for (i, slab) in slabs.iter().enumerate() {
        let read = slab
            .view()
            .and_then(|view| slab.latest(common::series(slab, "gauge"), &view));
        assert_eq!(read.is_err(), i % 2 == 0, "{i}: {read:?}");
    }
    let count = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .matches(bus.path().to_str().unwrap())
            .count()
    };
    assert!(count() >= 10);
    drop(slabs);
    assert_eq!(count(), 0, "lost mappings are unmapped like others");
}

/// The race itself, over and over: one thread cuts the file while others read and open it.
#[test]
fn cut_at_any_moment_values_are_right_or_the_slab_is_lost() {
    let bus = common::bus();
    let bytes = common::sample_bytes();
    let path = bus.path().join("x.slab");
    let (mut lost, mut read) = (0, 0);
    for round in 0..400u64 {
        let _ = std::fs::remove_file(&path);
        common::file(&path, &bytes);
        let slab = common::open(&path);
        let view = slab.view().unwrap();
        let start = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !start.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                for _ in 0..round % 40 * 50 {
                    std::hint::spin_loop();
                }
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len([0, 4096, 100, bytes.len() as u64 / 2][round as usize % 4])
                    .unwrap();
            });
            threads.spawn(|| {
                start.store(true, Ordering::Release);
                for _ in 0..50 {
                    // Opening it at that moment is a rejection, a loss, or a slab; or there is no file.
                    let _ = Slab::open(&path, &Limits::default()).and_then(|slab| slab.live());
                }
            });
            start.store(true, Ordering::Release);
            let gauge = common::series(&slab, "gauge");
            for _ in 0..200 {
                match slab.range(gauge, &view, 0, u64::MAX) {
                    Ok(points) => {
                        read += 1;
                        assert_eq!(points.len(), 5, "{points:?}");
                        assert!(
                            points.iter().all(|point| is_right(point.value, point.t)),
                            "{points:?}"
                        );
                    }
                    Err(Error::Lost(_)) => {
                        lost += 1;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    assert!(lost > 0 && read > 0, "{lost} lost, {read} read");
}

/// The mapping is of the file, not of the path.
#[test]
fn a_replaced_or_removed_path_changes_nothing_for_those_who_have_it_open() {
    let bus = common::bus();
    let path = common::sample(bus.path());
    let slab = common::open(&path);
    let view = slab.view().unwrap();
    std::fs::remove_file(&path).unwrap();
    common::file(&path, &vec![0xaa; 8192]);
    let latest = slab
        .latest(common::series(&slab, "gauge"), &view)
        .unwrap()
        .unwrap();
    assert!(is_right(latest.value, latest.t) && !slab.is_lost());
}

/// The tests below run themselves in a child process, which is to die.
fn child(test: &str) -> Option<std::process::ExitStatus> {
    if std::env::var_os("RONDO_TEST_CHILD").is_some() {
        return None;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("RONDO_TEST_CHILD", "1")
        .status()
        .unwrap();
    Some(status)
}

const SIGBUS: i32 = 7;

/// A fault in another mapping is not ours: the process dies of it, as it would have without us.
#[test]
fn a_fault_outside_our_mappings_still_kills() {
    if let Some(status) = child("a_fault_outside_our_mappings_still_kills") {
        assert_eq!(status.signal(), Some(SIGBUS), "{status:?}");
        return;
    }
    let bus = common::bus();
    let _slab = common::open(&common::sample(bus.path()));
    let path = bus.path().join("other");
    common::file(&path, &[1; 8192]);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let other = memmap2::MmapOptions::new().map_raw_read_only(&file).unwrap();
    file.set_len(0).unwrap();
    // SAFETY: the address is mapped and aligned; that the page is gone raises the signal under test.
    unsafe { std::ptr::read_volatile(other.as_ptr()) };
}

#[test]
fn a_sigbus_that_was_sent_still_kills() {
    if let Some(status) = child("a_sigbus_that_was_sent_still_kills") {
        assert_eq!(status.signal(), Some(SIGBUS), "{status:?}");
        return;
    }
    use nix::sys::signal::{SigHandler, Signal, raise, signal};
    // Rust's runtime has a handler for stack overflows, which takes the first one and restores the default.
    // SAFETY: the default action is no function.
    unsafe { signal(Signal::SIGBUS, SigHandler::SigDfl) }.unwrap();
    let bus = common::bus();
    let _slab = common::open(&common::sample(bus.path()));
    raise(Signal::SIGBUS).unwrap();
}

extern "C" fn exit_42(_: i32) {
    // SAFETY: async-signal-safe; ends the process.
    unsafe { nix::libc::_exit(42) };
}

/// Another library's handler keeps getting what is not ours.
#[test]
fn the_handler_that_was_there_before_is_called() {
    if let Some(status) = child("the_handler_that_was_there_before_is_called") {
        assert_eq!(status.code(), Some(42), "{status:?}");
        return;
    }
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
    let action = SigAction::new(SigHandler::Handler(exit_42), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only ends the process.
    unsafe { sigaction(Signal::SIGBUS, &action) }.unwrap();
    let bus = common::bus();
    let path = common::sample(bus.path());
    let slab = common::open(&path);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(slab.live().is_err(), "ours is handled here");
    raise(Signal::SIGBUS).unwrap();
}
