//! Machines that record as a VMM does, in real time, and one of the demo.

use rondo_writer::{Counter, Gauge, Histogram, Unit, Writer};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Machines of one thread, which ends with the test.
pub struct Vmms {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Vmms {
    /// Machines, each with how long it lives.
    pub fn start(bus: &Path, lives: &[(&str, Duration)]) -> Self {
        let mut machines: Vec<(Vmm, Duration)> = lives
            .iter()
            .map(|(instance, life)| (Vmm::new(bus, instance), *life))
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            while !stopped.load(Ordering::Relaxed) && !machines.is_empty() {
                std::thread::sleep(machines[0].0.writer.until_next_tick());
                let elapsed = started.elapsed();
                machines
                    .iter_mut()
                    .for_each(|(machine, _)| machine.second(elapsed));
                // One that goes closes its slab.
                machines.retain(|(_, life)| elapsed < *life);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Vmms {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().unwrap();
        // A machine that panicked has failed the test, unless the test fails already.
        if thread.join().is_err() && !std::thread::panicking() {
            panic!("a machine panicked");
        }
    }
}

/// The series that the demo VMM will have.
struct Vmm {
    writer: Writer,
    exits: Vec<Counter>,
    durations: Vec<Histogram>,
    requests: Vec<Counter>,
    latencies: Vec<Histogram>,
    bytes: Vec<Counter>,
    depth: Gauge,
    process: [Gauge; 3],
}

impl Vmm {
    fn new(bus: &Path, instance: &str) -> Self {
        let mut writer = Writer::builder(instance).bus(bus).create().unwrap();
        let mut exits = Vec::new();
        for (vcpu, reason) in [("0", "io"), ("0", "mmio"), ("1", "io"), ("1", "hlt")] {
            let exit = writer.counter("vcpu_exits_total").label("vcpu", vcpu);
            exits.push(exit.label("reason", reason).owned().unwrap());
        }
        let mut duration = |name: &str| writer.histogram(name).unit(Unit::Nanoseconds).owned().unwrap();
        let durations = ["vcpu_exit_duration_ns", "vcpu_run_duration_ns"]
            .map(&mut duration)
            .into();
        let (mut requests, mut latencies, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for (op, direction) in [("read", "in"), ("write", "out")] {
            let request = writer.counter("blk_requests_total").label("device", "vda");
            requests.push(request.label("op", op).owned().unwrap());
            let latency = writer
                .histogram("blk_request_duration_ns")
                .unit(Unit::Nanoseconds);
            latencies.push(latency.label("device", "vda").label("op", op).owned().unwrap());
            let moved = writer
                .counter("blk_bytes_total")
                .unit(Unit::Bytes)
                .label("device", "vda");
            bytes.push(moved.label("direction", direction).owned().unwrap());
        }
        let depth = writer
            .gauge("blk_queue_depth")
            .label("device", "vda")
            .owned()
            .unwrap();
        let process = [
            ("vmm_rss_bytes", Unit::Bytes),
            ("vmm_open_fds", Unit::None),
            ("vmm_uptime_seconds", Unit::Seconds),
        ];
        let process = process.map(|(name, unit)| writer.gauge(name).unit(unit).owned().unwrap());
        Self {
            writer,
            exits,
            durations,
            requests,
            latencies,
            bytes,
            depth,
            process,
        }
    }

    /// What it does in a second: 50 exits of each reason, 50 requests of each kind.
    fn second(&mut self, uptime: Duration) {
        let now = self.writer.now();
        for step in 1..=50u32 {
            for counter in self.exits.iter_mut().chain(&mut self.requests) {
                counter.add_at(now, 1);
            }
            for counter in &mut self.bytes {
                counter.add_at(now, 4096);
            }
            let histograms = self.durations.iter_mut().chain(&mut self.latencies);
            for (histogram, base_ns) in histograms.zip([2e3, 1e6, 80e3, 120e3]) {
                histogram.record_at(now, base_ns * f64::from(step));
            }
        }
        self.depth.set_at(now, 3.0);
        for (gauge, value) in self.process.iter_mut().zip([64e6, 17.0, uptime.as_secs_f64()]) {
            gauge.set_at(now, value);
        }
        self.writer.tick();
    }
}

/// A machine of `rondo demo`, killed with the test.
pub struct DemoMachine(Child);

impl DemoMachine {
    pub fn start(bus: &Path, instance: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rondo"));
        command.arg("demo-machine").arg("--bus").arg(bus);
        command.args(["--instance", instance, "--seconds", "100"]);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for DemoMachine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
