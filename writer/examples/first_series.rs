//! A machine of one vCPU thread and one event loop that lives so many seconds: the example of docs/writing-a-vmm.md.
//!
//! The guest is a thread that sleeps. What is recorded, and where, is as in a VMM.

use rondo_writer::{
    Builder, Clock, Counter, CreateError, Histogram, SchemaConfig, SharedCounter, Unit, Writer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(60), |text| text.parse())?;
    let stop = Arc::new(AtomicBool::new(false));

    // Before the seccomp filter, and before the first instruction of the guest.
    let mut writer = create(machine())?;
    let resets = writer.counter("vm_resets_total").shared()?;
    let vcpu = Vcpu::new(&mut writer, 0, &resets)?;

    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || vcpu.run(&stop)
    });
    for _ in 0..seconds {
        std::thread::sleep(writer.until_next_tick());
        writer.tick();
    }
    stop.store(true, Ordering::Relaxed);
    let _ = thread.join();

    // Its last handles are gone with the thread.
    drop(resets);
    writer.close();
    Ok(())
}

/// Room for exactly what is registered: gauges and counters, and distributions and histograms.
fn machine() -> Builder {
    let schema = SchemaConfig::default().capacity(2, 1);
    Writer::builder("first-vm").label("tenant", "blue").schema(schema)
}

/// A machine runs on although its bus refuses: then nobody sees what it records.
fn create(builder: Builder) -> Result<Writer, CreateError> {
    match builder.clone().create() {
        Ok(writer) => {
            for warning in writer.warnings() {
                eprintln!("warning: {warning}");
            }
            Ok(writer)
        }
        Err(error) => {
            eprintln!("warning: no metrics: {error}");
            builder.create_private()
        }
    }
}

/// What a vCPU's thread has of the metrics.
struct Vcpu {
    exits: Counter,
    exit_time: Histogram,
    resets: SharedCounter,
    clock: Clock,
}

impl Vcpu {
    fn new(
        writer: &mut Writer,
        index: u32,
        resets: &SharedCounter,
    ) -> Result<Self, rondo_writer::RegisterError> {
        let vcpu = index.to_string();
        Ok(Self {
            exits: writer
                .counter("vcpu_exits_total")
                .help("Exits from the guest to the VMM.")
                .label("vcpu", &vcpu)
                .owned()?,
            exit_time: writer
                .histogram("vcpu_exit_duration_ns")
                .unit(Unit::Nanoseconds)
                .help("Time to handle an exit in the VMM.")
                .label("vcpu", &vcpu)
                .owned()?,
            resets: resets.clone(),
            clock: writer.clock(),
        })
    }

    fn run(mut self, stop: &AtomicBool) {
        self.resets.add(1);
        while !stop.load(Ordering::Relaxed) {
            run_guest();
            let exited = Instant::now();
            handle_exit();

            let now = self.clock.now();
            self.exits.add_at(now, 1);
            let handled = exited.elapsed();
            self.exit_time.record_at(now, handled.as_nanos() as f64);
        }
    }
}

/// Stands for KVM_RUN.
fn run_guest() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Stands for a device.
fn handle_exit() {
    std::thread::sleep(Duration::from_micros(100));
}
