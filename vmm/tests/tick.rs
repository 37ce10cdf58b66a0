//! The event loop ticks in time, whatever the vCPU does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{SECOND, has_kvm, run};

/// A tick is due in the middle of its interval: one that is half a second late misses it.
const LATENESS_MAX_NS: f64 = 400e6;

#[test]
fn every_second_of_a_busy_machine_has_one_tick() {
    if !has_kvm("every_second_of_a_busy_machine_has_one_tick") {
        return;
    }
    let run = run(&["--seconds", "6"]);
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    let recorded = &run.recorded;
    let uptimes = recorded.points("vmm_uptime_seconds", &[]);
    assert!(uptimes.len() >= 6, "{} ticks", uptimes.len());
    assert!(uptimes.windows(2).all(|pair| pair[1].t - pair[0].t == SECOND));
    assert_eq!(recorded.counter("vmm_missed_ticks_total", &[]), 0);
    let (count, sum, max) = recorded.samples("vmm_tick_lateness_ns", &[]);
    assert!(count >= 6, "{count} ticks");
    assert!(
        max < LATENESS_MAX_NS && sum / (count as f64) < LATENESS_MAX_NS,
        "mean {}",
        sum / count as f64
    );
}
