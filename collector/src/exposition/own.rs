//! What the collector says of itself: every family, with its name, type, unit and help, once.
//!
//! Those that count are totals since the collector started; the others are of the last pass.

use super::family::{Definition, FamilyKind};
use FamilyKind::{Counter, Gauge, Histogram};

macro_rules! table {
    ($($constant:ident $name:literal $kind:ident $unit:literal $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $constant: Definition =
                Definition { name: $name, kind: $kind, unit: $unit, help: $help };
        )*
        /// All of them.
        pub const ALL: &[Definition] = &[$($constant),*];
    };
}

table! {
    BUILD_INFO "rondo_build_info" Gauge "" "1, with the version and revision as labels."

    SLABS "rondo_slabs" Gauge "" "Slabs on the bus by state: live, ended, refused, lost, or stuck (locked but silent)."
    SERIES "rondo_series" Gauge "" "Series of all live slabs."
    SLABS_LOST "rondo_slabs_lost_total" Counter "" "Slabs given up because they can no longer be read: cut short, or broken by their writer."
    SLABS_UNLINKED "rondo_slabs_unlinked_total" Counter "" "Slabs removed from the bus after all in them was stored."
    MACHINES_ENDED "rondo_machines_ended_total" Counter "" "Machines whose writer is gone and whose last windows are sealed."

    PASSES "rondo_passes_total" Counter "" "Passes over the bus."
    PASSES_MISSED "rondo_passes_missed_total" Counter "" "Passes left out because the one before took too long."
    PASS_DURATION "rondo_pass_duration_seconds" Histogram "seconds" "How long passes took."
    LAG "rondo_lag_seconds" Gauge "seconds" "Age of the oldest complete interval of a live slab that is not read yet."

    POINTS_READ "rondo_points_read_total" Counter "" "Points read from slabs."
    POINTS_TORN "rondo_points_torn_total" Counter "" "Points that could not be read because the writer was changing them, or died in them."
    SAMPLES_REFUSED "rondo_samples_refused_total" Counter "" "Samples that writers refused, by reason: stale, future or bad."
    INTERVALS_LOST "rondo_intervals_lost_total" Counter "" "Intervals overwritten in slabs before they were read."

    ROWS_WRITTEN "rondo_rows_written_total" Counter "" "Rows written to the store, by tier."
    STORE_BYTES "rondo_store_bytes" Gauge "bytes" "Size of the store, by tier; it does not change."
    STORE_USED "rondo_store_used_bytes" Gauge "bytes" "Bytes of the store that hold rows, by tier."
    STORE_WRITTEN "rondo_store_written_bytes_total" Counter "bytes" "Bytes written to the store, by tier."
    STORE_OLDEST "rondo_store_oldest_timestamp_seconds" Gauge "seconds" "Start of the oldest row in the store by tier, since the Unix epoch."
    STORE_ERRORS "rondo_store_errors_total" Counter "" "Writes to the store that failed, and are tried again."

    PUSH_UP "rondo_remote_write_up" Gauge "" "By destination: 1 if it took the last request, or has had none yet, 0 if something is wrong, as the log says."
    PUSH_SAMPLES "rondo_remote_write_samples_total" Counter "" "Samples that servers took, by destination."
    PUSH_REFUSED "rondo_remote_write_samples_refused_total" Counter "" "Samples that servers refused for good, by destination and reason: too_old, out_of_order, duplicate or other."
    PUSH_CONFLICTS "rondo_remote_write_samples_conflicting_total" Counter "" "Samples left out because another series has the same labels, by destination."
    PUSH_LOST "rondo_remote_write_points_lost_total" Counter "" "Points overwritten or damaged in the store before they were sent, by destination."
    PUSH_TOO_OLD "rondo_remote_write_rows_too_old_total" Counter "" "Rows not sent because they were older than max_age, by destination."
    PUSH_UNMERGED "rondo_remote_write_samples_unmerged_total" Counter "" "Samples that aggregation did not take as they were, by destination and reason: delayed to the next window, or in none for late, unknown, conflicting, unusable or refused."
    PUSH_AHEAD "rondo_remote_write_points_pending" Gauge "" "Points in the store that are still to be sent, by destination."
    PUSH_REQUESTS "rondo_remote_write_requests_total" Counter "" "Requests by destination and outcome: accepted, refused (for good), or failed (and tried again)."
    PUSH_RETRIES "rondo_remote_write_retries_total" Counter "" "Requests that had been sent before, by destination."
    PUSH_BYTES "rondo_remote_write_sent_bytes_total" Counter "bytes" "Bytes of the bodies of requests, by destination."
    PUSH_NEWEST "rondo_remote_write_newest_timestamp_seconds" Gauge "seconds" "Stamp of the newest sample that a server took, since the Unix epoch, by destination."

    HTTP_REQUESTS "rondo_http_requests_total" Counter "" "Requests answered, by status code."
    SERIES_CONFLICTS "rondo_series_conflicts" Gauge "" "Series left out of this page: their metric has another kind or unit in another machine, or their labels are another's."
    NAMES_REFUSED "rondo_names_refused" Gauge "" "Series that do not count in the totals of the host: too many names, or another kind or unit than before."
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_end_as_their_kind_and_unit_want() {
        let names: HashSet<&str> = ALL.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), ALL.len());
        for one in ALL {
            let stem = one.name.strip_suffix("_total").unwrap_or(one.name);
            assert_eq!(one.name.ends_with("_total"), one.kind == Counter, "{}", one.name);
            assert!(stem.ends_with(one.unit), "{}", one.name);
            assert!(
                one.name.starts_with("rondo_") && one.help.ends_with('.'),
                "{}",
                one.name
            );
        }
    }
}
