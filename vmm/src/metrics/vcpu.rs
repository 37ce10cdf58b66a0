//! What a vCPU's thread records, from the thread itself.

use super::{MetricsSet, Milestones};
use crate::exit::ExitReason;
use crate::stopwatch::Stopwatch;
use rondo_writer::{Clock, Counter, Histogram, RegisterError, Unit, Writer};
use std::sync::Arc;

pub(super) const COUNTERS: u32 = ExitReason::COUNT as u32;

pub(super) fn histograms(set: MetricsSet) -> u32 {
    match set {
        MetricsSet::Default => 2,
        MetricsSet::All => 2 + ExitReason::COUNT as u32,
    }
}

/// The handles of one vCPU.
///
/// A turn of the vCPU's loop is a [`Self::record_run`] when KVM_RUN returns and a [`Self::record_exit`] when
/// what it returned with is handled. Time is read at these two points and nowhere else: what is not spent in
/// one is spent in the other.
pub struct VcpuMetrics {
    exits: [Counter; ExitReason::COUNT],
    run_duration: Histogram,
    exit_duration: Histogram,
    /// If they are wanted.
    exit_durations: Option<[Histogram; ExitReason::COUNT]>,
    clock: Clock,
    milestones: Arc<Milestones>,
    /// Since the thread last turned to the guest or away from it.
    stopwatch: Stopwatch,
    /// Slab time of the last exit, and its reason.
    exited_ns: u64,
    reason: ExitReason,
}

impl VcpuMetrics {
    pub(super) fn register(
        writer: &mut Writer,
        set: MetricsSet,
        index: u32,
        stopwatch: Stopwatch,
        milestones: Arc<Milestones>,
    ) -> Result<Self, RegisterError> {
        let vcpu = index.to_string();
        let exits: Result<Vec<Counter>, _> = ExitReason::ALL
            .iter()
            .map(|reason| {
                writer
                    .counter("vcpu_exits_total")
                    .help("Exits from the guest to the VMM.")
                    .label("vcpu", &vcpu)
                    .label("reason", reason.name())
                    .owned()
            })
            .collect();
        let mut duration = |name: &str, help: &str| {
            let histogram = writer.histogram(name).unit(Unit::Nanoseconds);
            histogram.help(help).label("vcpu", &vcpu).owned()
        };
        let run_duration = duration(
            "vcpu_run_duration_ns",
            "Time in KVM_RUN between two exits, halts that the kernel handles included.",
        )?;
        let exit_duration = duration("vcpu_exit_duration_ns", "Time to handle an exit in the VMM.")?;
        let durations: Result<Vec<Histogram>, _> = ExitReason::ALL
            .iter()
            .filter(|_| set == MetricsSet::All)
            .map(|reason| {
                writer
                    .histogram("vcpu_exit_duration_by_reason_ns")
                    .unit(Unit::Nanoseconds)
                    .help("Time to handle an exit in the VMM, by its reason.")
                    .label("vcpu", &vcpu)
                    .label("reason", reason.name())
                    .owned()
            })
            .collect();
        let Ok(exits) = exits?.try_into() else {
            return Err(RegisterError::Name(String::new())); // as many as there are reasons
        };
        Ok(Self {
            exits,
            run_duration,
            exit_duration,
            // Of none of them if there are none.
            exit_durations: durations?.try_into().ok(),
            clock: writer.clock(),
            milestones,
            stopwatch,
            exited_ns: 0,
            reason: ExitReason::Other,
        })
    }

    // rondo: begin

    /// The thread is about to enter the guest for the first time.
    pub fn start(&mut self) {
        self.stopwatch.lap_ns();
    }

    /// KVM_RUN returned.
    #[inline]
    pub fn record_run(&mut self, reason: ExitReason) {
        let run_ns = self.stopwatch.lap_ns();
        self.reason = reason;
        self.exited_ns = self.clock.now();
        self.exits[reason as usize].add_at(self.exited_ns, 1);
        self.run_duration.record_at(self.exited_ns, run_ns);
        self.milestones.first_exit.reach();
    }

    /// The exit is handled.
    #[inline]
    pub fn record_exit(&mut self) {
        let exit_ns = self.stopwatch.lap_ns();
        self.exit_duration.record_at(self.exited_ns, exit_ns);
        if let Some(durations) = &mut self.exit_durations {
            durations[self.reason as usize].record_at(self.exited_ns, exit_ns);
        }
    }

    // rondo: end
}
