//! What recording costs a vCPU: time for an exit in a tight loop of port accesses, with recording and without, by
//! turns in the same run. On a KVM that emulates an exit takes 9 µs; with hardware about 1, and the share is higher.
//!
//! CPU time of the vCPU's thread, and of each the best turn: what else the host does comes on top of either.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use nix::time::{ClockId, clock_gettime};
use rondo_vmm::devices::{Devices, SerialDevice};
use rondo_vmm::metrics::{MetricsConfig, VmMetrics};
use rondo_vmm::toy::Toy;
use rondo_vmm::vcpu::{Vcpu, handle};
use rondo_vmm::vm::Vm;
use rondo_vmm::{EndRequest, cpu};
use std::sync::Arc;
use std::time::Duration;

const PAIRS: u64 = 4_000;
const TURNS: usize = 60;

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
fn vcpu(metrics: &mut VmMetrics) -> Vcpu {
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
        metrics: metrics.vcpu(0).unwrap(),
    }
}

/// CPU time for an exit.
fn exit_ns(run: impl FnOnce(Vcpu)) -> f64 {
    let bus = tempfile::tempdir().unwrap();
    let (mut metrics, refused) = VmMetrics::create(&MetricsConfig {
        instance: "bench".into(),
        bus: Some(bus.path().to_owned()),
        cpus: 1,
        disks: 0,
        device_series: (0, 0),
    })
    .unwrap();
    assert!(refused.is_none());
    let vcpu = vcpu(&mut metrics);
    let began = cpu_time();
    run(vcpu);
    (cpu_time() - began).as_nanos() as f64 / (2.0 * PAIRS as f64)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

fn main() {
    if let Err(error) = kvm_ioctls::Kvm::new() {
        eprintln!("SKIPPED exits: /dev/kvm cannot be opened: {error}");
        return;
    }
    let (mut with, mut without) = (f64::MAX, f64::MAX);
    for _ in 0..TURNS {
        with = with.min(exit_ns(Vcpu::run));
        without = without.min(exit_ns(run_without_rondo));
    }
    let cost = with - without;
    println!("an exit with recording   {with:8.0} ns");
    println!("without                  {without:8.0} ns");
    println!(
        "recording                {cost:8.0} ns, {:.2} %",
        100.0 * cost / without
    );
}
