//! Rows that a cursor has not passed.
//!
//! First what is stored, in the order of writing; then what waits in memory. So the rows of a slice come in the order of
//! time, and each once, wherever it is by now.

use super::cursor::ExportCursor;
use super::progress::SliceProgress;
use crate::collector::Collector;
use crate::store::{Archives, ProgressKey, Run, RunRef, StoreError};
use rondo_shm_layout::fnv1a_64;
use std::collections::HashSet;

/// Consecutive rows of a slice of one slab that leave, or the word that there will be no more.
#[derive(Debug, Clone)]
pub struct Drained {
    /// The rows, perhaps with one before them.
    pub run: Run,
    /// The first row that leaves. One before it has left already; growth can be told from it.
    pub first_row: usize,
    /// Whether the machine is gone: these are its last rows once more, none of which leaves.
    pub is_end: bool,
    /// The archive's frame that they come from; `None` if they still wait in memory.
    pub frame: Option<u64>,
}

/// What a drain came to.
#[derive(Debug, Default)]
pub struct Drain {
    /// In the order of time within each slice.
    pub drained: Vec<Drained>,
    /// Whether there is nothing more at present.
    pub is_caught_up: bool,
    /// Points that were overwritten or damaged in the archive before they left.
    pub points_lost: u64,
    /// What damage was stepped over.
    pub errors: Vec<StoreError>,
}

impl Collector {
    /// The next rows of the cursor's tier, and moves the cursor behind them: about `rows_max` of them, or all there are. A row
    /// leaves as soon as it is final, stored or not.
    ///
    /// Costs a look at what was stored in the last minute and at each slab, and the decoding of what is returned. Of
    /// tier 0, the slabs of live machines are read.
    pub fn drain(&self, cursor: &mut ExportCursor, rows_max: usize) -> Drain {
        let mut drain = cursor.drain_archive(self.archives(), rows_max);
        if drain.is_caught_up {
            self.drain_memory(cursor, rows_max, &mut drain);
        }
        let ends = Some((self.end_count(), self.slabs().count()));
        if drain.is_caught_up && self.has_seen_bus() && cursor.ends_told != ends {
            self.tell_ends(cursor, &mut drain);
            cursor.ends_told = ends;
        }
        cursor.forget_passed(|progress| progress.is_ended);
        drain
    }

    fn drain_memory(&self, cursor: &mut ExportCursor, rows_max: usize, drain: &mut Drain) {
        let tier = cursor.tier();
        // From where the last one stopped, once around.
        let start = cursor.next_slab;
        let slabs = self.slabs().enumerate();
        let (before, behind) = (slabs.take(start), self.slabs().enumerate().skip(start));
        for (index, (slab, tracked)) in behind.chain(before) {
            if drain.rows() >= rows_max {
                (cursor.next_slab, drain.is_caught_up) = (index, false);
                return;
            }
            if tier == 0 {
                let left_ns = |first_series| {
                    let key = ProgressKey::new(tracked.source(), first_series, 0);
                    cursor.slices.get(&key).map_or(0, |progress| progress.end_ns)
                };
                // A slab that cannot be read is the next pass's to complain of.
                let points = tracked.points_since(slab, left_ns).unwrap_or_default();
                points
                    .iter()
                    .for_each(|run| cursor.take(run, run.clock_offset_ns, None, drain));
            } else {
                let waiting = tracked.waiting_at().filter(|(run, _)| run.layout.tier() == tier);
                waiting.for_each(|(run, clock_offset_ns)| cursor.take(run, clock_offset_ns, None, drain));
            }
        }
    }

    /// Tells which slices will get no more rows, as their slabs are gone.
    fn tell_ends(&self, cursor: &mut ExportCursor, drain: &mut Drain) {
        let slabs: HashSet<[u8; 16]> = self
            .slabs()
            .map(|(_, tracked)| tracked.source().incarnation)
            .collect();
        let is_over = |key: &ProgressKey, progress: &SliceProgress| {
            !progress.is_ended && !slabs.contains(&key.incarnation)
        };
        for (key, progress) in &mut cursor.slices {
            if !is_over(key, progress) {
                continue;
            }
            progress.is_ended = true;
            // Without a run in the archive there is no telling which series it had.
            let Some(frame) = progress.frame else { continue };
            let stored = self
                .archives()
                .frames_from(cursor.tier, frame)
                .next()
                .and_then(Result::ok);
            let stored = stored.and_then(|frame| frame.runs.into_iter().rev().find(|run| run.key() == *key));
            let run = stored.and_then(|run| self.archives().read(&run).ok());
            if let Some(run) = run.filter(|run| run.rows() > 0) {
                drain.drained.push(Drained {
                    first_row: run.rows(),
                    run,
                    is_end: true,
                    frame: Some(frame),
                });
            }
        }
    }
}

impl Drain {
    fn rows(&self) -> usize {
        self.drained.iter().map(Drained::rows).sum()
    }
}

impl Drained {
    /// How many rows leave.
    pub fn rows(&self) -> usize {
        self.run.rows() - self.first_row
    }

    /// Which slice they are of.
    pub fn key(&self) -> ProgressKey {
        ProgressKey::new(&self.run.source, self.run.first_series, self.run.layout.tier())
    }
}

