//! A halted vCPU is not a missing one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{SECOND, has_kvm, run};
use rondo_reader::PointValue;

/// For four seconds the vCPU's thread stays in the kernel and records nothing. An operator must see counters
/// that stand still, every second, and no hole.
#[test]
fn an_idle_vcpu_has_no_gaps_in_its_counters() {
    if !has_kvm("an_idle_vcpu_has_no_gaps_in_its_counters") {
        return;
    }
    let run = run(&[
        "--toy-rounds",
        "1",
        "--toy-burst",
        "3",
        "--toy-disk",
        "2",
        "--toy-idle",
        "100000",
        "--seconds",
        "4",
    ]);
    let recorded = &run.recorded;
    for (reason, total) in [("io_in", 3), ("mmio_read", 2), ("mmio_write", 2)] {
        let points = recorded.points("vcpu_exits_total", &[("vcpu", "0"), ("reason", reason)]);
        assert!(points.len() >= 4, "{} points", points.len());
        for pair in points.windows(2) {
            assert_eq!(pair[1].t - pair[0].t, SECOND, "a gap in {reason}");
        }
        assert_eq!(points.last().unwrap().t, recorded.view.ticked_ns);
        for point in &points[1..] {
            assert_eq!(point.value, PointValue::Counter(total), "{reason}");
        }
        assert!(points.iter().any(|point| point.filled), "nothing was idle");
    }
}
