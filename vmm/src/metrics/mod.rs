//! What the VMM records: the handles, by the threads that have them.
//!
//! | thread | handle | series |
//! |---|---|---|
//! | each vCPU | [`VcpuMetrics`] | exits by reason, time in the guest, time to handle an exit |
//! | each disk | [`BlockMetrics`] | requests and their duration by operation, bytes by direction, depth of the queue |
//! | event loop | [`VmMetrics`] | the tick's own, the process's, each vCPU thread's CPU time, the kernel's counters, milestones |
//!
//! Everything is registered before the first instruction of the guest; afterwards a record is a few stores.
//! A device gets handles of its own from [`VmMetrics::writer`] before it moves to its thread.

mod block;
mod kernel;
mod milestones;
mod process;
mod vcpu;

pub use block::BlockMetrics;
pub use milestones::{Milestone, Milestones};
pub use vcpu::VcpuMetrics;

use crate::error::Error;
use crate::kernel_stats::KernelStats;
use crate::stopwatch::Stopwatch;
use kernel::KernelSeries;
use process::ProcessSeries;
use rondo_writer::{CreateError, Distribution, RegisterError, SchemaConfig, SeriesHandle, Unit, Writer};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MetricsSet {
    /// About 30 series with one vCPU, and 14 more for each disk
    #[default]
    Default,
    /// Also the time to handle an exit by its reason, and every number that KVM keeps of each vCPU and of the
    /// machine: about 90 series and 1.6 MiB with one vCPU
    All,
}

/// Where the metrics go, and what there is to record.
#[derive(Debug, Clone)]
pub struct MetricsConfig {
    /// Name of the machine on the bus.
    pub instance: String,
    /// The bus directory; the writer's default if there is none.
    pub bus: Option<PathBuf>,
    /// How much of it.
    pub set: MetricsSet,
    /// vCPUs to have room for.
    pub cpus: u32,
    /// Disks to have room for.
    pub disks: u32,
    /// Gauges and counters, and distributions and histograms, of other devices to have room for.
    pub device_series: (u32, u32),
}

/// The event loop's metrics, and the writer of all.
pub struct VmMetrics {
    writer: Writer,
    set: MetricsSet,
    milestones: Arc<Milestones>,
    milestone_series: [SeriesHandle; 3],
    process: ProcessSeries,
    kernel: Vec<KernelSeries>,
    cpu_times: Vec<(SeriesHandle, File)>,
    tick_lateness: Distribution,
    missed_ticks: SeriesHandle,
    missed_count: u64,
}

impl VmMetrics {
    /// Creates the machine's slab, or one that nobody sees if the bus refuses: a VMM runs on without
    /// metrics. The bus's reason is the second value.
    ///
    /// # Errors
    /// [`Error::Metrics`] for a name that can be on no bus; [`Error::Register`] for a mistake of ours.
    pub fn create(config: &MetricsConfig) -> Result<(Self, Option<CreateError>), Error> {
        let mut builder = Writer::builder(&config.instance).schema(schema(config));
        if let Some(bus) = &config.bus {
            builder = builder.bus(bus);
        }
        let (writer, refused) = match builder.clone().create() {
            Ok(writer) => (writer, None),
            Err(refused) => (builder.create_private()?, Some(refused)),
        };
        Ok((Self::register(writer, config.set)?, refused))
    }

    fn register(mut writer: Writer, set: MetricsSet) -> Result<Self, RegisterError> {
        let milestones = Arc::new(Milestones::default());
        let milestone_series = milestones::register(&mut writer)?;
        Ok(Self {
            milestone_series,
            milestones,
            process: ProcessSeries::register(&mut writer)?,
            kernel: Vec::new(),
            cpu_times: Vec::new(),
            tick_lateness: writer
                .distribution("vmm_tick_lateness_ns")
                .unit(Unit::Nanoseconds)
                .help("How long after its time the event loop's tick came.")
                .owned()?,
            missed_ticks: writer
                .counter("vmm_missed_ticks_total")
                .help("Intervals that went by without a tick.")
                .held()?,
            missed_count: 0,
            set,
            writer,
        })
    }

    /// For devices that register series of their own.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// When the guest first did what.
    pub fn milestones(&self) -> &Arc<Milestones> {
        &self.milestones
    }

