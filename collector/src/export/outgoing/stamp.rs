//! When a row is said to have been: at the end of its interval.
//!
//! That is when a scraper would have seen its totals. A machine that ended within the interval had nothing to say any
//! more after the interval of tier 0 of its last tick, and its row, sealed, is stamped with the end of that: a rate over
//! the rest of a window would otherwise be too low, and the stamp may lie in the future.

use crate::store::Run;

/// The end of a row's interval, or of what is known of it, on the wall clock that `clock_offset_ns` leads to; in
/// nanoseconds since the Unix epoch.
///
/// Later than the stamp of the row before, by at least an interval of tier 0.
pub fn stamp_ns(run: &Run, row: usize, clock_offset_ns: i64) -> i64 {
    let interval_ns = run.layout.interval_ns();
    let start_ns = run
        .start_ns
        .saturating_add((row as u64).saturating_mul(interval_ns));
    let end_ns = start_ns.saturating_add(interval_ns);
    let known_until_ns = if (start_ns..end_ns).contains(&run.ended_ns) {
        run.ended_ns
            .saturating_add(run.source.interval_ns.max(1))
            .min(end_ns)
    } else {
        end_ns
    };
    let wall_ns = i128::from(known_until_ns) + i128::from(clock_offset_ns);
    i64::try_from(wall_ns).unwrap_or(if wall_ns < 0 { i64::MIN } else { i64::MAX })
}

/// The same in whole milliseconds, rounded down. Rows of less than a millisecond share one.
pub fn stamp_ms(run: &Run, row: usize, clock_offset_ns: i64) -> i64 {
    stamp_ns(run, row, clock_offset_ns).div_euclid(1_000_000)
}
