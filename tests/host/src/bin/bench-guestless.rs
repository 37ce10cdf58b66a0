//! What stands in for the VMM where no guest can run: the VMM's own metrics, driven by a clock instead of a guest.
#![forbid(unsafe_code)]

use anyhow::{Result, bail};
use clap::Parser;
use rondo_vmm::Ending;
use rondo_vmm::event_log::EventLog;
use rondo_vmm::exit::ExitReason;
use rondo_vmm::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use rondo_vmm::stopwatch::Stopwatch;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two exits that are recorded.
const EXIT_INTERVAL: Duration = Duration::from_millis(10);

/// The arguments of `rondo-vmm` that the benchmark uses.
#[derive(Parser)]
struct Arguments {
    /// Name of the machine
    #[arg(long)]
    instance: String,
    /// Bus directory
    #[arg(long)]
    bus: PathBuf,
    /// How long it lives
    #[arg(long)]
    seconds: u64,
    /// Where to say what becomes of it
    #[arg(long)]
    events: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let (mut metrics, refused) = VmMetrics::create(&MetricsConfig {
        instance: arguments.instance,
        bus: Some(arguments.bus),
        set: MetricsSet::Default,
        cpus: 1,
        disks: 0,
        device_series: (0, 0),
    })?;
    if let Some(refused) = refused {
        bail!("no metrics: {refused}");
    }
    let mut vcpu = metrics.vcpu(0, Stopwatch::new(0))?;
    let mut events = EventLog::open(&arguments.events)?;
    events.started(metrics.writer());
    vcpu.start();
    let tell = |metrics: &mut VmMetrics, events: &mut EventLog| {
        events.tick(metrics.writer().ticked_ns(), metrics.missed_ticks());
    };
    // As the VMM does, which ticks when it starts.
    let mut until_tick = Duration::ZERO;
    while Instant::now() < end {
        if until_tick.is_zero() {
            metrics.tick(Duration::ZERO);
            tell(&mut metrics, &mut events);
        }
        sleep(EXIT_INTERVAL);
        vcpu.record_run(ExitReason::IoOut);
        vcpu.record_exit();
        until_tick = metrics.writer().until_next_tick();
    }
    drop(vcpu);
    metrics.tick_last();
    tell(&mut metrics, &mut events);
    events.ended(&Ending::TimeUp, metrics.missed_ticks());
    metrics.close();
    Ok(())
}
