//! What recording costs a vCPU: time for an exit in a tight loop of port accesses, with recording and without, by
//! turns in the same run.
//!
//! Time is CPU time of the vCPU's thread. Each turn with recording has one without beside it, now before and now
//! after it, and the cost is the median of their differences: so what else the host does comes on top of both. How
//! sure that is, the turns themselves say: the target is met if it is at the upper end. The instructions are of the
//! recording alone, counted by valgrind as the difference of two runs. All of it once with each source of time that a VMM
//! may have to take.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use nix::time::{ClockId, clock_gettime};
use rondo_vmm::devices::{Devices, SerialDevice};
use rondo_vmm::exit::ExitReason;
use rondo_vmm::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use rondo_vmm::stopwatch::Stopwatch;
use rondo_vmm::toy::Toy;
use rondo_vmm::vcpu::{Vcpu, handle};
use rondo_vmm::vm::Vm;
use rondo_vmm::{EndRequest, cpu};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Pairs of port accesses in a turn, each of them an exit.
const PAIRS: u64 = 1_000;
/// Turns of each of the two loops.
const TURNS: usize = 301;
/// What recording may take of the time of an exit.
const TARGET_PERCENT: f64 = 2.0;
/// Runs this program as one that only records, that many turns of the loop, with a counter of that speed: for valgrind.
const RECORD_ONLY: &str = "--record-only";

/// Where a VMM's stopwatch has its time from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The processor.
    Counter,
    /// The kernel, which does not trust the counter.
    Monotonic,
}

impl Source {
    fn in_words(self) -> &'static str {
        match self {
            Self::Counter => "the time stamp counter",
            Self::Monotonic => "CLOCK_MONOTONIC, as where the kernel does not trust the counter",
        }
    }
}

/// The loop of [`Vcpu::run`] without the lines that are marked there.
fn run_without_rondo(mut vcpu: Vcpu) {
    while vcpu.end.ending().is_none() {
        let exit = vcpu.fd.run();
        if let Some(ending) = handle(&vcpu.devices, exit, vcpu.index) {
            vcpu.end.ask(ending);
        }
    }
}

/// A vCPU of a new machine, before a burst of accesses and nothing else.
fn vcpu(metrics: &mut VmMetrics, source: Source) -> Vcpu {
    let vm = Vm::new(2).unwrap();
    let toy = Toy {
        rounds: Some(1),
        burst_accesses: PAIRS,
        burst_ticks: u64::MAX,
        disk_accesses: 0,
        idle_ticks: 0,
        arithmetic: 1,
        ..Toy::default()
    };
    let entry = toy.load(&vm.memory).unwrap();
    let fd = vm.create_vcpu(0).unwrap();
    let stopwatch = Stopwatch::new(match source {
        Source::Counter => fd.get_tsc_khz().unwrap_or(0),
        Source::Monotonic => 0,
    });
    cpu::prepare(&vm, &fd, 0, 1).unwrap();
    cpu::enter(&vm, &fd, entry).unwrap();
    let end = Arc::new(EndRequest::new().unwrap());
    let serial = SerialDevice::new(
        Box::new(std::io::sink()),
        metrics.milestones().clone(),
        end.clone(),
    );
    Vcpu {
        index: 0,
        fd,
        devices: Arc::new(Devices::new(serial.unwrap(), end.clone())),
        end,
        metrics: metrics.vcpu(0, stopwatch).unwrap(),
    }
}

/// Metrics on a bus that is gone with the second value.
fn metrics() -> (VmMetrics, tempfile::TempDir) {
    let bus = tempfile::tempdir().unwrap();
    let (metrics, refused) = VmMetrics::create(&MetricsConfig {
        instance: "bench".into(),
        bus: Some(bus.path().to_owned()),
        set: MetricsSet::Default,
        cpus: 1,
        disks: 0,
        device_series: (0, 0),
    })
    .unwrap();
    assert!(refused.is_none());
    (metrics, bus)
}

