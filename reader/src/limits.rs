//! How much a reader takes from strangers.

/// Upper limits. What exceeds them is refused with a reason, never truncated.
///
/// Whoever may write into the bus directory can make a reader map and remember things; these bound
/// it for each user id. The defaults fit 10,000 machines of one user with two slabs each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one slab.
    pub slab_bytes_max: u64,
    /// Slabs on the bus that belong to one uid, and files among them that are refused.
    pub slabs_per_uid_max: u64,
    /// Bytes of all of them.
    pub bytes_per_uid_max: u64,
    /// Series that all of them have room for.
    pub series_per_uid_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slab_bytes_max: 16 << 20,
            slabs_per_uid_max: 20_000,
            bytes_per_uid_max: 16 << 30,
            series_per_uid_max: 4_000_000,
        }
    }
}
