//! Handles that go nowhere, for a VMM that runs on although the bus is full.
//!
//! They are ordinary handles on a small slab in private memory, so they cost what the real ones do
//! and no hot path asks whether metrics are on.

use crate::builder::Builder;
use crate::error::RegisterError;
use crate::origin::Origin;
use crate::schema::{SchemaConfig, TierConfig};
use crate::writer::Writer;
use std::time::Duration;

/// One handle on a slab of its own.
#[allow(
    clippy::expect_used,
    reason = "a slab in private memory with room for one series can always be made"
)]
pub(crate) fn noop<H>(register: impl FnOnce(&mut Writer) -> Result<H, RegisterError>) -> H {
    let tiers = [TierConfig::new(Duration::from_secs(1), 2)];
    let schema = SchemaConfig::new("noop").tiers(&tiers).capacity(1, 1);
    // Made up, so that no system call is made where a filter may be in force already.
    let origin = Origin {
        incarnation: [1; 16],
        boot_id: [0; 16],
        pid: 0,
        uid: 0,
        monotonic_ns: 0,
        realtime_ns: 1_000_000_000_000_000_000,
    };
    let mut writer = Builder::new("noop")
        .origin(origin)
        .schema(schema)
        .create_private()
        .expect("the schema is possible");
    register(&mut writer).expect("there is room for one series")
}
