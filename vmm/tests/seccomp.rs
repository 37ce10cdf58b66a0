//! The filters: in force on every thread, deadly for any other call, and no hindrance to recording.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Recorded, SECOND, bus, has_kvm, start, wait_for_exits};
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use rondo_vmm::devices::MmioDevice;
use rondo_vmm::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use rondo_vmm::toy::Toy;
use rondo_vmm::{DeviceThread, Machine, MachineConfig, cli, layout};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const MODE_FILTER: &str = "Seccomp:\t2";

#[test]
fn every_thread_has_a_filter_and_recording_goes_on() {
    if !has_kvm("every_thread_has_a_filter_and_recording_goes_on") {
        return;
    }
    let bus = bus();
    let mut vmm = start(bus.path(), &["--cpus", "2"]);
    wait_for_exits(bus.path());
    // Not a copy of the slab but a view into it: its numbers go on.
    let before = Recorded::read(bus.path()).exits("0", "io_out");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", vmm.id())).unwrap();
    let statuses: Vec<String> = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let after = Recorded::read(bus.path());
    vmm.kill().unwrap();
    vmm.wait().unwrap();

    let (kernel, ours): (Vec<_>, Vec<_>) = statuses
        .iter()
        .partition(|status| status.starts_with("Name:\tkvm-"));
    // Newer kernels let KVM's own housekeeping be a thread of the process; it never leaves the kernel.
    assert!(kernel.len() <= 1, "{kernel:?}");
    assert_eq!(ours.len(), 3, "the event loop and two vCPUs: {ours:?}");
    assert!(ours.iter().all(|status| status.contains(MODE_FILTER)), "{ours:?}");
    assert!(after.exits("0", "io_out") > before);
    assert!(after.view.now_ns - after.view.ticked_ns < 2 * SECOND);
}

type Act = Box<dyn FnMut() + Send>;

/// A device that does on its vCPU's thread what an intruder would: opens a file. Or it panics.
struct Intruder(Act);

impl MmioDevice for Intruder {
    fn read(&mut self, _: u64, _: &mut [u8]) {}

    fn write(&mut self, _: u64, _: &[u8]) {
        (self.0)();
    }
}

/// A subscriber that does so on the event loop's thread.
struct LoopIntruder(EventFd, Act);

impl MutEventSubscriber for LoopIntruder {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        (self.1)();
        std::process::exit(3);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        self.0.write(1).unwrap();
        ops.add(Events::new(&self.0, EventSet::IN)).unwrap();
    }
}

/// The part of the test that dies: run in a process of its own by the one below.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child_with_an_intruder() {
    let bus = PathBuf::from(std::env::var_os("VMM_TEST_BUS").unwrap());
    let seccomp = std::env::var("VMM_TEST_SECCOMP").unwrap() == "on";
    let config = MetricsConfig {
        instance: "vm-1".into(),
        bus: Some(bus),
        set: MetricsSet::Default,
        cpus: 1,
        disks: 0,
        device_series: (0, 0),
    };
    let (metrics, _) = VmMetrics::create(&config).unwrap();
    let machine = MachineConfig {
        memory_mib: 2,
        cpus: 1,
        seccomp,
    };
    let mut machine = Machine::new(machine, metrics, Box::new(std::io::sink())).unwrap();
    let mut act: Act = match std::env::var("VMM_TEST_ACT").unwrap().as_str() {
        "open" => Box::new(|| drop(std::fs::File::open("/proc/self/status"))),
        _ => Box::new(|| panic!("out of order")),
    };
    cli::say_panics();
    match std::env::var("VMM_TEST_THREAD").unwrap().as_str() {
        "vcpu" => {
            let range = layout::VIRTIO_BLOCK..layout::VIRTIO_BLOCK + layout::VIRTIO_SIZE;
            machine.attach(range, Box::new(Intruder(act))).unwrap();
        }
        "device" => machine.add_thread(DeviceThread {
            name: "vda".into(),
            work: Box::new(move || {
                act();
                std::process::exit(3);
            }),
            wake: Box::new(|| ()),
        }),
        _ => machine.subscribe(Box::new(LoopIntruder(EventFd::new(EFD_NONBLOCK).unwrap(), act))),
    }
    let toy = Toy {
        rounds: Some(1),
        burst_accesses: 10,
        disk_accesses: 1,
        idle_ticks: 1,
        ..Toy::default()
    };
    let entry = toy.load(&machine.vm().memory).unwrap();
    let ending = machine.run(entry).unwrap();
    cli::say(&ending);
    std::process::exit(3 + i32::from(ending.exit_code()));
}

fn intrude(bus: &Path, act: &str, thread: &str, seccomp: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_an_intruder", "--ignored", "--nocapture"])
        .env("VMM_TEST_BUS", bus)
        .env("VMM_TEST_ACT", act)
        .env("RUST_BACKTRACE", "1")
        .env("VMM_TEST_THREAD", thread)
        .env("VMM_TEST_SECCOMP", seccomp)
        .output()
        .unwrap()
}

/// Not the thread but the process: a VMM that was broken into must not live on.
#[test]
fn a_call_that_is_not_allowed_kills_the_vmm() {
    if !has_kvm("a_call_that_is_not_allowed_kills_the_vmm") {
        return;
    }
    for thread in ["vcpu", "device", "event loop"] {
        let bus = bus();
        let status = intrude(bus.path(), "open", thread, "on").status;
        assert_eq!(status.signal(), Some(nix::libc::SIGSYS), "{thread}: {status}");
        let recorded = Recorded::read(bus.path());
        if thread == "vcpu" {
            assert_eq!(
                recorded.exits("0", "io_in"),
                10,
                "recorded under the filter, and still there"
            );
        }
    }
}

/// Or the test above would show nothing of the filter.
#[test]
fn without_filters_the_same_calls_are_harmless() {
    if !has_kvm("without_filters_the_same_calls_are_harmless") {
        return;
    }
    for thread in ["vcpu", "device", "event loop"] {
        let bus = bus();
        assert_eq!(
            intrude(bus.path(), "open", thread, "off").status.code(),
            Some(3),
            "{thread}"
        );
    }
}

/// Whatever RUST_BACKTRACE is: a backtrace would open files.
#[test]
fn a_panic_under_the_filters_is_said_and_ends_the_machine() {
    if !has_kvm("a_panic_under_the_filters_is_said_and_ends_the_machine") {
        return;
    }
    for (thread, whose) in [("vcpu", "vCPU 0"), ("device", "vda")] {
        let bus = bus();
        let output = intrude(bus.path(), "panic", thread, "on");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(4),
            "{thread}: {}: {said}",
            output.status
        );
        assert!(said.contains("out of order"), "{said}");
        assert!(
            said.contains(&format!("the thread of {whose} panicked")),
            "{said}"
        );
    }
}
