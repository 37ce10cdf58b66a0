//! The room with the system's clocks: one call, which the kernel answers without being entered.
#![allow(unsafe_code)]

use nix::libc;
use nix::time::ClockId;

/// The time of `clock` in nanoseconds.
///
/// Not by way of `nix::time::clock_gettime`: that copies the two words which the kernel's code has just
/// stored with one wide load, where profiles show a stall. A gauge set with its own clock took 2.5
/// times as long (`docs/benchmarks.md`).
#[inline(always)]
pub(crate) fn read(clock: ClockId) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec that the call may write to, and it keeps no pointer.
    unsafe { libc::clock_gettime(clock.as_raw(), &raw mut time) };
    // These clocks exist on every Linux; the 0 of a failure would be refused as stale, not written.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
