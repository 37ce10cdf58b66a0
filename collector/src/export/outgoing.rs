//! The series of a slice as they leave: names, labels, values.

use crate::exposition::FamilyKind;
use crate::store::{Layout, Run, Source};
use rondo_shm_layout::Labels;
use std::sync::Arc;

/// How series are named on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// Whether names and values leave in base units: `exit_duration_ns` as `exit_duration_seconds`.
    pub base_units: bool,
}

impl Default for Naming {
    fn default() -> Self {
        Self { base_units: true }
    }
}

/// What several series that leave have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Without the endings of its kind's samples, but with a counter's `_total`.
    pub name: String,
    /// What it is to Prometheus.
    pub kind: FamilyKind,
    /// The base unit; empty for none.
    pub unit: String,
    /// A sentence for people.
    pub help: String,
}

/// Whether a value adds up over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It grows from 0: a counter, a count, a sum, a bucket.
    Cumulative,
    /// It is what it is at the time.
    Momentary,
}

/// A series as it leaves.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Sorted by name and unique, `__name__` and `instance` among them; none is empty.
    pub labels: Labels,
    /// What it belongs to.
    pub family: Arc<Family>,
    /// Whether it adds up.
    pub nature: Nature,
}

impl Outgoing {
    /// Its value in a row of a run that has the layout it was made of; `None` if nothing is known.
    pub fn value(&self, _run: &Run, _row: usize) -> Option<f64> {
        None
    }
}

/// How the series of a slice leave. `incarnation` becomes a label, for a machine whose name another has at the same time.
pub fn outgoing(
    _source: &Source,
    _layout: &Layout,
    _incarnation: Option<&str>,
    _naming: Naming,
) -> Vec<Outgoing> {
    Vec::new()
}
