//! What the kernel says of the VMM's process, from files of /proc that are opened once.
//!
//! A jail may have no /proc, and a filter forbids opening files: what cannot be opened at the start is not
//! recorded.

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use rondo_writer::{RegisterError, SeriesHandle, Unit, Writer};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// Gauges that [`ProcessSeries`] registers.
pub(super) const SERIES: u32 = 3;

pub(super) struct ProcessSeries {
    started: Instant,
    uptime: SeriesHandle,
    rss: SeriesHandle,
    open_fds: SeriesHandle,
    page_size: u64,
    statm: Option<File>,
    descriptors: Option<Dir>,
}

impl ProcessSeries {
    pub(super) fn register(writer: &mut Writer) -> Result<Self, RegisterError> {
        let mut gauge = |name: &str, unit: Unit, help: &str| writer.gauge(name).unit(unit).help(help).held();
        let page_size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        Ok(Self {
            started: Instant::now(),
            uptime: gauge("vmm_uptime_seconds", Unit::Seconds, "Time since the VMM's start.")?,
            rss: gauge(
                "vmm_rss_bytes",
                Unit::Bytes,
                "Memory of the VMM in RAM, its guest's included.",
            )?,
            open_fds: gauge("vmm_open_fds", Unit::None, "Open file descriptors of the VMM.")?,
            page_size: page_size.ok().flatten().map_or(4096, i64::cast_unsigned),
            statm: File::open("/proc/self/statm").ok(),
            descriptors: Dir::open(
                "/proc/self/fd",
                OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
            .ok(),
        })
    }

    pub(super) fn record(&mut self, writer: &Writer, now_ns: u64) {
        writer.record(self.uptime, self.started.elapsed().as_secs_f64(), now_ns);
        if let Some(pages) = self.statm.as_ref().and_then(|statm| number(statm, 1)) {
            writer.record(self.rss, (pages * self.page_size) as f64, now_ns);
        }
        if let Some(directory) = &mut self.descriptors {
            let is_descriptor = |name: &[u8]| name.first().is_some_and(u8::is_ascii_digit);
            let count = directory
                .iter()
                .flatten()
                .filter(|entry| is_descriptor(entry.file_name().to_bytes()))
                .count();
            writer.record(self.open_fds, count as f64, now_ns);
        }
    }
}

pub(super) fn register_cpu_time(writer: &mut Writer, vcpu: u32) -> Result<SeriesHandle, RegisterError> {
    writer
        .counter("vcpu_cpu_time_ns_total")
        .unit(Unit::Nanoseconds)
        .help("CPU time of the vCPU's thread, guest and VMM together; halts do not count.")
        .label("vcpu", &vcpu.to_string())
        .held()
}

/// The first number in a file of /proc.
pub(super) fn first_number(file: &File) -> Option<u64> {
    number(file, 0)
}

/// One of the numbers, separated by spaces, in the first line of a file of /proc. No allocation.
fn number(file: &File, index: usize) -> Option<u64> {
    let mut bytes = [0; 128];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    text.split_ascii_whitespace().nth(index)?.parse().ok()
}
