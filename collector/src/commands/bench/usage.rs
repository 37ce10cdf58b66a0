//! What this process used of the machine, as the kernel counts it.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of all threads of this process, in user mode and in the kernel.
pub(crate) fn process_cpu() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// These clocks exist on every Linux.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// Memory of this process that no file stands behind; 0 if the kernel does not say.
pub fn anonymous_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_that_are_used_are_seen() {
        let (cpu, memory) = (thread_cpu(), anonymous_bytes());
        let touched = std::hint::black_box(vec![1u8; 8 << 20]);
        assert!(anonymous_bytes() >= memory + (7 << 20));
        drop(touched);
        assert!(thread_cpu() > cpu && process_cpu() >= thread_cpu());
    }
}
