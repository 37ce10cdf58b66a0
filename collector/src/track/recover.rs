//! Going on where an earlier collector stopped, however it stopped.

use super::slice::Slice;
use crate::store::{Archives, StoreError};

/// Makes the windows that were open again, from stored rows of the tier below, and finds the place to go on from.
pub(super) fn recover(slice: &mut Slice, archives: &mut Archives) -> Result<(), StoreError> {
    let (source, first_series) = (slice.source.clone(), slice.first_series);
    let starts: Vec<u64> = (0..=slice.tiers.len())
        .map(|tier| archives.progress(&source, first_series, tier as u8).unwrap_or(0))
        .collect();
    slice.points_stored_ns = starts.first().copied().unwrap_or(0);
    slice.next_ns = starts.get(1).copied().unwrap_or(0);
    for tier in (2..=slice.tiers.len()).rev() {
        let (from_ns, until_ns) = (starts[tier], starts[tier - 1]);
        if from_ns >= until_ns {
            continue;
        }
        for run in archives.runs((tier - 1) as u8, Some(&source.instance), i64::MIN..i64::MAX) {
            let run = run?;
            if run.is_of(&source) && run.first_series() == first_series && run.end_ns() > from_ns {
                let run = archives.read(&run)?;
                let first_row = (0..run.rows()).find(|&row| run.row_ns(row) >= from_ns);
                slice.recover(tier as u8, &run, first_row.unwrap_or(run.rows()));
            }
        }
    }
    Ok(())
}
