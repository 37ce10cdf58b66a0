//! Machines that record as a VMM does, in real time, and one of the demo.

use rondo_writer::{Counter, Gauge, Histogram, Unit, Writer};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A machine to be: its name, when it starts, and how long it lives.
pub struct Life {
    pub instance: String,
    pub start: Duration,
    pub length: Duration,
}

impl Life {
    pub fn new(instance: impl Into<String>, start_seconds: u64, length_seconds: u64) -> Self {
        Self {
            instance: instance.into(),
            start: Duration::from_secs(start_seconds),
            length: Duration::from_secs(length_seconds),
        }
    }
}

/// Machines of one thread, which ends with the test.
pub struct Vmms {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Vmms {
    pub fn start(bus: &Path, mut to_come: Vec<Life>) -> Self {
        let bus = bus.to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut machines: Vec<(Vmm, Life)> = Vec::new();
            while !(stopped.load(Ordering::Relaxed) || machines.is_empty() && to_come.is_empty()) {
                let elapsed = started.elapsed();
                let (due, later) = to_come.into_iter().partition(|life| life.start <= elapsed);
                to_come = later;
                let due: Vec<Life> = due;
                machines.extend(due.into_iter().map(|life| (Vmm::new(&bus, &life.instance), life)));
                let pause = machines
                    .first()
                    .map(|(machine, _)| machine.writer.until_next_tick());
                std::thread::sleep(pause.unwrap_or(Duration::from_millis(100)));
                for (machine, life) in &mut machines {
                    machine.second(started.elapsed().saturating_sub(life.start));
                }
                // One that goes closes its slab.
                machines.retain(|(_, life)| started.elapsed() < life.start + life.length);
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

/// How long it does one thing before another.
const PHASE_SECONDS: u64 = 25;

/// The series that a VMM has.
struct Vmm {
    writer: Writer,
    exits: Vec<Counter>,
    handling: Histogram,
    running: Histogram,
    devices: Vec<Block>,
    depth: Gauge,
    process: [Gauge; 3],
    /// Of its chance.
    state: u64,
}

/// One operation of a block device.
struct Block {
    requests: Counter,
    bytes: Counter,
    latency: Histogram,
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
        let handling = duration("vcpu_exit_duration_ns");
        let running = duration("vcpu_run_duration_ns");
        let devices = ["read", "write"].map(|op| Block {
            requests: {
                let requests = writer.counter("blk_requests_total").label("device", "vda");
                requests.label("op", op).owned().unwrap()
            },
            bytes: {
                let bytes = writer.counter("blk_bytes_total").unit(Unit::Bytes);
                bytes
                    .label("device", "vda")
                    .label("direction", op)
                    .owned()
                    .unwrap()
            },
            latency: {
                let latency = writer
                    .histogram("blk_request_duration_ns")
                    .unit(Unit::Nanoseconds);
                latency.label("device", "vda").label("op", op).owned().unwrap()
            },
        });
        let depth = writer.gauge("blk_queue_depth").label("device", "vda");
        let depth = depth.owned().unwrap();
        let process = [
            ("vmm_rss_bytes", Unit::Bytes),
            ("vmm_open_fds", Unit::None),
            ("vmm_uptime_seconds", Unit::Seconds),
        ];
        let process = process.map(|(name, unit)| writer.gauge(name).unit(unit).owned().unwrap());
        Self {
            writer,
            exits,
            handling,
            running,
            devices: devices.into(),
            depth,
            process,
            state: instance
                .bytes()
                .fold(1, |state, byte| next(state ^ u64::from(byte))),
        }
    }

    /// What it does in a second: much computing, much disk, or little, in turn.
    fn second(&mut self, uptime: Duration) {
        let now = self.writer.now();
        let (exits, requests) = match uptime.as_secs() / PHASE_SECONDS % 3 {
            0 => (400, 5),
            1 => (120, 150),
            _ => (12, 1),
        };
        for turn in 0..exits {
            // Most are quick, few are slow, as those that go to a device are.
            let slow = 1.0 + f64::from(self.random() % 1_000).powi(3) / 1e7;
            let kind = self.random() as usize % self.exits.len();
            self.exits[kind].add_at(now, 1);
            self.handling.record_at(now, 2e3 * slow);
            self.running.record_at(now, 1.8e9 / f64::from(exits + turn % 7));
        }
        for _ in 0..requests {
            for (device, base_ns) in self.devices.iter_mut().zip([80e3, 120e3]) {
                self.state = next(self.state);
                device.requests.add_at(now, 1);
                device.bytes.add_at(now, 4096 << (self.state >> 60 & 3));
                device
                    .latency
                    .record_at(now, base_ns * (1.0 + (self.state >> 33) as f64 / 4e8));
            }
        }
        self.depth.set_at(now, f64::from(requests).sqrt().floor());
        let rss = 64e6 + 4e5 * uptime.as_secs_f64().min(60.0);
        for (gauge, value) in self.process.iter_mut().zip([rss, 17.0, uptime.as_secs_f64()]) {
            gauge.set_at(now, value);
        }
        self.writer.tick();
    }

    fn random(&mut self) -> u32 {
        self.state = next(self.state);
        (self.state >> 33) as u32
    }
}

fn next(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

/// A machine of `rondo demo`, killed with the test.
pub struct DemoMachine(Child);

impl DemoMachine {
    pub fn start(bus: &Path, instance: &str, seconds: u64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rondo"));
        command.arg("demo-machine").arg("--bus").arg(bus);
        command.args(["--instance", instance, "--seconds", &seconds.to_string()]);
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for DemoMachine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
