//! The machine that S3 is about, and what slabs take.

use crate::simulation::{GUIDE, START};
use rondo_reader::{Limits, Slab};
use rondo_writer::{SchemaConfig, TierConfig, Writer};
use std::path::Path;
use std::time::Duration;

/// A slab of 20 gauges, 6 counters and 4 distributions with room for no more, names and labels like those of a VMM.
pub fn thirty(bus: &Path) -> (Writer, Slab) {
    let tiers = GUIDE.map(|(seconds, slots)| TierConfig::new(Duration::from_secs(seconds), slots));
    let schema = SchemaConfig::new("vmm").tiers(&tiers).capacity(26, 4);
    let builder = Writer::builder("vm-0123456789abcdef")
        .label("tenant", "blue")
        .schema(schema);
    let mut writer = builder.bus(bus).simulated_time(START).create().unwrap();
    let help = "One sentence for people, as long as they mostly are.";
    for index in 0..20 {
        let gauge = writer
            .gauge(&format!("block_queue_depth_{index}"))
            .label("device", "vda");
        gauge.help(help).owned().unwrap();
    }
    for index in 0..6 {
        let counter = writer
            .counter("vcpu_exits_total")
            .label("vcpu", &index.to_string());
        counter.help(help).owned().unwrap();
    }
    for index in 0..4 {
        let distribution = writer
            .distribution("exit_latency_ns")
            .label("vcpu", &index.to_string());
        distribution.help(help).owned().unwrap();
    }
    let slab = Slab::open(writer.paths().next().unwrap(), &Limits::default()).unwrap();
    (writer, slab)
}

/// What a slab of the default schema takes in shared memory.
pub fn default_slab_bytes() -> u64 {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
    writer.paths().next().unwrap().metadata().unwrap().len()
}
