//! The kernel's numbers of a vCPU, and of the machine, that are recorded, where the kernel has them.

use super::MetricsSet;
use crate::kernel_stats::{KernelStats, Stat};
use rondo_writer::{RegisterError, Registration, SeriesHandle, Unit, Writer};

/// The kernel's name, and what it counts: what is recorded of a vCPU in the default set.
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

/// Series that one vCPU may have, and the machine. Linux 6.18 has 44 and 16 numbers for them.
pub(super) fn series_max(set: MetricsSet) -> (u32, u32) {
    match set {
        MetricsSet::Default => (WANTED.len() as u32, 0),
        MetricsSet::All => (64, 32),
    }
}

pub(super) struct KernelSeries {
    stats: KernelStats,
    series: Vec<(SeriesHandle, Stat)>,
}

impl KernelSeries {
    /// Of a vCPU, or of the machine. `None` if nothing of it is recorded.
    pub(super) fn register(
        writer: &mut Writer,
        set: MetricsSet,
        vcpu: Option<u32>,
        stats: KernelStats,
    ) -> Result<Option<Self>, RegisterError> {
        let (of_vcpu, of_machine) = series_max(set);
        let max = if vcpu.is_some() { of_vcpu } else { of_machine };
        let help = |stat: &Stat| match WANTED.iter().find(|(name, _)| *name == stat.name) {
            Some((_, help)) if vcpu.is_some() => Some((*help).to_owned()),
            _ => (set == MetricsSet::All).then(|| format!("KVM's statistic {}.", stat.name)),
        };
        let recorded = stats.stats().iter().filter_map(|stat| Some((stat, help(stat)?)));
        let series: Result<Vec<_>, RegisterError> = recorded
            .take(max as usize)
            .map(|(stat, help)| Ok((register_one(writer, vcpu, stat, &help)?, stat.clone())))
            .collect();
        let series = series?;
        Ok((!series.is_empty()).then_some(Self { stats, series }))
    }

    pub(super) fn record(&mut self, writer: &Writer, now_ns: u64) {
        if self.stats.refresh().is_ok() {
            for (handle, stat) in &self.series {
                writer.record(*handle, self.stats.value(stat) as f64, now_ns);
            }
        }
    }
}

/// `kvm_…` with the vCPU as a label, or `kvm_vm_…`: sums of the two would make no sense.
fn register_one(
    writer: &mut Writer,
    vcpu: Option<u32>,
    stat: &Stat,
    help: &str,
) -> Result<SeriesHandle, RegisterError> {
    let of = if vcpu.is_some() { "" } else { "vm_" };
    if stat.is_total {
        let counter = writer.counter(&format!("kvm_{of}{}_total", stat.name));
        describe(counter, vcpu, stat, help).held()
    } else {
        let gauge = writer.gauge(&format!("kvm_{of}{}", stat.name));
        describe(gauge, vcpu, stat, help).held()
    }
}

fn describe<'w, H>(
    series: Registration<'w, H>,
    vcpu: Option<u32>,
    stat: &Stat,
    help: &str,
) -> Registration<'w, H> {
    let series = match (stat.is_time, stat.exponent) {
        (true, -9) => series.unit(Unit::Nanoseconds),
        _ => series,
    };
    let series = series.help(help);
    match vcpu {
        Some(vcpu) => series.label("vcpu", &vcpu.to_string()),
        None => series,
    }
}
