//! What processes used of the host, as the kernel counts it.
//!
//! CPU time is the scheduler's own count, which `/proc/PID/task/*/schedstat` shows for each thread: the clock that counts by
//! ticks reads near zero for processes that only wake up for microseconds. It is read through the clock of the process, which
//! has what ended threads used too.

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use procfs::process::Process;
use serde::Serialize;
use std::collections::HashMap;
use std::ops::{AddAssign, Div};
use std::time::Duration;

/// What some processes have used since they started.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    cpu: Duration,
    written_bytes: u64,
    /// Voluntary context switches of each thread.
    sleeps: HashMap<i32, u64>,
}

/// What they used between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Used {
    /// CPU time of all their threads, in user mode and in the kernel.
    pub cpu_s: f64,
    /// Bytes that they made the kernel write to disks, now or later; whole pages.
    pub written_bytes: u64,
    /// How often a thread gave the CPU up to wait, and so was woken up again.
    pub wake_ups: u64,
    /// Threads that ended meanwhile, whose last wake-ups nobody knows. Their CPU time is counted.
    pub ended_threads: usize,
}

/// Memory at a moment. What processes share is split among those who have it mapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Memory {
    /// All of it but what is in `shared_bytes`: heap, stacks, code, mapped files.
    pub private_bytes: u64,
    /// Of that, what no file stands behind.
    pub anonymous_bytes: u64,
    /// Mapped parts of files in shared memory, such as slabs.
    pub shared_bytes: u64,
}

impl Counters {
    /// Reads those of all of `pids`.
    ///
    /// # Errors
    /// One of them is gone, or not ours.
    pub fn read(pids: &[i32]) -> Result<Self> {
        let mut all = Self::default();
        for &pid in pids {
            all.add(pid).with_context(|| format!("process {pid}"))?;
        }
        Ok(all)
    }

    fn add(&mut self, pid: i32) -> Result<()> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid))?;
        self.cpu += Duration::from(clock_gettime(clock)?);
        let process = Process::new(pid)?;
        self.written_bytes += process.io()?.write_bytes;
        for task in process.tasks()? {
            // It may end between being listed and being read.
            let Ok(status) = task.and_then(|task| task.status()) else {
                continue;
            };
            let sleeps = status.voluntary_ctxt_switches.unwrap_or_default();
            self.sleeps.insert(status.pid, sleeps);
        }
        Ok(())
    }

    /// What was used since `before`, which was read of the same processes.
    pub fn since(&self, before: &Self) -> Used {
        let sleeps = self
            .sleeps
            .iter()
            .map(|(thread, sleeps)| sleeps.saturating_sub(before.sleeps.get(thread).copied().unwrap_or(0)));
        Used {
            cpu_s: self.cpu.saturating_sub(before.cpu).as_secs_f64(),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            wake_ups: sleeps.sum(),
            ended_threads: before
                .sleeps
                .keys()
                .filter(|thread| !self.sleeps.contains_key(thread))
                .count(),
        }
    }

    /// CPU time since they started.
    pub fn cpu(&self) -> Duration {
        self.cpu
    }

    /// Bytes written since they started.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }
}

impl Memory {
    /// Reads that of all of `pids`.
    ///
    /// # Errors
    /// One of them is gone, or not ours.
    pub fn read(pids: &[i32]) -> Result<Self> {
        let mut all = Self::default();
        for &pid in pids {
            all += Self::of(pid).with_context(|| format!("process {pid}"))?;
        }
        Ok(all)
    }

    fn of(pid: i32) -> Result<Self> {
        let rollup = Process::new(pid)?.smaps_rollup()?.memory_map_rollup;
        let map = rollup.0.first().context("its smaps_rollup is empty")?;
        let bytes = |key: &str| {
            let bytes = map.extension.map.get(key).copied();
            bytes.with_context(|| format!("its smaps_rollup has no {key}"))
        };
        let shared_bytes = bytes("Pss_Shmem")?;
        Ok(Self {
            private_bytes: bytes("Pss")?.saturating_sub(shared_bytes),
            anonymous_bytes: bytes("Pss_Anon")?,
            shared_bytes,
        })
    }
}

impl AddAssign for Memory {
    fn add_assign(&mut self, other: Self) {
        self.private_bytes += other.private_bytes;
        self.anonymous_bytes += other.anonymous_bytes;
        self.shared_bytes += other.shared_bytes;
    }
}

impl Div<u64> for Memory {
    type Output = Self;

    /// The mean of so many.
    fn div(self, count: u64) -> Self {
        Self {
            private_bytes: self.private_bytes / count,
            anonymous_bytes: self.anonymous_bytes / count,
            shared_bytes: self.shared_bytes / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    fn own() -> [i32; 1] {
        [nix::unistd::getpid().as_raw()]
    }

    /// The reason for reading the clock of the process: work is often done by threads that are gone.
    #[test]
    fn cpu_time_of_threads_that_ended_is_counted() {
        let before = Counters::read(&own()).unwrap();
        std::thread::spawn(|| {
            let start = ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap();
            let spent = || ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap() - start;
            while Duration::from(spent()) < Duration::from_millis(50) {}
        })
        .join()
        .unwrap();
        let used = Counters::read(&own()).unwrap().since(&before);
        assert!(used.cpu_s >= 0.05, "{used:?}");
    }

    #[test]
    fn the_clock_has_at_least_what_the_schedstats_of_its_threads_have() {
        let process = Process::myself().unwrap();
        let stats = process
            .tasks()
            .unwrap()
            .filter_map(|task| task.ok()?.schedstat().ok());
        let shown_ns: u64 = stats.map(|stat| stat.sum_exec_runtime).sum();
        let cpu = Counters::read(&own()).unwrap().cpu();
        assert!(shown_ns > 0 && cpu.as_nanos() >= shown_ns.into());
    }

    #[test]
    fn sleeping_and_writing_are_counted() {
        // Where the build is, there is a disk.
        let program = std::env::current_exe().unwrap();
        let mut file = tempfile::tempfile_in(program.parent().unwrap()).unwrap();
        let before = Counters::read(&own()).unwrap();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        file.write_all(&[1; 1 << 16]).unwrap();
        file.sync_all().unwrap();
        let used = Counters::read(&own()).unwrap().since(&before);
        assert!(used.wake_ups >= 5 && used.written_bytes >= 1 << 16, "{used:?}");
    }

    #[test]
    fn heap_is_anonymous_and_shared_memory_is_apart() {
        let before = Memory::read(&own()).unwrap();
        let heap = std::hint::black_box(vec![1u8; 8 << 20]);
        let grown = Memory::read(&own()).unwrap();
        assert!(grown.anonymous_bytes >= before.anonymous_bytes + (7 << 20));
        assert!(grown.private_bytes >= grown.anonymous_bytes);
        drop(heap);

        // A file that is only written is nobody's mapping.
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.write_all_at(&vec![1; 32 << 20], 0).unwrap();
        // Other tests of this process map some.
        let after = Memory::read(&own()).unwrap();
        assert!(after.shared_bytes < before.shared_bytes + (32 << 20), "{after:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(Counters::read(&[child.id().cast_signed()]).is_err());
    }
}
