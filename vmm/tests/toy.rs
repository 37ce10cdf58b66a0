//! The toy guest does what is known exactly, and the slab holds exactly that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{BRIEF, has_kvm, run};
use rondo_vmm::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use rondo_vmm::toy::Toy;
use rondo_vmm::{Ending, Machine, MachineConfig, layout};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const BANNER: &str = "rondo toy guest\n";
const ROUND: &str = "burst\ndisk\nidle\n";

/// The point of the whole: what is on the bus is what the guest did, neither one more nor one less. Known
/// in three ways: from the arguments, from the guest's own ledger, and from the kernel.
#[test]
fn exits_are_counted_exactly_by_reason() {
    if !has_kvm("exits_are_counted_exactly_by_reason") {
        return;
    }
    let arguments = [
        "--toy-rounds",
        "3",
        "--toy-burst",
        "700",
        "--toy-disk",
        "400",
        "--toy-idle",
        "20",
    ];
    let run = run(&arguments);
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    let text = BANNER.to_owned() + &ROUND.repeat(3);
    assert_eq!(run.stdout, text);

    let power_off = 1;
    let io_out = 3 * 700 + text.len() as u64 + power_off;
    for (reason, by_arguments) in [
        ("io_out", io_out),
        ("io_in", 3 * 700),
        ("mmio_read", 3 * 400),
        ("mmio_write", 3 * 400),
    ] {
        assert_eq!(run.recorded.exits("0", reason), by_arguments, "{reason}");
        assert_eq!(run.ledger[reason], by_arguments, "{reason}");
    }
    for reason in ["hlt", "shutdown", "intr", "failure", "other"] {
        assert_eq!(run.recorded.exits("0", reason), 0, "{reason}");
    }
    let all = io_out + 3 * 700 + 2 * 3 * 400;
    let vcpu = [("vcpu", "0")];
    for duration in ["vcpu_run_duration_ns", "vcpu_exit_duration_ns"] {
        let (count, sum, _) = run.recorded.samples(duration, &vcpu);
        assert_eq!(count, all, "{duration}");
        assert!(sum > 0.0, "{duration}");
    }
    assert!(run.ledger["ticks"] >= 3 * 20);
}

/// A histogram that forgets samples would pass for one of a faster machine.
#[test]
fn the_buckets_hold_every_sample() {
    if !has_kvm("the_buckets_hold_every_sample") {
        return;
    }
    let run = run(&[
        "--toy-rounds",
        "1",
        "--toy-burst",
        "500",
        "--toy-disk",
        "1",
        "--toy-idle",
        "1",
    ]);
    let recorded = &run.recorded;
    for duration in ["vcpu_run_duration_ns", "vcpu_exit_duration_ns"] {
        let series = recorded.series(duration, &[("vcpu", "0")]);
        let buckets = recorded.slab.buckets(series, &recorded.view).unwrap().unwrap();
        let (count, _, _) = recorded.samples(duration, &[("vcpu", "0")]);
        let in_buckets: u64 = buckets.non_empty().map(|bucket| bucket.count).sum();
        assert_eq!(in_buckets, count, "{duration}");
    }
}

#[test]
fn each_way_to_end_is_told_from_the_others() {
    if !has_kvm("each_way_to_end_is_told_from_the_others") {
        return;
    }
    for (finish, exit_code, said) in [
        ("power-off", 0, "the guest powered off"),
        ("reset", 0, "the guest asked for a restart"),
        ("triple-fault", 1, "vCPU 0 of the guest ended in a triple fault"),
        ("halt", 0, "the time is up"),
    ] {
        let finish = ["--toy-finish", finish, "--seconds", "1"];
        let run = run(&[BRIEF.as_slice(), &finish].concat());
        assert_eq!(run.exit_code, Some(exit_code), "{finish:?}: {}", run.stderr);
        assert!(
            run.stderr.ends_with(&format!("rondo-vmm: {said}\n")),
            "{}",
            run.stderr
        );
        let shutdowns = run.recorded.exits("0", "shutdown");
        assert_eq!(shutdowns, u64::from(finish[1] == "triple-fault"));
    }
}

