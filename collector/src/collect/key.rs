//! The names of the settings.

/// A setting. In a file it is called [`Key::name`], as a flag `--` and that with hyphens, in the environment `RONDO_`
/// and that in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Directory of the slabs.
    Bus,
    /// Directory of the store.
    Store,
    /// How much disk the store takes.
    StoreBudget,
    /// Where to answer HTTP.
    Listen,
    /// How long a slab stays after it is stored.
    Keep,
    /// Largest slab that is read.
    SlabMax,
    /// Slabs of one user.
    SlabsPerUid,
    /// Bytes of all of them.
    BytesPerUid,
    /// Series of all of them.
    SeriesPerUid,
    /// Servers that rows are pushed to: in the file tables, elsewhere URLs.
    RemoteWrite,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Bus,
        Self::Store,
        Self::StoreBudget,
        Self::Listen,
        Self::Keep,
        Self::SlabMax,
        Self::SlabsPerUid,
        Self::BytesPerUid,
        Self::SeriesPerUid,
        Self::RemoteWrite,
    ];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Store => "store",
            Self::StoreBudget => "store_budget",
            Self::Listen => "listen",
            Self::Keep => "keep",
            Self::SlabMax => "slab_max",
            Self::SlabsPerUid => "slabs_per_uid",
            Self::BytesPerUid => "bytes_per_uid",
            Self::SeriesPerUid => "series_per_uid",
            Self::RemoteWrite => "remote_write",
        }
    }

    /// Its variable in the environment.
    pub fn variable(self) -> String {
        format!("RONDO_{}", self.name().to_uppercase())
    }

    /// Its flag.
    pub fn flag(self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }
}
