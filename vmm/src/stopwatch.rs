//! Time between two points of a vCPU's loop, for a few nanoseconds.
//!
//! A turn of the loop has two such points, and its exit may take no more than a microsecond. The processor's time
//! stamp counter is read in a third of the time that CLOCK_MONOTONIC takes, and in much less where the guest's work has
//! driven the kernel's clock page out of the caches. It is taken where the kernel takes it for its own clock (`tsc` is
//! the clock source): so it runs at one speed, on all processors alike. Its speed is what KVM says. Elsewhere
//! CLOCK_MONOTONIC does.

use crate::raw;
use std::time::Instant;

/// What the kernel's own clock reads.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Measures laps. Costs one reading of the counter for each.
#[derive(Debug, Clone)]
pub struct Stopwatch {
    source: Source,
    /// When the lap began, as the source counts.
    began: u64,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// The time stamp counter, and nanoseconds for each of its steps.
    Counter { step_ns: f64 },
    /// CLOCK_MONOTONIC, in nanoseconds since then.
    Monotonic(Instant),
}

impl Stopwatch {
    /// A stopwatch whose first lap begins now. `counter_khz` is the speed of the counter, which a vCPU of KVM's
    /// knows (`get_tsc_khz`); 0 if nobody does.
    pub fn new(counter_khz: u32) -> Self {
        Self::with(
            &std::fs::read_to_string(CLOCK_SOURCE).unwrap_or_default(),
            counter_khz,
        )
    }

    fn with(clock_source: &str, counter_khz: u32) -> Self {
        let source = if clock_source.trim() == "tsc" && counter_khz > 0 {
            Source::Counter {
                step_ns: 1e6 / f64::from(counter_khz),
            }
        } else {
            Source::Monotonic(Instant::now())
        };
        let mut this = Self { source, began: 0 };
        this.lap_ns();
        this
    }

    /// Whether it reads the time stamp counter, not CLOCK_MONOTONIC.
    pub fn reads_counter(&self) -> bool {
        matches!(self.source, Source::Counter { .. })
    }

    // rondo: begin

    /// Ends a lap, and begins the next: nanoseconds that it took.
    #[inline]
    pub fn lap_ns(&mut self) -> f64 {
        let (now, step_ns) = match self.source {
            Source::Counter { step_ns } => (raw::time_stamp_counter(), step_ns),
            Source::Monotonic(start) => (start.elapsed().as_nanos() as u64, 1.0),
        };
        let began = std::mem::replace(&mut self.began, now);
        // The counters of two processors may be some steps apart.
        now.saturating_sub(began) as f64 * step_ns
    }

    // rondo: end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Of each source there is, and of one that is not there.
    #[test]
    fn a_lap_is_as_long_as_it_was() {
        let kvm = kvm_ioctls::Kvm::new();
        let vcpu = kvm
            .and_then(|kvm| kvm.create_vm())
            .and_then(|vm| vm.create_vcpu(0));
        let mut stopwatches = vec![Stopwatch::with("hpet\n", 1), Stopwatch::with("tsc\n", 0)];
        let khz = vcpu.and_then(|vcpu| vcpu.get_tsc_khz());
        stopwatches.extend(khz.ok().map(Stopwatch::new));
        for mut stopwatch in stopwatches {
            let began = Instant::now();
            stopwatch.lap_ns();
            let lap_began = Instant::now();
            std::thread::sleep(Duration::from_millis(20));
            let least = lap_began.elapsed();
            let lap_ns = stopwatch.lap_ns();
            let most = began.elapsed();
            // KVM gives the counter's speed in whole kHz.
            assert!(
                lap_ns > least.as_nanos() as f64 * 0.999,
                "{stopwatch:?}: {lap_ns} {least:?}"
            );
            assert!(
                lap_ns < most.as_nanos() as f64 * 1.001,
                "{stopwatch:?}: {lap_ns} {most:?}"
            );
        }
    }
}
