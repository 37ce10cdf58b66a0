//! Which timestamps are taken, when one is neither in its series' interval nor in the next.

use crate::clock;
use crate::mapping::SlabMemory;
use rondo_shm_layout::sync::{AtomicU64, Ordering};

/// The interval of `now_ns`, if a series whose newest interval is `newest_ns` (0 for none) may go
/// there; otherwise the refusal is counted.
///
/// Late samples would overwrite newer slots or change values that readers already took for final.
/// Samples from the future would block all that follow, so a jump is checked against the clock.
pub(crate) fn admit(slab: &SlabMemory, newest_ns: u64, now_ns: u64) -> Option<u64> {
    let axis = slab.axis();
    let live = slab.live();
    if now_ns < axis.interval_ns() || now_ns < newest_ns {
        return count(live.stale_count);
    }
    let start = axis.start_of(now_ns);
    let is_ahead = || {
        let identity = &slab.layout.identity;
        let present = clock::monotonic_ns().wrapping_add(identity.anchor_ns());
        !identity.simulated_time && start > axis.start_of(present).saturating_add(axis.interval_ns())
    };
    if now_ns >= 1 << 63 || is_ahead() {
        return count(live.future_count);
    }
    Some(start)
}

/// Counts a sample that was refused.
#[cold]
pub(crate) fn count<T>(counter: &AtomicU64) -> Option<T> {
    counter.fetch_add(1, Ordering::Relaxed);
    None
}