/// CPU time for an exit.
fn exit_ns(source: Source, run: impl FnOnce(Vcpu)) -> f64 {
    let (mut metrics, _bus) = metrics();
    let vcpu = vcpu(&mut metrics, source);
    let began = cpu_time();
    run(vcpu);
    (cpu_time() - began).as_nanos() as f64 / (2.0 * PAIRS as f64)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// What [`Vcpu::run`] does for rondo, without the guest; CPU time for a turn of the loop.
fn record_only(counter_khz: u32, turns: u64) -> f64 {
    let (mut metrics, _bus) = metrics();
    let mut vcpu = metrics.vcpu(0, Stopwatch::new(counter_khz)).unwrap();
    let began = cpu_time();
    vcpu.start();
    for turn in 0..turns {
        let reason = [ExitReason::IoIn, ExitReason::IoOut][turn as usize % 2];
        vcpu.record_run(std::hint::black_box(reason));
        vcpu.record_exit();
    }
    (cpu_time() - began).as_nanos() as f64 / turns as f64
}

/// Instructions of a turn of [`record_only`], if there is a valgrind.
fn record_only_instructions(counter_khz: u32) -> Option<f64> {
    let count = |turns: u64| -> Option<u64> {
        let ran = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args([RECORD_ONLY, &turns.to_string(), &counter_khz.to_string()])
            .output()
            .ok()?;
        let said = String::from_utf8(ran.stderr).ok()?;
        said.lines()
            .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
    };
    let (few, many) = (3_000, 33_000);
    Some((count(many)? - count(few)?) as f64 / (many - few) as f64)
}

/// The median, between two samples that the true one lies between 19 times out of 20.
fn median(mut samples: Vec<f64>) -> [f64; 3] {
    samples.sort_by(f64::total_cmp);
    let (middle, last) = (samples.len() / 2, samples.len() - 1);
    // As many samples are below the true median as a coin comes down heads: 1.96 deviations, each half a root.
    let away = (0.98 * (samples.len() as f64).sqrt()).ceil() as usize;
    [middle.saturating_sub(away), middle, (middle + away).min(last)].map(|place| samples[place])
}

/// What is found with one source of time: lines of a name and a figure.
fn measure(source: Source, has_kvm: bool) {
    println!("\nwith {}", source.in_words());
    // Whatever the counter's speed is: it costs the same.
    let counter_khz = match source {
        Source::Counter => 1_000_000,
        Source::Monotonic => 0,
    };
    match record_only_instructions(counter_khz) {
        Some(count) => println!("  instructions for an exit      {count:8.0}"),
        None => println!("SKIPPED instructions: no valgrind"),
    }
    let alone = (0..TURNS).map(|_| record_only(counter_khz, 20_000));
    let [_, alone, _] = median(alone.collect());
    println!("  recording alone, in a loop    {alone:8.1} ns");
    if !has_kvm {
        return;
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        if turn % 2 == 0 {
            with.push(exit_ns(source, Vcpu::run));
        }
        without.push(exit_ns(source, run_without_rondo));
        if turn % 2 == 1 {
            with.push(exit_ns(source, Vcpu::run));
        }
    }
    let costs = with.iter().zip(&without).map(|(with, without)| with - without);
    let costs = median(costs.collect());
    let ([_, with, _], [_, without, _]) = (median(with), median(without));
    let [low, cost, high] = costs;
    let [percent_low, percent, percent_high] = costs.map(|cost| 100.0 * cost / without);
    println!("  an exit with recording        {with:8.0} ns");
    println!("  an exit without               {without:8.0} ns");
    println!("  recording                     {cost:8.0} ns ({low:.0} to {high:.0})");
    let verdict = if percent_high < TARGET_PERCENT {
        "met"
    } else {
        "MISSED"
    };
    println!(
        "  share of an exit              {percent:8.2} % ({percent_low:.2} to {percent_high:.2}); less than {TARGET_PERCENT} %: {verdict}"
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == RECORD_ONLY) {
        let number = |at: usize| arguments[place + at].parse::<u32>().unwrap();
        record_only(number(2), number(1).into());
        return;
    }
    let kvm = kvm_ioctls::Kvm::new();
    if let Err(error) = &kvm {
        println!("SKIPPED exits: /dev/kvm cannot be opened: {error}");
    }
    let has_counter = Stopwatch::new(1_000_000).reads_counter();
    if !has_counter {
        println!("The kernel does not trust the time stamp counter here, so no VMM reads it.");
    }
    for source in [Source::Counter, Source::Monotonic] {
        if source == Source::Monotonic || has_counter {
            measure(source, kvm.is_ok());
        }
    }
}
