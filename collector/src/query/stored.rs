//! Archives as a query sees them.

use super::{RunFilter, RunHead, SeriesRows, StoredRuns};
use crate::store::{Archives, RunRef, Source, StoreError};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Number of tiers that a schema can have.
const TIERS: std::ops::Range<u8> = 0..8;

impl StoredRuns for Archives {
    type Key = RunRef;
    type Error = StoreError;

    fn find(
        &self,
        filter: &RunFilter<'_>,
        visit: &mut dyn FnMut(RunHead, RunRef) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let wall = |t: i128| i64::try_from(t).unwrap_or(if t < 0 { i64::MIN } else { i64::MAX });
        let wall_ns = wall(filter.wall.0)..wall(filter.wall.1);
        // The runs of a slab repeat who it is; the block has to be read only for the first of them.
        let mut sources: HashMap<[u8; 16], Vec<Arc<Source>>> = HashMap::new();
        let mut damage = None;
        for tier in TIERS.filter(|tier| filter.tier.is_none_or(|wanted| wanted == *tier)) {
            for run in self.runs(tier, filter.instance, wall_ns.clone()) {
                // What is damaged is as if it were not there, but for the word about it.
                match run.and_then(|run| self.head(run, filter, &mut sources)) {
                    Ok(Some((head, run))) if filter.takes(&head) => {
                        if visit(head, run).is_break() {
                            return Ok(());
                        }
                    }
                    Ok(_) | Err(StoreError::Overwritten) => {}
                    Err(error) => damage = damage.or(Some(error)),
                }
            }
        }
        damage.map_or(Ok(()), Err)
    }

    fn read_series(&self, run: &RunRef, series: usize) -> Result<SeriesRows, StoreError> {
        let run = self.read_series(run, &[series])?;
        Ok(SeriesRows::of(&run, 0))
    }
}

impl Archives {
    /// What a query knows of a run, if its layout is one that is looked for.
    fn head(
        &self,
        run: RunRef,
        filter: &RunFilter<'_>,
        sources: &mut HashMap<[u8; 16], Vec<Arc<Source>>>,
    ) -> Result<Option<(RunHead, RunRef)>, StoreError> {
        // Layouts are few and remembered; most searches end here.
        let layout = self.layout(&run)?;
        if !(filter.layout)(&layout) {
            return Ok(None);
        }
        let known = sources.entry(run.incarnation()).or_default();
        let source = match known.iter().find(|source| run.is_of(source)) {
            Some(source) => source.clone(),
            None => {
                let source = Archives::read_series(self, &run, &[])?.source;
                known.push(source.clone());
                source
            }
        };
        let head = RunHead {
            source,
            layout,
            first_series: run.first_series(),
            start_ns: run.start_ns(),
            rows: u32::try_from(run.rows()).unwrap_or(u32::MAX),
            clock_offset_ns: run.clock_offset_ns(),
            ended_ns: self.ended_ns(&run),
        };
        Ok(Some((head, run)))
    }

    /// When the machine ended, if it did with this run.
    fn ended_ns(&self, run: &RunRef) -> u64 {
        let last = Some(run).filter(|run| run.is_last());
        last.and_then(|run| self.read_series(run, &[]).ok())
            .map_or(0, |run| run.ended_ns)
    }
}
