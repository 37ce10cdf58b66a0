//! An arrangement at one number of machines, and the medians of its windows.

use super::arrangement::Arrangement;
use super::measure::{Part, Window};
use crate::figures::median;
use serde::Serialize;

const KIB: f64 = 1024.0;
pub(super) const MIB: f64 = 1024.0 * 1024.0;

/// All windows of an arrangement at one number of machines.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// Which.
    pub arrangement: Arrangement,
    /// How many.
    pub machines: u32,
    /// One for each round.
    pub windows: Vec<Window>,
}

/// What is compared. Each is a figure of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// CPU time, all of it.
    Cpu,
    /// Memory, all of it, slabs once.
    Memory,
    /// Of that, what no file stands behind.
    Anonymous,
    /// Bytes over the loopback.
    Loopback,
    /// Bytes to disks.
    Disk,
    /// Wake-ups.
    WakeUps,
}

impl Quantity {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Cpu,
        Self::Memory,
        Self::Anonymous,
        Self::Loopback,
        Self::Disk,
        Self::WakeUps,
    ];

    /// What tables say.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Anonymous => "anonymous and slabs",
            Self::Loopback => "loopback",
            Self::Disk => "disk",
            Self::WakeUps => "wake-ups",
        }
    }

    /// The unit of [`Self::of`].
    pub fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "s",
            Self::Memory | Self::Anonymous => "MiB",
            Self::Loopback | Self::Disk => "KiB",
            Self::WakeUps => "times",
        }
    }

    /// Its value in a window, server and clients together.
    pub fn of(self, window: &Window) -> f64 {
        let both = |of: fn(&Part) -> u64| (of(&window.server) + of(&window.clients)) as f64;
        let slab_bytes = window.slab_bytes as f64;
        match self {
            Self::Cpu => window.server.used.cpu_s + window.clients.used.cpu_s,
            Self::Memory => (both(|part| part.memory.private_bytes) + slab_bytes) / MIB,
            Self::Anonymous => (both(|part| part.memory.anonymous_bytes) + slab_bytes) / MIB,
            Self::Loopback => window.loopback_bytes as f64 / KIB,
            Self::Disk => both(|part| part.used.written_bytes) / KIB,
            Self::WakeUps => both(|part| part.used.wake_ups),
        }
    }
}

impl Case {
    /// The median of something over the windows.
    pub fn median(&self, of: impl Fn(&Window) -> f64) -> f64 {
        median(self.windows.iter().map(of).collect())
    }

    /// The median of a quantity.
    pub fn quantity(&self, quantity: Quantity) -> f64 {
        self.median(|window| quantity.of(window))
    }

    /// The median of the ratios to `other` in the same round: what else the machine did changes from round to round.
    pub fn ratio(&self, other: &Self, quantity: Quantity) -> f64 {
        let pairs = self.windows.iter().zip(&other.windows);
        median(
            pairs
                .map(|(one, two)| quantity.of(one) / quantity.of(two))
                .collect(),
        )
    }

    /// Points of each series that there should have been of all machines in `seconds`.
    pub fn points_expected(&self, seconds: u64) -> f64 {
        f64::from(self.machines) * seconds as f64 / self.arrangement.interval_s() as f64
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::arrangement::{Read, Rest};
    use crate::usage::{Memory, Used};

    /// A window in which everything is `size` of something.
    pub(in crate::host) fn window(size: u64) -> Window {
        let part = Part {
            used: Used {
                cpu_s: size as f64,
                written_bytes: size << 10,
                wake_ups: size,
                ended_threads: 0,
            },
            memory: Memory {
                private_bytes: size << 20,
                anonymous_bytes: size << 20,
                // What slabs take is known from their directory.
                shared_bytes: 1 << 30,
            },
        };
        Window {
            server: part,
            clients: part,
            receiver: part,
            slab_bytes: size << 20,
            loopback_bytes: size << 10,
            read: Read::default(),
            rest: Rest::default(),
            others_cpu_s: 0.5,
            load: 1.0,
        }
    }

    fn case(sizes: &[u64]) -> Case {
        Case {
            arrangement: Arrangement::NodeExporter { interval_s: 15 },
            machines: 10,
            windows: sizes.iter().copied().map(window).collect(),
        }
    }

    #[test]
    fn slabs_are_counted_once_and_the_receiver_is_nobodys() {
        let found = Quantity::ALL.map(|quantity| quantity.of(&window(2)));
        assert_eq!(found, [4.0, 6.0, 6.0, 2.0, 4.0, 4.0]);
    }

    /// In a round in which the machine was busy, both sides were slow.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let (one, two) = (case(&[1, 50, 2]), case(&[10, 500, 40]));
        assert_eq!(one.ratio(&two, Quantity::Cpu), 0.1);
        assert_eq!(one.quantity(Quantity::Cpu), 4.0);
    }

    #[test]
    fn a_slow_scrape_has_fewer_points() {
        assert_eq!(case(&[1]).points_expected(60), 40.0);
    }
}
