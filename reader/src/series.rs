//! A series of a slab, as readers keep it: 16 bytes, and what all slabs of the same program share.

use crate::interner::{Interner, Shared};
use rondo_shm_layout::SeriesInfo;
use std::ops::Deref;
use std::sync::Arc;

/// A series: what its descriptor says, checked and owned.
///
/// Everything but the time of registration is reached through [`SeriesInfo`] and may be shared with other
/// slabs of the same [`Bus`](crate::Bus). Cloning one costs no allocation.
#[derive(Debug, Clone)]
pub struct Series {
    info: Shared<SeriesInfo>,
    /// Slab time of registration.
    pub registered_ns: u64,
}

impl Series {
    pub(crate) fn shared(series: rondo_shm_layout::Series, among: &Arc<Interner<SeriesInfo>>) -> Self {
        Self {
            info: among.share(series.info),
            registered_ns: series.registered_ns,
        }
    }
}

impl Deref for Series {
    type Target = SeriesInfo;

    fn deref(&self) -> &SeriesInfo {
        &self.info
    }
}