/// What the guide and the issue ask for, by name; a page that shows them must find them.
#[test]
fn every_promised_series_is_there() {
    if !has_kvm("every_promised_series_is_there") {
        return;
    }
    let run = run(&[
        "--toy-rounds",
        "1",
        "--toy-burst",
        "1",
        "--toy-disk",
        "1",
        "--toy-idle",
        "120",
    ]);
    let recorded = &run.recorded;
    assert!(recorded.gauge("vmm_rss_bytes") > 1e6);
    assert!(recorded.gauge("vmm_open_fds") > 5.0);
    assert!((1.0..10.0).contains(&recorded.gauge("vmm_uptime_seconds")));
    assert!(recorded.gauge("boot_first_exit_ns") > 0.0);
    assert!(recorded.gauge("boot_first_exit_ns") <= recorded.gauge("boot_first_serial_byte_ns"));
    assert_eq!(recorded.counter("vmm_missed_ticks_total", &[]), 0);

    // A guest that halts takes wall time in KVM_RUN, but hardly CPU time.
    let vcpu = [("vcpu", "0")];
    let (_, run_ns, _) = recorded.samples("vcpu_run_duration_ns", &vcpu);
    let cpu_ns = recorded.counter("vcpu_cpu_time_ns_total", &vcpu);
    assert!(run_ns > 1.1e9, "{run_ns}");
    assert!(
        cpu_ns > 0 && (cpu_ns as f64) < run_ns / 2.0,
        "{cpu_ns} of {run_ns}"
    );

    let names: Vec<_> = recorded.slab.series().iter().map(|series| &series.name).collect();
    assert!((25..=35).contains(&names.len()), "{} series", names.len());
    assert!(!names.iter().any(|name| name.starts_with("kvm_vm_")), "{names:?}");
}

/// What costs more is for those who ask for it; the filters are on here, too.
#[test]
fn all_metrics_tell_the_reasons_apart_and_hold_what_the_kernel_counts() {
    if !has_kvm("all_metrics_tell_the_reasons_apart_and_hold_what_the_kernel_counts") {
        return;
    }
    let run = run(&[BRIEF.as_slice(), &["--metrics", "all", "--cpus", "2"]].concat());
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    let recorded = &run.recorded;
    for reason in ["io_in", "io_out", "mmio_read", "mmio_write", "hlt", "other"] {
        let labels = [("vcpu", "0"), ("reason", reason)];
        let (count, sum, _) = recorded.samples("vcpu_exit_duration_by_reason_ns", &labels);
        assert_eq!(count, recorded.exits("0", reason), "{reason}");
        assert_eq!(sum > 0.0, count > 0, "{reason}");
    }
    let has_numbers = recorded
        .slab
        .series()
        .iter()
        .any(|series| series.name == "kvm_exits_total");
    if !has_numbers {
        return common::skip("the kernel's numbers", "a kernel before 5.14");
    }
    // A number of each kind: totals and present values, of a vCPU and of the machine.
    assert!(recorded.counter("kvm_exits_total", &[("vcpu", "0")]) > 0);
    assert!(recorded.latest("kvm_blocking", &[("vcpu", "1")]).is_some());
    assert!(recorded.latest("kvm_vm_remote_tlb_flush_total", &[]).is_some());
    assert!(recorded.latest("kvm_vm_pages_4k", &[]).is_some());
}

/// The others of a machine wait for the first to start them, and are as silent on the bus.
#[test]
fn every_vcpu_has_series_of_its_own() {
    if !has_kvm("every_vcpu_has_series_of_its_own") {
        return;
    }
    let run = run(&[
        "--cpus",
        "3",
        "--toy-rounds",
        "1",
        "--toy-burst",
        "50",
        "--toy-disk",
        "1",
        "--toy-idle",
        "1",
    ]);
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    assert_eq!(run.recorded.exits("0", "io_in"), 50);
    for vcpu in ["1", "2"] {
        assert_eq!(run.recorded.exits(vcpu, "io_in"), 0);
        assert_eq!(run.recorded.exits(vcpu, "io_out"), 0);
    }
}

/// What a virtio device is told without an exit: the kernel takes the write, and the event counts it.
#[test]
fn a_doorbell_takes_no_exit() {
    if !has_kvm("a_doorbell_takes_no_exit") {
        return;
    }
    let bus = common::bus();
    let (metrics, refused) = VmMetrics::create(&MetricsConfig {
        instance: "vm-1".into(),
        bus: Some(bus.path().to_owned()),
        set: MetricsSet::Default,
        cpus: 1,
        disks: 0,
        device_series: (0, 0),
    })
    .unwrap();
    assert!(refused.is_none());
    let config = MachineConfig {
        memory_mib: 2,
        cpus: 1,
        // The filter would stay on this thread.
        seccomp: false,
    };
    let machine = Machine::new(config, metrics, Box::new(std::io::sink())).unwrap();
    let doorbell = EventFd::new(EFD_NONBLOCK).unwrap();
    // Nobody answers at the device's address, so what the toy guest reads there, and writes, is all ones.
    let notify = layout::VIRTIO_BLOCK + 0x50;
    machine.connect_doorbell(&doorbell, notify, u32::MAX).unwrap();
    let toy = Toy {
        rounds: Some(1),
        burst_accesses: 5,
        disk_accesses: 90,
        idle_ticks: 1,
        ..Toy::default()
    };
    let entry = toy.load(&machine.vm().memory).unwrap();
    assert_eq!(machine.run(entry).unwrap(), Ending::PowerOff);
    assert_eq!(doorbell.read().unwrap(), 90);
    let recorded = common::Recorded::read(bus.path());
    assert_eq!(recorded.exits("0", "mmio_read"), 90);
    assert_eq!(recorded.exits("0", "mmio_write"), 0);
}
