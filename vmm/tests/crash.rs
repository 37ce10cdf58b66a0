//! A VMM that dies without a word leaves all that it recorded.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Recorded, SECOND, bus, has_kvm, slab_path, start, wait_for_exits};
use rondo_reader::{Limits, Liveness, PointValue, audit};
use std::time::Duration;

/// kill -9 in the middle of a burst of exits: the slab follows every rule of the format, and
/// its last second is the one in which the VMM died.
#[test]
fn after_kill_9_the_slab_is_whole_up_to_the_last_second() {
    if !has_kvm("after_kill_9_the_slab_is_whole_up_to_the_last_second") {
        return;
    }
    let bus = bus();
    let mut vmm = start(bus.path(), &[]);
    wait_for_exits(bus.path());
    std::thread::sleep(Duration::from_millis(2_700));
    let before = Recorded::read(bus.path());
    assert_eq!(before.view.liveness, Liveness::Live);
    let exits_before = ["io_out", "io_in"].map(|reason| (reason, before.exits("0", reason)));
    vmm.kill().unwrap();
    vmm.wait().unwrap();

    let found = audit(slab_path(bus.path()), &Limits::default(), true).unwrap();
    assert!(found.is_clean(), "{found:?}");
    let after = Recorded::read(bus.path());
    assert_ne!(after.view.liveness, Liveness::Live);
    let died_ns = before.view.now_ns - before.view.now_ns % SECOND;
    assert!(
        after.view.cursor_ns >= died_ns,
        "{} of {died_ns}",
        after.view.cursor_ns
    );
    for (reason, before) in exits_before {
        assert!(before > 0 && after.exits("0", reason) >= before);
        let points = after.points("vcpu_exits_total", &[("vcpu", "0"), ("reason", reason)]);
        assert!(
            points
                .iter()
                .all(|point| matches!(point.value, PointValue::Counter(_)))
        );
        assert!(points.windows(2).all(|pair| pair[1].t - pair[0].t == SECOND));
    }
    // A thread can have died between the two series, or inside a sample, but nowhere else.
    let run_duration = after.latest("vcpu_run_duration_ns", &[("vcpu", "0")]);
    let exits: u64 = ["io_out", "io_in", "mmio_read", "mmio_write"]
        .map(|reason| after.exits("0", reason))
        .iter()
        .sum();
    match run_duration {
        Some(PointValue::Distribution { count, .. }) => {
            assert!(exits.abs_diff(count) <= 1, "{exits}, {count}");
        }
        other => assert_eq!(other, Some(PointValue::Torn)),
    }
}