impl ExportCursor {
    /// The next rows of a store that no collector of this process has open, and moves behind them: about `rows_max` of them,
    /// or all that are written.
    pub fn drain_stored(&mut self, archives: &Archives, rows_max: usize) -> Drain {
        let drain = self.drain_archive(archives, rows_max);
        // Rows come from frames only, so what is in those that are passed never comes again.
        self.forget_passed(|_| true);
        drain
    }

    fn drain_archive(&mut self, archives: &Archives, rows_max: usize) -> Drain {
        let mut drain = Drain::default();
        self.look_ahead(archives, &mut drain);
        for frame in archives.frames_from(self.tier, self.scanned.0) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    drain.errors.push(error);
                    continue;
                }
            };
            let taken = if frame.number == self.scanned.0 {
                self.scanned.1
            } else {
                0
            };
            self.scanned = (frame.number, taken);
            for stored in frame.runs.iter().skip(taken) {
                if drain.rows() >= rows_max {
                    return drain;
                }
                self.take_stored(archives, stored, frame.number, &mut drain);
                self.scanned.1 += 1;
            }
            if frame.is_written {
                self.scanned = (frame.number + 1, 0);
            }
        }
        self.passed = self
            .passed
            .max(self.scanned.0.min(archives.durable_below(self.tier)));
        drain.is_caught_up = true;
        drain
    }

    fn take_stored(&mut self, archives: &Archives, stored: &RunRef, frame: u64, drain: &mut Drain) {
        let key = stored.key();
        if let Some(progress) = self.slices.get_mut(&key) {
            progress.frame = Some(frame);
        }
        let points = self.points_left(stored);
        if points == 0 {
            return;
        }
        match archives.read(stored) {
            Ok(run) => self.take(&run, run.clock_offset_ns, Some(frame), drain),
            Err(error) => {
                drain.points_lost += points;
                // Whatever it holds, it has left: or every drain would stumble on it.
                self.progress(key, stored.instance_hash()).end_ns = stored.end_ns();
                if !matches!(error, StoreError::Overwritten) {
                    drain.errors.push(error);
                }
            }
        }
        let still_ahead = self.ahead.binary_search_by_key(&frame, |(number, _)| *number);
        if let Ok(at) = still_ahead {
            self.ahead[at].1 = self.ahead[at].1.saturating_sub(points);
        }
    }

    /// Takes the rows of a run that have not left.
    fn take(&mut self, run: &Run, clock_offset_ns: i64, frame: Option<u64>, drain: &mut Drain) {
        let key = ProgressKey::new(&run.source, run.first_series, run.layout.tier());
        let left_ns = self.slices.get(&key).map_or(0, |progress| progress.end_ns);
        if run.rows() == 0 || run.end_ns() <= left_ns {
            return;
        }
        let begin_ns = i128::from(self.begin_ns) - i128::from(clock_offset_ns);
        let leaves = |row: &usize| {
            let start_ns = run.row_ns(*row);
            start_ns >= left_ns && i128::from(start_ns) + i128::from(run.layout.interval_ns()) >= begin_ns
        };
        let Some(first) = (0..run.rows()).find(leaves) else {
            return;
        };
        let before = first.saturating_sub(1);
        let mut rows = run.slice(before..run.rows());
        rows.clock_offset_ns = clock_offset_ns;
        let progress = self.progress(key, fnv1a_64(run.source.instance.as_bytes()));
        (progress.end_ns, progress.is_ended) = (run.end_ns(), false);
        progress.frame = frame.or(progress.frame);
        drain.drained.push(Drained {
            run: rows,
            first_row: first - before,
            is_end: false,
            frame,
        });
    }

    fn progress(&mut self, key: ProgressKey, instance_hash: u64) -> &mut SliceProgress {
        self.slices
            .entry(key)
            .or_insert_with(|| SliceProgress::nothing(instance_hash))
    }

    /// Points of a stored run that have not left, and are to.
    fn points_left(&self, stored: &RunRef) -> u64 {
        let left_ns = self
            .slices
            .get(&stored.key())
            .map_or(0, |progress| progress.end_ns);
        if stored.wall_ns().end < self.begin_ns {
            return 0;
        }
        let rows = stored.end_ns().saturating_sub(left_ns) / stored.interval_ns().max(1);
        rows.min(stored.rows() as u64) * stored.series_count() as u64
    }

    /// Takes note of frames that were written since, and counts what is lost with those that were overwritten.
    fn look_ahead(&mut self, archives: &Archives, drain: &mut Drain) {
        let id = archives.archive_id(self.tier);
        if self.archive_id != id {
            // A store that was made anew counts from 0.
            (self.archive_id, self.passed, self.scanned) = (id, 0, (0, 0));
            self.ahead.clear();
        }
        let oldest = archives.oldest_frame(self.tier).unwrap_or(0);
        while let Some(&(number, points)) = self.ahead.front() {
            if number >= self.passed.max(oldest) {
                break;
            }
            drain.points_lost += if number < self.passed { 0 } else { points };
            self.ahead.pop_front();
        }
        self.passed = self.passed.max(oldest);
        self.scanned = self.scanned.max((self.passed, 0));
        let next = self.ahead.back().map_or(self.passed, |(number, _)| number + 1);
        for frame in archives.frames_from(self.tier, next).filter_map(Result::ok) {
            if frame.is_written {
                let points = frame.runs.iter().map(|run| self.points_left(run)).sum();
                self.ahead.push_back((frame.number, points));
            }
        }
    }
}