    /// The handles of a vCPU's thread, which measures with that stopwatch.
    ///
    /// # Errors
    /// There is no room; see [`MetricsConfig::cpus`].
    pub fn vcpu(&mut self, index: u32, stopwatch: Stopwatch) -> Result<VcpuMetrics, RegisterError> {
        VcpuMetrics::register(
            &mut self.writer,
            self.set,
            index,
            stopwatch,
            self.milestones.clone(),
        )
    }

    /// The handles of a disk's thread.
    ///
    /// # Errors
    /// There is no room; see [`MetricsConfig::disks`].
    pub fn block(&mut self, device: &str) -> Result<BlockMetrics, RegisterError> {
        BlockMetrics::register(&mut self.writer, device, self.milestones.clone())
    }

    /// Records the kernel's numbers of a vCPU, or of the machine, from now on: those of them that are in the set.
    ///
    /// # Errors
    /// There is no room.
    pub fn add_kernel_stats(&mut self, vcpu: Option<u32>, stats: KernelStats) -> Result<(), RegisterError> {
        let series = KernelSeries::register(&mut self.writer, self.set, vcpu, stats)?;
        self.kernel.extend(series);
        Ok(())
    }

    /// Records a vCPU thread's CPU time from now on, out of its `/proc/…/schedstat`.
    ///
    /// # Errors
    /// There is no room.
    pub fn add_cpu_time(&mut self, vcpu: u32, schedstat: File) -> Result<(), RegisterError> {
        let series = process::register_cpu_time(&mut self.writer, vcpu)?;
        self.cpu_times.push((series, schedstat));
        Ok(())
    }

    /// Intervals that went by without a tick so far.
    pub fn missed_ticks(&self) -> u64 {
        self.missed_count
    }

    /// When [`Self::tick`] is due, on CLOCK_MONOTONIC.
    pub fn next_tick(&self) -> Duration {
        self.writer.next_tick()
    }

    /// Once in each interval: moves the slab on, and records what only the event loop knows. A few system
    /// calls on files that are open already; `lateness` after its time.
    pub fn tick(&mut self, lateness: Duration) {
        self.tick_last();
        self.tick_lateness
            .record_at(self.writer.ticked_ns(), lateness.as_nanos() as f64);
    }

    /// Moves the slab on alone: also the last tick, when the guest runs no more, which is not late.
    pub fn tick_last(&mut self) {
        let before = self.writer.ticked_ns();
        self.writer.tick();
        let now = self.writer.ticked_ns();
        if let Some(intervals) = (now - before).checked_div(self.writer.interval_ns())
            && before != 0
        {
            self.missed_count += intervals.saturating_sub(1);
        }
        self.writer
            .record(self.missed_ticks, self.missed_count as f64, now);
        self.process.record(&self.writer, now);
        for (series, schedstat) in &self.cpu_times {
            if let Some(cpu_time_ns) = process::first_number(schedstat) {
                self.writer.record(*series, cpu_time_ns as f64, now);
            }
        }
        for series in &mut self.kernel {
            series.record(&self.writer, now);
        }
        for (series, milestone) in self.milestone_series.iter().zip(self.milestones.all()) {
            if let Some(reached) = milestone.reached_after() {
                self.writer.record(*series, reached.as_nanos() as f64, now);
            }
        }
    }

    /// The slab is closed when the vCPUs' handles are gone too.
    pub fn close(self) {
        self.writer.close();
    }
}

/// Room for exactly what is registered, with the tiers of a VMM.
fn schema(config: &MetricsConfig) -> SchemaConfig {
    let (points, distributions) = config.device_series;
    let of_vcpus = |each: u32| config.cpus.saturating_mul(each);
    let of_disks = |each: u32| config.disks.saturating_mul(each);
    let (kernel_of_vcpu, kernel_of_machine) = kernel::series_max(config.set);
    let own_points = process::SERIES + 4 + kernel_of_machine;
    SchemaConfig::default().capacity(
        of_vcpus(vcpu::COUNTERS + kernel_of_vcpu + 1)
            .saturating_add(of_disks(block::SERIES.0))
            .saturating_add(own_points + points),
        of_vcpus(vcpu::histograms(config.set))
            .saturating_add(of_disks(block::SERIES.1))
            .saturating_add(1 + distributions),
    )
}
