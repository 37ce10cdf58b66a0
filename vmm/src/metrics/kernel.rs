//! The kernel's counters of a vCPU that are recorded, where the kernel has them.

use crate::kernel_stats::{KernelStats, Stat};
use rondo_writer::{RegisterError, SeriesHandle, Unit, Writer};

/// The kernel's name, and what it counts.
const WANTED: [(&str, &str); 9] = [
    ("exits", "Exits from the guest to the kernel or the VMM."),
    ("halt_exits", "Halts of the guest."),
    ("halt_attempted_poll", "Halts for whose end the kernel polled."),
    (
        "halt_successful_poll",
        "Halts that ended while the kernel polled.",
    ),
    ("halt_wakeup", "Halts that ended after the thread had slept."),
    (
        "halt_wait_ns",
        "Time that the thread slept in halts of the guest.",
    ),
    ("irq_injections", "Interrupts given to the guest."),
    ("pf_taken", "Page faults of the guest that the kernel handled."),
    ("tlb_flush", "Flushes of the guest's translations."),
];

/// Counters that one vCPU may have.
pub(super) const SERIES_MAX: u32 = WANTED.len() as u32;

pub(super) struct KernelSeries {
    stats: KernelStats,
    series: Vec<(SeriesHandle, Stat)>,
}

impl KernelSeries {
    pub(super) fn register(
        writer: &mut Writer,
        vcpu: u32,
        stats: KernelStats,
    ) -> Result<Self, RegisterError> {
        let vcpu = vcpu.to_string();
        let mut series = Vec::new();
        for (name, help) in WANTED {
            let Some(stat) = stats.stats().iter().find(|stat| stat.name == name) else {
                continue;
            };
            let counter = writer.counter(&format!("kvm_{name}_total")).help(help);
            let counter = match (stat.is_time, stat.exponent) {
                (true, -9) => counter.unit(Unit::Nanoseconds),
                _ => counter,
            };
            series.push((counter.label("vcpu", &vcpu).held()?, stat.clone()));
        }
        Ok(Self { stats, series })
    }

    pub(super) fn record(&mut self, writer: &Writer, now_ns: u64) {
        if self.stats.refresh().is_ok() {
            for (handle, stat) in &self.series {
                writer.record(*handle, self.stats.value(stat) as f64, now_ns);
            }
        }
    }
}
