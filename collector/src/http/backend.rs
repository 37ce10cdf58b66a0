//! What the server asks for the contents of its pages.

use super::error::ApiError;
use crate::exposition::{Family, MachineLimits, Page};
use crate::query::Params;
use crate::selector::Selector;
use crate::show;
use serde_json::json;
use std::time::Instant;

/// Where answers come from.
///
/// [`Self::health`] and [`Self::is_ready`] are called in the server's only thread of I/O, so they must not
/// wait: values that a pass leaves behind, not a lock that it holds. All others are called in threads of
/// their own, two at a time, and may take until the deadline that they are told; nobody waits for their
/// answer after it. A panic in one of them is a 500, and nothing else.
pub trait Backend: Send + Sync + 'static {
    /// Points of series, as JSON. After `deadline` nobody waits for them.
    ///
    /// # Errors
    /// What the client is told.
    fn query(&self, params: &Params, deadline: Instant) -> Result<Vec<u8>, ApiError>;

    /// Which tier answers such a query, what each has, and why there is nothing, as JSON.
    ///
    /// # Errors
    /// What the client is told.
    fn explain(&self, params: &Params, deadline: Instant) -> Result<Vec<u8>, ApiError>;

    /// Schemas, tiers, usage and positions, as JSON.
    ///
    /// # Errors
    /// What the client is told.
    fn info(&self) -> Result<Vec<u8>, ApiError>;

    /// The newest values of the live machines: [`crate::exposition::machine_page`] of their slabs.
    ///
    /// # Errors
    /// What the client is told.
    fn machines(&self, matches: &[Selector], limits: &MachineLimits) -> Result<Page, ApiError>;

    /// The collector's own metrics ([`crate::exposition::own`]), its process and the host's totals. The server
    /// adds its own.
    fn self_metrics(&self) -> Vec<Family>;

    /// Whether collecting works. Must not wait.
    fn health(&self) -> Health;

    /// Whether the store is open and the first pass is done. Must not wait.
    fn is_ready(&self) -> bool;
}

/// Whether collecting works.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Health {
    /// What is wrong, each with what to do about it. Healthy if nothing is.
    pub problems: Vec<String>,
    /// Age of the oldest complete interval that is not read yet.
    pub lag_seconds: f64,
    /// When the last pass ended, by the wall clock in nanoseconds.
    pub last_pass_ns: Option<i128>,
    /// How long it took.
    pub pass_seconds: f64,
    /// Slabs whose writers live.
    pub live_slabs: u64,
}

impl Health {
    pub(super) fn json(&self) -> Vec<u8> {
        let value = json!({
            "status": if self.problems.is_empty() { "healthy" } else { "unhealthy" },
            "problems": self.problems,
            "lag_seconds": self.lag_seconds,
            "last_pass": self.last_pass_ns.map(show::time),
            "pass_seconds": self.pass_seconds,
            "live_slabs": self.live_slabs,
        });
        format!("{value}\n").into_bytes()
    }
}
