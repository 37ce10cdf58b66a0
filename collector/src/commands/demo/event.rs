//! What a machine says of itself on standard error: a line of JSON for its start, and for each tick.
//!
//! `rondo-vmm --events` writes the same, with more fields; `vmm/src/event_log.rs` describes them.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// It has a slab now, unless the bus refused.
    Started {
        /// Which life of its name.
        incarnation: String,
        /// Where the slab is.
        slab: Option<PathBuf>,
    },
    /// The slab moved on.
    Tick {
        /// Start of the interval, in slab time.
        ticked_ns: u64,
    },
    /// It ended by itself or on demand.
    Ended {
        /// In words.
        why: String,
        /// Lines that could not be written, so that it ticked more often than it said.
        lost_events: u64,
    },
}

impl Event {
    /// What a line says, if it is one.
    pub(super) fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_vmm_says_beyond_what_the_demo_needs_is_ignored() {
        let tick = Event::parse(r#"{"event":"tick","ticked_ns":7,"missed_ticks":2}"#);
        assert_eq!(tick, Some(Event::Tick { ticked_ns: 7 }));
        let ended =
            r#"{"event":"ended","why":"ended by SIGTERM","exit_code":0,"missed_ticks":0,"lost_events":1}"#;
        assert!(matches!(
            Event::parse(ended),
            Some(Event::Ended { lost_events: 1, .. })
        ));
        assert_eq!(Event::parse("rondo-vmm: ended by SIGTERM"), None);
    }
}
