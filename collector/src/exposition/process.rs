//! What Prometheus's client libraries say of every process.

use super::family::Value;
use super::family::{Family, FamilyKind};
use super::labels::LabelSet;
use procfs::WithCurrentSystemInfo;
use procfs::process::{LimitValue, Process};

/// The `process_*` families of this process, as far as the kernel tells. Some ten system calls, and one for
/// each open descriptor.
pub fn process_families() -> Vec<Family> {
    let Ok(me) = Process::myself() else {
        return Vec::new();
    };
    let mut families = Vec::new();
    let mut add = |name: &str, kind, unit: &str, help: &str, value: f64| {
        let mut family = Family::new(name, kind, unit, help);
        family.push(LabelSet::default(), Value::Number(value));
        families.push(family);
    };
    use FamilyKind::{Counter, Gauge};
    if let Ok(stat) = me.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        let cpu = (stat.utime + stat.stime) as f64 / ticks;
        add(
            "process_cpu_seconds_total",
            Counter,
            "seconds",
            "User and system CPU time spent.",
            cpu,
        );
        let resident = stat.rss_bytes().get() as f64;
        add(
            "process_resident_memory_bytes",
            Gauge,
            "bytes",
            "Resident memory, mapped slabs included.",
            resident,
        );
        add(
            "process_virtual_memory_bytes",
            Gauge,
            "bytes",
            "Virtual memory, mapped slabs included.",
            stat.vsize as f64,
        );
        add("process_threads", Gauge, "", "Threads.", stat.num_threads as f64);
        if let Ok(boot) = procfs::boot_time_secs() {
            let start = boot as f64 + stat.starttime as f64 / ticks;
            add(
                "process_start_time_seconds",
                Gauge,
                "seconds",
                "When the process started, since the Unix epoch.",
                start,
            );
        }
    }
    if let Ok(open) = me.fd_count() {
        add(
            "process_open_fds",
            Gauge,
            "",
            "Open descriptors; each mapped slab takes one.",
            open as f64,
        );
    }
    if let Ok(limits) = me.limits()
        && let LimitValue::Value(max) = limits.max_open_files.soft_limit
    {
        add(
            "process_max_fds",
            Gauge,
            "",
            "Most descriptors that may be open.",
            max as f64,
        );
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_descriptors_and_a_start() {
        let families = process_families();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name == name).unwrap();
            match family.samples[0].value {
                Value::Number(value) => value,
                ref other => panic!("{other:?}"),
            }
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
        let now = jiff::Timestamp::now().as_second() as f64;
        assert!((now - 86_400.0..=now + 2.0).contains(&value("process_start_time_seconds")));
    }
}
