//! How long a VMM waits at its start: a slab made, and 30 series registered.

use crate::measure::Effort;
use anyhow::Result;
use rondo_host::figures::quantile;
use rondo_writer::{SchemaConfig, Unit, Writer};
use std::time::Instant;

/// Microseconds of creation.
pub struct Creation {
    /// What a table says.
    pub title: &'static str,
    /// One value for each slab, ascending.
    pub us: Vec<f64>,
}

impl Creation {
    /// A quantile.
    pub fn quantile_us(&self, q: f64) -> f64 {
        quantile(&self.us, q)
    }
}

/// Times the making of slabs in /dev/shm: of the default schema (10 minutes of seconds), 24 gauges and
/// counters and 6 histograms, each with a unit, a help and a label.
///
/// # Errors
/// A slab cannot be made.
pub fn measure(effort: Effort) -> Result<Vec<Creation>> {
    let count = 200.min(effort.repetitions * 10);
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let (mut made, mut registered) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let start = Instant::now();
        let mut writer = Writer::builder("bench")
            .label("tenant", "blue")
            .schema(SchemaConfig::default())
            .bus(directory.path())
            .create()?;
        made.push(start.elapsed().as_nanos() as f64 / 1e3);
        let mut points = 0..24;
        let counters = points
            .by_ref()
            .take(12)
            .map(|i| {
                let counter = writer.counter("exits_total").label("vcpu", &i.to_string());
                counter.help("Exits of the virtual CPU.").owned()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let gauges = points
            .map(|i| {
                let gauge = writer.gauge("queue_bytes").label("queue", &i.to_string());
                gauge.unit(Unit::Bytes).help("Bytes in the queue.").owned()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let histograms = (0..6)
            .map(|i| {
                let histogram = writer.histogram("exit_duration").label("vcpu", &i.to_string());
                histogram
                    .unit(Unit::Nanoseconds)
                    .help("How long exits take.")
                    .owned()
            })
            .collect::<Result<Vec<_>, _>>()?;
        registered.push(start.elapsed().as_nanos() as f64 / 1e3);
        for path in writer.paths() {
            std::fs::remove_file(path)?;
        }
        drop((counters, gauges, histograms));
    }
    let sorted = |mut us: Vec<f64>| {
        us.sort_by(f64::total_cmp);
        us
    };
    Ok(vec![
        Creation {
            title: "create a slab",
            us: sorted(made),
        },
        Creation {
            title: "create a slab and register 30 series",
            us: sorted(registered),
        },
    ])
}
