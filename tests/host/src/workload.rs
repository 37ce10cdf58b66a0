//! What a machine of the benchmarks records: the same series, values and pace whichever library it records with.
//!
//! Only gauges and counters, 30 of them, because there each series is one value on either side: a distribution of rondo's is
//! one series of a slab, and a histogram of Prometheus' is as many as it has buckets.

use rondo_collector::commands::bench::synthetic::Dice;

/// Series of a machine.
pub const SERIES: usize = GAUGES.len() * DEVICES + COUNTERS.len() * DEVICES;

/// How often each series is recorded in a second, all at once: what a machine wakes up for besides is its own affair.
pub const RECORDS: u64 = 100;

/// Devices that have all of the metrics.
pub const DEVICES: usize = 5;

/// Gauges of each device, and what they are.
pub const GAUGES: [(&str, &str); 4] = [
    (
        "vmm_queue_size",
        "Descriptors that the device's queue has room for.",
    ),
    ("vmm_buffer_used", "Bytes in the device's buffers."),
    (
        "vmm_busy_share",
        "Share of the last second that the device was busy.",
    ),
    (
        "vmm_request_age",
        "Age of the oldest request in the device's queue.",
    ),
];

/// Counters of each device, without the `_total` at the end of their names.
pub const COUNTERS: [(&str, &str); 2] = [
    ("vmm_requests", "Requests that the device has served."),
    (
        "vmm_exits",
        "Exits of virtual CPUs that the device had to handle.",
    ),
];

/// The label that tells devices apart.
pub fn device(index: usize) -> String {
    format!("vd{index}")
}

/// Values of one machine.
pub struct Values(Dice);

impl Values {
    /// Those of the machine of that number.
    pub fn of(machine: u64) -> Self {
        Self(Dice(machine))
    }

    /// The next value of a gauge: some never change, some are whole numbers that wander, some are decimals.
    pub fn gauge(&mut self, metric: usize) -> f64 {
        match metric {
            0 => 256.0,
            1 => 1_000_000.0 + (self.0.roll() % 5_000) as f64,
            _ => (self.0.roll() % 1_000) as f64 / 1_000.0,
        }
    }

    /// By how much a counter goes up.
    pub fn increment(&mut self) -> u64 {
        10 + self.0.roll() % 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_thirty_series() {
        assert_eq!(SERIES, 30);
    }
}
