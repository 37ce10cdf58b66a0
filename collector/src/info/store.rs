//! What there is to know about a store.

use crate::store::{Archives, StoreError};
use serde::Serialize;

/// A store's archives, each with what it holds.
#[derive(Debug, Serialize)]
pub(crate) struct StoreFacts {
    file_bytes: u64,
    tiers: Vec<TierFacts>,
}

#[derive(Debug, Serialize)]
struct TierFacts {
    tier: u8,
    file_bytes: u64,
    used_bytes: u64,
    runs: u64,
    rows: u64,
    points: u64,
}

impl StoreFacts {
    pub(crate) fn read(archives: &Archives) -> Result<Self, StoreError> {
        let usage = archives.usage();
        Ok(Self {
            file_bytes: usage.iter().map(|usage| usage.file_bytes).sum(),
            tiers: usage
                .iter()
                .map(|usage| TierFacts {
                    tier: usage.tier,
                    file_bytes: usage.file_bytes,
                    used_bytes: usage.frame_bytes,
                    runs: usage.runs,
                    rows: usage.rows,
                    points: usage.points,
                })
                .collect(),
        })
    }
}
