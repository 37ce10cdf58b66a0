//! The hot path makes no system call and no allocation, whatever it is told.
//!
//! A VMM's threads run behind a seccomp filter that kills on what a device loop does not need, and a
//! page fault or a lock of the allocator in a vCPU thread is a pause of the guest. The test harness
//! counts for the children: a child puts a filter on its only recording thread that kills the process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{SECOND, bus, child, schema, told};
use nix::libc;
use rondo_writer::{
    Clock, Counter, Distribution, Gauge, Histogram, SeriesHandle, SharedCounter, SharedGauge, TimeSource,
    Writer,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::os::unix::process::ExitStatusExt;

/// Everything that can be recorded, and everything that is refused.
struct Mix {
    writer: Writer,
    clock: Clock,
    gauge: Gauge,
    counter: Counter,
    distribution: Distribution,
    histogram: Histogram,
    shared_counter: SharedCounter,
    shared_gauge: SharedGauge,
    held: [SeriesHandle; 4],
}

impl Mix {
    fn new(mut writer: Writer) -> Self {
        let held = [
            writer.gauge("held_gauge").held().unwrap(),
            writer.counter("held_counter").held().unwrap(),
            writer.distribution("held_distribution").held().unwrap(),
            writer.histogram("held_histogram").held().unwrap(),
        ];
        Self {
            gauge: writer.gauge("gauge").owned().unwrap(),
            counter: writer.counter("counter").owned().unwrap(),
            distribution: writer.distribution("distribution").owned().unwrap(),
            histogram: writer.histogram("histogram").owned().unwrap(),
            shared_counter: writer.counter("shared_counter").shared().unwrap(),
            shared_gauge: writer.gauge("shared_gauge").shared().unwrap(),
            held,
            clock: writer.clock(),
            writer,
        }
    }

    /// `rounds` of it, 10 to an interval where time is simulated.
    fn record(&mut self, rounds: u64, simulated_from: Option<u64>) {
        for round in 0..rounds {
            if round % 10 == 0 {
                match simulated_from {
                    Some(start) => self.writer.tick_at(start + round / 10 * SECOND),
                    None => self.writer.tick(),
                }
            }
            let value = round as f64;
            self.gauge.set(value);
            self.counter.add(1);
            self.counter.set_total(round);
            self.distribution.record(value);
            self.histogram.record(value);
            self.shared_counter.add(1);
            self.shared_gauge.set(value);
            let now = self.clock.now();
            self.gauge.set_at(now, value);
            self.counter.add_at(now, 1);
            self.distribution.record_at(now, value);
            self.histogram.record_at(now, value);
            self.writer
                .record_batch(&self.held.map(|handle| (handle, value)), now);
            // Refused: stale, from the future, from beyond all time, and for the value.
            for late in [1, now - 3 * SECOND, now + 100 * SECOND, u64::MAX] {
                let is_future = late > now && late != u64::MAX && simulated_from.is_some();
                if !is_future {
                    self.gauge.set_at(late, value);
                    self.counter.add_at(late, 1);
                    self.distribution.record_at(late, value);
                    self.histogram.record_at(late, value);
                    self.writer
                        .record_batch(&self.held.map(|handle| (handle, value)), late);
                }
            }
            for bad in [f64::NAN, f64::INFINITY, -1.0] {
                self.gauge.set_at(now, f64::NAN);
                self.counter.set_total_at(now, 0);
                self.distribution.record_at(now, bad);
                self.histogram.record_at(now, bad);
                self.shared_gauge.set(f64::NAN);
                self.writer
                    .record_batch(&self.held.map(|handle| (handle, bad)), now);
            }
            std::hint::black_box((
                self.writer.now(),
                self.writer.next_tick(),
                self.writer.until_next_tick(),
            ));
            std::hint::black_box((self.writer.ticked_ns(), self.counter.total()));
        }
    }
}

/// The same with real time from either source, with simulated time, in which every tenth round opens
/// new intervals, and with handles that go nowhere.
fn mixes(bus: &std::path::Path) -> Vec<(Mix, Option<u64>)> {
    let start = 1_000 * SECOND;
    let builder = |name: &str| Writer::builder(name).bus(bus).schema(schema(8));
    vec![
        (Mix::new(builder("coarse").create().unwrap()), None),
        (
            Mix::new(builder("ticks").time_source(TimeSource::Tick).create().unwrap()),
            None,
        ),
        (
            Mix::new(builder("simulated").simulated_time(start).create().unwrap()),
            Some(start),
        ),
        (Mix::new(builder("private").create_private().unwrap()), None),
    ]
}

#[test]
fn recording_does_not_allocate() {
    let bus = bus();
    let mut mixes = mixes(bus.path());
    let counted = allocation_counter::measure(|| {
        for (mix, start) in &mut mixes {
            mix.record(5_000, *start);
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    // The control: what does allocate is seen.
    let control = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(mixes.len()))));
    assert_eq!(control.count_total, 1);
}

/// Only to say the result and to end.
fn forbid_system_calls() {
    let allowed = [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_write].map(|call| (call, vec![]));
    let filter = SeccompFilter::new(
        allowed.into_iter().collect(),
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Says so and ends without the harness, which needs more system calls for that.
fn done() -> ! {
    // SAFETY: the bytes are there.
    unsafe { libc::write(1, c"quiet\n".as_ptr().cast(), 6) };
    // SAFETY: ends the process, and nothing after it runs.
    unsafe { libc::_exit(0) }
}

#[test]
fn recording_makes_no_system_call() {
    const NAME: &str = "recording_makes_no_system_call";
    match told().as_deref() {
        Some(what) => {
            let bus = bus();
            let mut mixes = mixes(bus.path());
            // Removed by the parent, as the child ends without looking back.
            println!("\nbus {}", bus.path().display());
            forbid_system_calls();
            for (mix, start) in &mut mixes {
                mix.record(100_000 / 4, *start);
            }
            if what == "and one more" {
                std::hint::black_box(nix::unistd::getppid());
            }
            done();
        }
        None => {
            for (what, expected) in [("nothing else", None), ("and one more", Some(libc::SIGSYS))] {
                let output = child(NAME, what).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                if let Some(bus) = text.lines().find_map(|line| line.strip_prefix("bus ")) {
                    std::fs::remove_dir_all(bus).unwrap();
                }
                assert_eq!(output.status.signal(), expected, "{what}: {output:?}");
                assert_eq!(text.contains("quiet"), expected.is_none(), "{what}: {output:?}");
            }
        }
    }
}

/// Handles for a VMM that runs without a bus are made where the filter may be in force already.
#[test]
fn noop_handles_are_made_without_asking_the_system_for_anything_but_memory() {
    const NAME: &str = "noop_handles_are_made_without_asking_the_system_for_anything_but_memory";
    if told().is_none() {
        let output = child(NAME, "go").output().unwrap();
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("quiet"),
            "{output:?}"
        );
        return;
    }
    // The allocator has what it needs, and so do the standard library's hash keys.
    drop(std::hint::black_box(vec![1u8; 100_000]));
    drop(Gauge::noop());
    forbid_system_calls();
    let (mut counter, shared) = (Counter::noop(), SharedGauge::noop());
    counter.add(1);
    shared.set(1.0);
    drop((counter, shared, Histogram::noop()));
    done();
}
