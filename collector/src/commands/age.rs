//! Since when a slab's writer has been silent, or gone.

use rondo_reader::{Counters, Slab, View};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Nanoseconds since the slab's last sign of life: its close, its newest interval or tick, its creation.
///
/// `None` if its clock is not the present one (another boot, simulated time), or if it claims a sign in the future:
/// what a slab says of itself may be a lie, and it must not stay young by it.
pub(crate) fn silent_ns(slab: &Slab, view: &View, counters: &Counters) -> Option<u64> {
    let identity = slab.identity();
    if identity.simulated_time || !is_of_present_boot(&identity.boot_id) {
        return None;
    }
    let last = match counters.closed_ns {
        0 => counters
            .cursor_ns
            .max(counters.ticked_ns)
            .max(identity.created_realtime_ns),
        closed_ns => closed_ns,
    };
    view.now_ns.checked_sub(last)
}

/// Whether `boot_id` is the running kernel's.
pub(crate) fn is_of_present_boot(boot_id: &[u8; 16]) -> bool {
    let present = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    present.trim().replace('-', "") == crate::show::hex(boot_id)
}

/// How long ago a slab that has no writer any more ended, as it says itself, or else by its file.
pub(crate) fn ended_ago(slab: &Slab, view: &View, counters: &Counters) -> Duration {
    silent_ns(slab, view, counters).map_or_else(|| since_change(slab.path()), Duration::from_nanos)
}

/// Since the file was last written to, as the file system knows it.
pub(crate) fn since_change(path: &Path) -> Duration {
    let changed = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    changed.map_or(Duration::ZERO, |at| {
        SystemTime::now().duration_since(at).unwrap_or_default()
    })
}
