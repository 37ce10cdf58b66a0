//! A machine on the bus: a process that records as a VMM would, and does nothing else.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use rondo_host::workload::{COUNTERS, DEVICES, GAUGES, RECORDS, SERIES, Values, device};
use rondo_writer::{SchemaConfig, Writer};
use std::io::Write;
use std::path::PathBuf;

/// A machine on the bus.
#[derive(Parser)]
struct Arguments {
    /// Directory of the slabs
    #[arg(long)]
    bus: PathBuf,
    /// Which machine it is
    #[arg(long)]
    number: u64,
}

/// Says `ready`, and then records once a second until it is killed.
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut writer = Writer::builder(&format!("vm-{:06}", arguments.number))
        .label("tenant", "blue")
        .schema(SchemaConfig::default().capacity(SERIES as u32, 0))
        .bus(&arguments.bus)
        .create()?;
    let (mut gauges, mut counters) = (Vec::new(), Vec::new());
    for index in 0..DEVICES {
        for (metric, (name, help)) in GAUGES.iter().enumerate() {
            let gauge = writer.gauge(name).label("device", &device(index));
            gauges.push((metric, gauge.help(help).owned()?));
        }
        for (name, help) in COUNTERS {
            let counter = writer.counter(&format!("{name}_total"));
            counters.push(counter.label("device", &device(index)).help(help).owned()?);
        }
    }
    writeln!(std::io::stdout(), "ready")?;
    let mut values = Values::of(arguments.number);
    loop {
        std::thread::sleep(writer.until_next_tick());
        writer.tick();
        let now_ns = writer.ticked_ns();
        for _ in 0..RECORDS {
            for (metric, gauge) in &mut gauges {
                gauge.set_at(now_ns, values.gauge(*metric));
            }
            for counter in &mut counters {
                counter.add_at(now_ns, values.increment());
            }
        }
    }
}
