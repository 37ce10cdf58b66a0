//! kill -9 of a VMM whose guest writes to its disk: slab and disk agree with each other, and with the guest's program.
//!
//! The guest's own ledger dies with its memory. But it works by a program, one request at a time, so the number of
//! requests says which ones they were. `RONDO_SEED` repeats a run's moments, `RONDO_SOAK=n` kills n times as often.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::random::{Random, soak};
use common::{Recorded, SECOND, bus, has_kvm, slab_path, start, wait_until};
use rondo_reader::{Limits, Liveness, PointValue, audit};
use rondo_vmm::toy::{BLOCK_SIZE, block};
use std::time::Duration;
use tempfile::NamedTempFile;

/// Of a machine with one vCPU, and as often of one with two.
const KILLS: u64 = 6;
/// Some machines come to the disk's end and begin anew, others die before.
const BLOCKS: u64 = 4_096;
const SECTORS_OF_BLOCK: u64 = BLOCK_SIZE as u64 / 512;
/// Blocks that are written and read between two flushes.
const PAIRS: u64 = 50;
const ARGUMENTS: [&str; 6] = ["--toy-burst", "2", "--toy-disk", "50", "--toy-idle", "1"];
const VDA: (&str, &str) = ("device", "vda");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Requests {
    get_id: u64,
    write: u64,
    read: u64,
    flush: u64,
}

impl Requests {
    fn of(recorded: &Recorded) -> Self {
        let [get_id, write, read, flush] = ["get_id", "write", "read", "flush"]
            .map(|op| recorded.counter("blk_requests_total", &[VDA, ("op", op)]));
        Self {
            get_id,
            write,
            read,
            flush,
        }
    }

    fn all(self) -> u64 {
        self.get_id + self.write + self.read + self.flush
    }

    /// The first so many requests of the guest's program: who are you, and then again and again pairs of a write and
    /// a read, and a flush.
    fn first(count: u64) -> Self {
        let get_id = count.min(1);
        let round = 2 * PAIRS + 1;
        let (rounds, rest) = ((count - get_id) / round, (count - get_id) % round);
        Self {
            get_id,
            write: rounds * PAIRS + rest.div_ceil(2),
            read: rounds * PAIRS + rest / 2,
            flush: rounds,
        }
    }
}

#[test]
fn after_kill_9_under_block_load_slab_and_disk_agree_to_the_request() {
    if !has_kvm("after_kill_9_under_block_load_slab_and_disk_agree_to_the_request") {
        return;
    }
    let mut random = Random::of_this_run();
    for cpus in ["1", "2"] {
        for _ in 0..KILLS * soak() {
            kill_one(cpus, Duration::from_micros(random.below(2_500_000)));
        }
    }
}

fn kill_one(cpus: &str, life: Duration) {
    let (bus, disk) = (bus(), NamedTempFile::new().unwrap());
    disk.as_file().set_len(BLOCKS * u64::from(BLOCK_SIZE)).unwrap();
    let path = disk.path().to_str().unwrap();
    let mut vmm = start(
        bus.path(),
        &[&ARGUMENTS[..], &["--cpus", cpus, "--disk", path]].concat(),
    );
    common::wait_for_exits(bus.path());
    wait_until("a write", || Requests::of(&Recorded::read(bus.path())).write > 0);
    std::thread::sleep(life);
    let mut before = Recorded::read(bus.path());
    wait_until("something in this second", || {
        before = Recorded::read(bus.path());
        before.view.now_ns - before.view.cursor_ns < SECOND
    });
    assert_eq!(before.view.liveness, Liveness::Live);
    // Copies: what `before` reads later is what is there later.
    let (seen, second_of_death) = (Requests::of(&before), before.view.cursor_ns);
    vmm.kill().unwrap();
    vmm.wait().unwrap();

    let found = audit(slab_path(bus.path()), &Limits::default(), true).unwrap();
    assert!(found.is_clean(), "{found:?}");
    let after = Recorded::read(bus.path());
    assert_ne!(after.view.liveness, Liveness::Live);
    assert!(after.view.cursor_ns >= second_of_death);

    let requests = Requests::of(&after);
    println!("{cpus} vCPUs, killed after {life:?}: {requests:?}");
    assert!(seen.write > 0 && requests.all() >= seen.all());
    assert_eq!(requests, Requests::first(requests.all()));
    the_rest_of_the_slab_says_the_same(&after, requests);
    the_disk_has_whole_requests(&std::fs::read(path).unwrap(), requests.write);
}

/// A thread can have died between two series of one request, but nowhere else.
fn the_rest_of_the_slab_says_the_same(after: &Recorded, requests: Requests) {
    let is_last_or = |value: u64, last: u64| last <= value && value <= last + 1;
    for (direction, count) in [("write", requests.write), ("read", requests.read)] {
        let bytes = after.counter("blk_bytes_total", &[VDA, ("direction", direction)]);
        assert_eq!(bytes % u64::from(BLOCK_SIZE), 0, "{direction}");
        assert!(
            is_last_or(count, bytes / u64::from(BLOCK_SIZE)),
            "{direction}: {bytes} bytes"
        );
    }
    match after.latest("blk_queue_depth", &[VDA]) {
        Some(PointValue::Distribution { count, .. }) => assert!(is_last_or(requests.all(), count), "{count}"),
        other => assert_eq!(other, Some(PointValue::Torn)),
    }
    // Each interrupt is a read and a write of registers; setting the device up is one read and 18 writes.
    let (reads, writes) = (
        after.exits("0", "mmio_read") - 1,
        after.exits("0", "mmio_write") - 18,
    );
    assert!(
        is_last_or(requests.all(), reads) && is_last_or(reads, writes),
        "{reads} {writes}"
    );

    let missed = after.counter("vmm_missed_ticks_total", &[]);
    for op in ["write", "read", "flush", "get_id"] {
        let points = after.points("blk_requests_total", &[VDA, ("op", op)]);
        let total = |value| match value {
            PointValue::Counter(total) => total,
            other => panic!("{op}: {other:?}"),
        };
        assert!(
            points
                .windows(2)
                .all(|pair| pair[0].t < pair[1].t && total(pair[0].value) <= total(pair[1].value)),
            "{op}: {points:?}"
        );
        // The tick of the last interval, which counts what was missed before, may not have come.
        let ticked: Vec<_> = points
            .iter()
            .filter(|point| point.t <= after.view.ticked_ns)
            .collect();
        if let [first, .., last] = ticked[..] {
            let seconds = (last.t - first.t) / SECOND + 1;
            assert!(seconds - ticked.len() as u64 <= missed, "{op}: {points:?}");
        }
    }
}

/// What was counted is on the disk. One more may be, which was written and not yet counted; and nothing is half there.
fn the_disk_has_whole_requests(disk: &[u8], writes: u64) {
    let nothing = vec![0; BLOCK_SIZE as usize];
    for (number, found) in (0..BLOCKS).zip(disk.chunks(BLOCK_SIZE as usize)) {
        let is_written = found == block(number * SECTORS_OF_BLOCK);
        match number {
            _ if number < writes => assert!(is_written, "block {number} of {writes}"),
            _ if number == writes => assert!(is_written || found == nothing, "block {number} is torn"),
            _ => assert!(found == nothing, "block {number} of {writes}"),
        }
    }
}
