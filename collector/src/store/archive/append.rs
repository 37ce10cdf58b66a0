//! Putting runs into the frame in the making, split where an extent ends.

use super::dictionary::LayoutPlace;
use super::error::StoreError;
use super::frame::{ENTRY_BYTES, Entry, HEADER_BYTES};
use super::progress::ProgressKey;
use super::ring::{Archive, Filling};
use super::{bucket_rows, layout_block, run_block};
use crate::store::{Layout, Run};
use std::ops::Range;
use std::sync::Arc;

impl Archive {
    fn filling(&mut self) -> Result<&mut Filling, StoreError> {
        self.filling.as_mut().ok_or_else(|| StoreError::ReadOnly {
            path: self.path.clone(),
        })
    }

    /// Adds a run to the frame in the making. Rows that are stored already are left out, so that an append
    /// that failed may be repeated.
    pub(super) fn append(&mut self, run: &Run) -> Result<(), StoreError> {
        self.filling()?;
        run_block::check(run).map_err(unfit(run))?;
        let key = ProgressKey::new(&run.source, run.first_series, run.layout.tier());
        let stored_ns = self.progress(&run.source, key).unwrap_or(0);
        let stored_rows = stored_ns
            .saturating_sub(run.start_ns)
            .div_ceil(run.layout.interval_ns().max(1));
        let first_row = usize::try_from(stored_rows).unwrap_or(usize::MAX).min(run.rows());
        self.append_rows(run, key, first_row..run.rows())
    }

    fn append_rows(&mut self, run: &Run, key: ProgressKey, rows: Range<usize>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let halve = |archive: &mut Self| {
            let middle = rows.start + rows.len() / 2;
            archive.append_rows(run, key, rows.start..middle)?;
            archive.append_rows(run, key, middle..rows.end)
        };
        let histogram_count = run.layout.histograms().len();
        let buckets = &run.buckets[rows.start * histogram_count..rows.end * histogram_count];
        let bucket_bytes: usize = buckets.iter().map(|counts| counts.as_bytes().len()).sum();
        let is_too_long = rows.len() * run_block::cells_of_row(&run.layout) > run_block::CELLS_MAX
            || bucket_bytes > bucket_rows::BYTES_MAX;
        if is_too_long && rows.len() > 1 {
            return halve(self);
        }

        let unfit = unfit(run);
        let mut block = Vec::new();
        run_block::encode(&mut block, run, rows.clone()).map_err(&unfit)?;
        let extent_bytes = self.header.extent_bytes.get();
        let filling = self.filling()?;
        let mut layout = filling.layout_block(&run.layout).map_err(&unfit)?;
        if filling.end + filling.pending.len() + needed(&block, &layout) > extent_bytes as usize {
            layout = LayoutBlock::New(layout_block::encode(&run.layout).map_err(&unfit)?);
            let needed_bytes = HEADER_BYTES + needed(&block, &layout);
            if needed_bytes > extent_bytes as usize {
                return if rows.len() > 1 {
                    halve(self)
                } else {
                    Err(StoreError::TooLarge {
                        instance: run.source.instance.clone(),
                        needed_bytes,
                        extent_bytes,
                    })
                };
            }
            self.flush()?;
            self.begin_extent()?;
        }
        let filling = self.filling()?;
        let layout = filling.push_layout(&run.layout, layout);
        filling.push_run(&block, Entry::of(run, rows.clone()), layout);
        self.progress.insert(key, Some(run.row_ns(rows.end)));
        Ok(())
    }
}

fn unfit(run: &Run) -> impl Fn(String) -> StoreError {
    let instance = run.source.instance.clone();
    move |why| StoreError::Unfit {
        instance: instance.clone(),
        why,
    }
}

/// A run's layout: in the extent already, or to be put there.
enum LayoutBlock {
    There(LayoutPlace),
    New(Vec<u8>),
}

/// What a run adds to a frame.
fn needed(block: &[u8], layout: &LayoutBlock) -> usize {
    let layout_bytes = match layout {
        LayoutBlock::There(_) => 0,
        LayoutBlock::New(bytes) => bytes.len(),
    };
    block.len() + ENTRY_BYTES + layout_bytes
}

impl Filling {
    fn layout_block(&self, layout: &Arc<Layout>) -> Result<LayoutBlock, String> {
        if let Some(place) = self.dictionary.recent(layout) {
            return Ok(LayoutBlock::There(place));
        }
        let bytes = layout_block::encode(layout)?;
        Ok(match self.dictionary.get(&bytes) {
            Some(place) => LayoutBlock::There(place),
            None => LayoutBlock::New(bytes),
        })
    }

    fn push_layout(&mut self, layout: &Arc<Layout>, block: LayoutBlock) -> LayoutPlace {
        let place = match block {
            LayoutBlock::There(place) => place,
            LayoutBlock::New(bytes) => {
                let at = self.end + self.pending.push_block(&bytes);
                let place = LayoutPlace {
                    offset: at as u32,
                    length: bytes.len() as u32,
                    crc: self.extent_use.crc(&bytes),
                };
                self.dictionary.insert(bytes, place);
                place
            }
        };
        self.dictionary.remember(layout, place);
        place
    }

    fn push_run(&mut self, block: &[u8], mut entry: Entry, layout: LayoutPlace) {
        let at = self.end + self.pending.push_block(block);
        entry.run_offset = (at as u32).into();
        entry.run_length = (block.len() as u32).into();
        entry.run_crc = self.extent_use.crc(block).into();
        entry.layout_offset = layout.offset.into();
        entry.layout_length = layout.length.into();
        entry.layout_crc = layout.crc.into();
        self.pending.entries.push(entry);
    }
}
