//! Which process, boot and moment a slab comes from.

use crate::clock;

/// Everything about a slab's origin that is not configured. Gathered by
/// [`Origin::of_this_process`]; given by the caller in simulations, which then repeat to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Random, not all zero; the same for all slabs of one run of one machine.
    pub incarnation: [u8; 16],
    /// Of the kernel; zeros if unknown.
    pub boot_id: [u8; 16],
    /// The process.
    pub pid: u32,
    /// Its effective uid.
    pub uid: u32,
    /// CLOCK_MONOTONIC now.
    pub monotonic_ns: u64,
    /// CLOCK_REALTIME at the same moment.
    pub realtime_ns: u64,
}

impl Origin {
    /// This process, now, with a random incarnation.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn of_this_process() -> std::io::Result<Self> {
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation).map_err(std::io::Error::other)?;
        let (monotonic_ns, realtime_ns) = clock::both_ns();
        Ok(Self {
            incarnation,
            boot_id: boot_id(),
            pid: std::process::id(),
            uid: nix::unistd::geteuid().as_raw(),
            monotonic_ns,
            realtime_ns,
        })
    }
}

/// The kernel's boot id, or zeros where /proc is not mounted.
pub(crate) fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    id
}
