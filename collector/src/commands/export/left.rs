//! What has not left yet, by a cursor in a file.

use crate::export::ExportCursor;
use crate::store::{Archives, ProgressKey};
use anyhow::bail;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// Rows that are decoded at once only to learn which they are.
const ROWS_AT_ONCE: usize = 4_096;

/// Rows that have not left.
pub(super) struct Left {
    /// Of each slice, from the start of the first to behind the start of the last.
    starts: HashMap<ProgressKey, Range<u64>>,
    /// Behind all of them.
    cursor: ExportCursor,
    pub(super) warnings: Vec<String>,
}

impl Left {
    /// Moves the cursor to the end of what is stored, in memory, and remembers what it passed. The rows themselves are read
    /// again, name by name, when they leave.
    pub(super) fn find(path: &Path, archives: &Archives, tier: u8) -> anyhow::Result<Self> {
        let cursor = ExportCursor::load(path)?.unwrap_or_else(|| ExportCursor::new(tier));
        if cursor.tier() != tier {
            bail!(
                "{} is a cursor of tier {}, not {tier}; each tier takes one of its own",
                path.display(),
                cursor.tier()
            );
        }
        let mut left = Self {
            starts: HashMap::new(),
            cursor,
            warnings: Vec::new(),
        };
        let mut points_lost = 0;
        loop {
            let drain = left.cursor.drain_stored(archives, ROWS_AT_ONCE);
            points_lost += drain.points_lost;
            for error in &drain.errors {
                left.warnings
                    .push(format!("some stored rows cannot be read: {error}"));
            }
            for rows in drain.drained.iter().filter(|rows| rows.rows() > 0) {
                let new = rows.run.row_ns(rows.first_row)..rows.run.end_ns();
                let starts = left.starts.entry(rows.key()).or_insert_with(|| new.clone());
                *starts = starts.start.min(new.start)..starts.end.max(new.end);
            }
            if drain.is_caught_up {
                break;
            }
        }
        if points_lost > 0 {
            left.warnings.push(format!(
                "{points_lost} points were overwritten, or damaged, before they left"
            ));
        }
        Ok(left)
    }

    /// Starts of the rows of a slice that are to leave.
    pub(super) fn starts(&self, key: &ProgressKey) -> Range<u64> {
        self.starts.get(key).cloned().unwrap_or(0..0)
    }

    /// Puts the cursor behind what has left in the file.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        Ok(self.cursor.save(path)?)
    }
}
