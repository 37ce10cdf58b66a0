//! Disks of a toy guest: what it asked for is on the disk and on the bus, exactly.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Recorded, Run, bus, has_kvm, run, start, vmm, wait_for_exits};
use rondo_vmm::toy::{BLOCK_SIZE, block};
use std::path::Path;
use std::process::Command;
use tempfile::NamedTempFile;

/// Blocks of the disk.
const BLOCKS: u64 = 16;
const SECTORS_OF_BLOCK: u64 = BLOCK_SIZE as u64 / 512;
const ROUNDS: u64 = 2;
/// Less than the disk has in the first round, and more in both.
const PAIRS: u64 = 12;

fn disk() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(BLOCKS * u64::from(BLOCK_SIZE)).unwrap();
    file
}

fn workload(option: &str) -> [&str; 10] {
    [
        "--toy-rounds",
        "2",
        "--toy-burst",
        "5",
        "--toy-disk",
        "12",
        "--toy-idle",
        "1",
        "--disk",
        option,
    ]
}

fn requests(recorded: &Recorded, op: &str) -> u64 {
    requests_of("vda", recorded, op)
}

fn requests_of(disk: &str, recorded: &Recorded, op: &str) -> u64 {
    recorded.counter("blk_requests_total", &[("device", disk), ("op", op)])
}

fn bytes(recorded: &Recorded, direction: &str) -> u64 {
    bytes_of("vda", recorded, direction)
}

fn bytes_of(disk: &str, recorded: &Recorded, direction: &str) -> u64 {
    recorded.counter("blk_bytes_total", &[("device", disk), ("direction", direction)])
}

fn errors(recorded: &Recorded) -> u64 {
    recorded.counter("blk_errors_total", &[("device", "vda")])
}

/// Known in three ways: from the arguments, from the guest's own ledger, and from what is on the disk.
#[test]
fn requests_and_bytes_are_counted_exactly_and_are_on_the_disk() {
    if !has_kvm("requests_and_bytes_are_counted_exactly_and_are_on_the_disk") {
        return;
    }
    let disk = disk();
    let run = run(&workload(disk.path().to_str().unwrap()));
    the_workload_is_counted_exactly(&run);
    // Ticks, a vCPU, the kernel's counters of it, and a disk.
    let series = run.recorded.slab.series().len();
    assert!((30..=45).contains(&series), "{series} series");
    the_workload_is_on(disk.path());
}

fn the_workload_is_counted_exactly(run: &Run) {
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    let recorded = &run.recorded;

    let pairs = ROUNDS * PAIRS;
    for (op, count) in [
        ("read", pairs),
        ("write", pairs),
        ("flush", ROUNDS),
        ("get_id", 1),
        ("other", 0),
    ] {
        assert_eq!(requests(recorded, op), count, "{op}");
        let of_op = [("device", "vda"), ("op", op)];
        let (timed, sum, _) = recorded.samples("blk_request_duration_ns", &of_op);
        assert_eq!(timed, count, "{op}");
        assert_eq!(sum > 0.0, count > 0, "{op}");
    }
    for direction in ["read", "write"] {
        assert_eq!(
            bytes(recorded, direction),
            pairs * u64::from(BLOCK_SIZE),
            "{direction}"
        );
    }
    let all = 2 * pairs + ROUNDS + 1;
    assert_eq!(run.ledger["requests"], all);
    assert_eq!(run.ledger["interrupts"], all, "one for each, by irqfd");
    assert_eq!(run.ledger["disk_failures"], 0);
    assert_eq!(errors(recorded), 0);
    let (waited, depth, _) = recorded.samples("blk_queue_depth", &[("device", "vda")]);
    assert_eq!((waited, depth), (all, all as f64), "one request at a time");
    assert!(recorded.gauge("boot_first_block_request_ns") > recorded.gauge("boot_first_exit_ns"));

    // A ring of the doorbell takes no exit: only set-up and interrupts do.
    let (set_up_writes, set_up_reads) = (18, 1);
    assert_eq!(recorded.exits("0", "mmio_write"), all + set_up_writes);
    assert_eq!(recorded.exits("0", "mmio_read"), all + set_up_reads);
}

fn the_workload_is_on(disk: &Path) {
    let written = std::fs::read(disk).unwrap();
    let expected: Vec<u8> = (0..BLOCKS)
        .flat_map(|number| block(number * SECTORS_OF_BLOCK))
        .collect();
    assert!(written == expected, "the disk holds something else");
}

/// A vCPU more, whose thread has a row of its own, and a disk more, whose thread has too: nothing of the first one's
/// is counted there, and nothing is lost on the way. Linux drives both disks from both vCPUs, in `linux.rs`.
#[test]
fn two_vcpus_and_two_disks_are_counted_as_exactly() {
    if !has_kvm("two_vcpus_and_two_disks_are_counted_as_exactly") {
        return;
    }
    let [first, second] = [(); 2].map(|()| disk());
    let [vda, vdb] = [&first, &second].map(|disk| disk.path().to_str().unwrap());
    let run = run(&[&workload(vda)[..], &["--cpus", "2", "--disk", vdb]].concat());
    the_workload_is_counted_exactly(&run);
    the_workload_is_on(first.path());
    for op in ["read", "write", "flush", "get_id", "other"] {
        assert_eq!(requests_of("vdb", &run.recorded, op), 0, "{op}");
    }
    for direction in ["read", "write"] {
        assert_eq!(bytes_of("vdb", &run.recorded, direction), 0, "{direction}");
    }
    for reason in ["io_in", "io_out", "mmio_read", "mmio_write"] {
        assert_eq!(run.recorded.exits("1", reason), 0, "{reason}");
    }
    assert!(std::fs::read(vdb).unwrap().iter().all(|byte| *byte == 0));
}

/// Its size is found another way than a file's, and its cache is the kernel's to flush.
#[test]
fn a_block_device_is_a_disk_like_a_file() {
    let test = "a_block_device_is_a_disk_like_a_file";
    if !has_kvm(test) {
        return;
    }
    let backing = disk();
    let device = match LoopDevice::made(&[], backing.path()) {
        Ok(device) => device,
        Err(why) => return common::skip(test, &format!("no loop device can be made: {why}")),
    };
    the_workload_is_counted_exactly(&run(&workload(&device.0)));
    the_workload_is_on(Path::new(&device.0));
    drop(device);
    the_workload_is_on(backing.path());

    // And one that takes no writes: what a guest would only learn from its first is said at the start.
    let device = LoopDevice::made(&["--read-only"], backing.path()).unwrap();
    let output = vmm(bus().path(), &workload(&device.0)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("add `,ro`"), "{said}");
    let read_only = run(&workload(&format!("{},ro", device.0)));
    assert_eq!(requests(&read_only.recorded, "read"), ROUNDS * PAIRS);
    assert_eq!(bytes(&read_only.recorded, "write"), 0);
}

/// A file as a block device, until this is dropped.
struct LoopDevice(String);

impl LoopDevice {
    fn made(options: &[&str], file: &Path) -> Result<Self, String> {
        let mut losetup = Command::new("losetup");
        losetup
            .args(["--find", "--show"])
            .args(options)
            .arg(file)
            .env("LC_ALL", "C");
        let output = losetup.output().map_err(|error| format!("losetup: {error}"))?;
        if output.status.success() {
            let name = String::from_utf8(output.stdout).unwrap();
            Ok(Self(name.trim().to_owned()))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = Command::new("losetup").args(["--detach", &self.0]).status();
        assert!(detached.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// The guest's mistake is told to the guest, and goes on being counted.
#[test]
fn a_disk_that_is_only_read_stays_as_it_is() {
    if !has_kvm("a_disk_that_is_only_read_stays_as_it_is") {
        return;
    }
    let disk = disk();
    let run = run(&workload(&format!("{},ro", disk.path().display())));
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    let pairs = ROUNDS * PAIRS;
    assert_eq!(requests(&run.recorded, "write"), pairs);
    assert_eq!(errors(&run.recorded), pairs);
    assert_eq!(bytes(&run.recorded, "write"), 0);
    assert_eq!(bytes(&run.recorded, "read"), pairs * u64::from(BLOCK_SIZE));
    // Each write failed; and what was read was not it, except in block 0, whose number an empty disk holds, too.
    let in_block_0 = pairs.div_ceil(BLOCKS);
    assert_eq!(run.ledger["disk_failures"], 2 * pairs - in_block_0);
    assert!(std::fs::read(disk.path()).unwrap().iter().all(|byte| *byte == 0));
}

/// Two writers destroy a file system, and none of them notices.
#[test]
fn a_second_machine_does_not_get_a_disk_that_is_written_to() {
    if !has_kvm("a_second_machine_does_not_get_a_disk_that_is_written_to") {
        return;
    }
    let (disk, first_bus, second_bus) = (disk(), bus(), bus());
    let path = disk.path().to_str().unwrap();
    let mut first = start(first_bus.path(), &["--disk", path]);
    wait_for_exits(first_bus.path());
    let second = vmm(second_bus.path(), &["--disk", path]).output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains("is in use, by another machine") && said.contains(path),
        "{said}"
    );
    // The lock goes with the process, however that ends.
    let third = vmm(second_bus.path(), &workload(path)).output().unwrap();
    assert!(
        third.status.success(),
        "{}",
        String::from_utf8_lossy(&third.stderr)
    );
}

#[test]
fn a_disk_that_is_none_is_refused_with_what_to_do() {
    if !has_kvm("a_disk_that_is_none_is_refused_with_what_to_do") {
        return;
    }
    let odd = NamedTempFile::new().unwrap();
    odd.as_file().set_len(1000).unwrap();
    let many = ["--disk", "/dev/null"].repeat(9);
    for (arguments, says) in [
        (vec!["--disk", "/nonexistent/disk"], "make one with `truncate"),
        (
            vec!["--disk", "/dev/null"],
            "neither a regular file nor a block device",
        ),
        (vec!["--disk", odd.path().to_str().unwrap()], "truncate -s %512"),
        (many, "9 disks; a machine has up to 8"),
    ] {
        let output = vmm(bus().path(), &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{said}");
    }
}

/// The disk's thread is the one that a hostile request would break into.
#[test]
fn a_disks_thread_has_a_filter() {
    if !has_kvm("a_disks_thread_has_a_filter") {
        return;
    }
    let (disk, bus) = (disk(), bus());
    let mut vmm = start(
        bus.path(),
        &["--disk", disk.path().to_str().unwrap(), "--toy-burst", "30"],
    );
    wait_for_exits(bus.path());
    common::wait_until("a request", || {
        requests(&Recorded::read(bus.path()), "flush") + requests(&Recorded::read(bus.path()), "write") > 0
    });
    let status = thread_status(vmm.id(), "vda");
    vmm.kill().unwrap();
    vmm.wait().unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

fn thread_status(process: u32, name: &str) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let status = |task: &Path| std::fs::read_to_string(task.join("status")).unwrap();
    let mut statuses = tasks.map(|task| status(&task.unwrap().path()));
    statuses
        .find(|status| status.starts_with(&format!("Name:\t{name}\n")))
        .unwrap()
}
