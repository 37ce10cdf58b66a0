//! Finding runs by their directory entries, and reading them.

use super::error::StoreError;
use super::extent::{Extent, read_frame};
use super::frame::{ENDED, Entry, Use};
use super::input::Malformed;
use super::progress::ProgressKey;
use super::ring::{Archive, Filling};
use super::{layout_block, run_block};
use crate::store::{Layout, Run, Source};
use rondo_shm_layout::fnv1a_64;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// A stored run as its directory entry has it: enough to choose by, and to read it.
///
/// It stays valid until its extent is overwritten, which reading then says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRef {
    /// Which of the files.
    pub(super) archive: usize,
    place: usize,
    pub(super) extent_use: Use,
    entry: Entry,
}

impl RunRef {
    /// Number of the tier.
    pub fn tier(&self) -> u8 {
        self.entry.tier
    }

    /// Slab time at which the first row's interval starts.
    pub fn start_ns(&self) -> u64 {
        self.entry.start_ns.get()
    }

    /// Slab time at which the last row's interval ends.
    pub fn end_ns(&self) -> u64 {
        self.entry.end_ns()
    }

    /// Length of a row's interval.
    pub fn interval_ns(&self) -> u64 {
        self.entry.interval_ns.get()
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.entry.row_count.get() as usize
    }

    /// How many series.
    pub fn series_count(&self) -> usize {
        self.entry.series_count.get().into()
    }

    /// First series of the slice.
    pub fn first_series(&self) -> u32 {
        self.entry.first_series.get()
    }

    /// FNV-1a 64 of the instance's name.
    pub fn instance_hash(&self) -> u64 {
        self.entry.instance_hash.get()
    }

    /// Which slice of which slab it is of.
    pub fn key(&self) -> ProgressKey {
        ProgressKey::of(&self.entry)
    }

    /// The machine's incarnation.
    pub fn incarnation(&self) -> [u8; 16] {
        self.entry.incarnation
    }

    /// What to add to slab time to have the wall clock's.
    pub fn clock_offset_ns(&self) -> i64 {
        self.entry.clock_offset_ns.get()
    }

    /// Start and end on the wall clock.
    pub fn wall_ns(&self) -> Range<i64> {
        let (start, end) = self.entry.wall();
        start..end
    }

    /// Whether the machine ended with this run.
    pub fn is_last(&self) -> bool {
        self.entry.flags & ENDED != 0
    }

    /// Whether it is of that slab, as far as a directory knows.
    pub fn is_of(&self, source: &Source) -> bool {
        self.key().is_of(source)
    }
}

/// What [`Archive::runs`] is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// `None` for all that the archive has.
    pub tier: Option<u8>,
    pub instance_hash: Option<u64>,
    pub wall_ns: Range<i64>,
}

impl Wanted {
    fn overlaps(&self, (start, end): (i64, i64)) -> bool {
        start < self.wall_ns.end && end > self.wall_ns.start
    }

    fn is_met_by(&self, entry: &Entry) -> bool {
        self.tier.is_none_or(|tier| entry.tier == tier)
            && self
                .instance_hash
                .is_none_or(|hash| entry.instance_hash.get() == hash)
            && self.overlaps(entry.wall())
    }
}

/// The directory of a frame, or of the one in the making.
pub(super) struct Directory {
    pub(super) number: u64,
    pub(super) place: usize,
    extent_use: Use,
    pub(super) entries: Vec<Entry>,
}

impl Directory {
    /// Its runs, in order of writing.
    pub(super) fn runs(self, archive: usize) -> impl Iterator<Item = RunRef> {
        let (place, extent_use) = (self.place, self.extent_use);
        self.entries.into_iter().map(move |entry| RunRef {
            archive,
            place,
            extent_use,
            entry,
        })
    }
}

impl Filling {
    /// What the next flush will write.
    pub(super) fn directory(&self) -> Directory {
        Directory {
            number: self.next_number(),
            place: self.place,
            extent_use: self.extent_use,
            entries: self.pending.entries.clone(),
        }
    }
}

impl Archive {
    /// Directories of the extents that `is_wanted`, in order of writing; where one is damaged, an error.
    pub(super) fn directories<'a>(
        &'a self,
        is_wanted: impl Fn(&Extent) -> bool + 'a,
    ) -> impl Iterator<Item = Result<Directory, StoreError>> + 'a {
        self.directories_after(move |extent| is_wanted(extent).then_some(0))
    }

    /// The same, but for so many frames at the start of each extent; `None` for all of them.
    pub(super) fn directories_after<'a>(
        &'a self,
        skipped: impl Fn(&Extent) -> Option<usize> + 'a,
    ) -> impl Iterator<Item = Result<Directory, StoreError>> + 'a {
        let wanted = move |&place: &usize| {
            let extent = self.extents[place].as_ref()?;
            Some((place, extent, skipped(extent)?))
        };
        self.order
            .iter()
            .filter_map(wanted)
            .flat_map(move |(place, extent, skipped)| {
                let frames = extent.frames.iter().skip(skipped);
                frames.filter_map(move |&offset| self.directory(place, extent.extent_use, offset).transpose())
            })
    }

    /// The directory of a frame; `None` if another process has overwritten the extent.
    fn directory(&self, place: usize, extent_use: Use, offset: u32) -> Result<Option<Directory>, StoreError> {
        let extent_offset = self.header.extent_offset(place);
        let frame = |offset: u32| read_frame(&*self.medium, &self.header, extent_offset, offset as usize);
        match frame(offset) {
            Some(head) if head.header.extent_use(&self.header) == extent_use => Ok(Some(Directory {
                number: head.header.number.get(),
                place,
                extent_use,
                entries: head.entries,
            })),
            _ if self.is_overwritten(place, extent_use) => Ok(None),
            _ => Err(self.damaged(
                extent_offset + u64::from(offset),
                "a frame's head is not what was written",
            )),
        }
    }

    /// Whether the extent is in another use by now.
    fn is_overwritten(&self, place: usize, extent_use: Use) -> bool {
        match &self.filling {
            Some(_) => {
                let current = self.extents.get(place).and_then(Option::as_ref);
                current.is_none_or(|extent| extent.extent_use != extent_use)
            }
            None => {
                let first = read_frame(&*self.medium, &self.header, self.header.extent_offset(place), 0);
                first.is_some_and(|head| head.header.extent_use(&self.header) != extent_use)
            }
        }
    }

    /// Runs in order of writing, those not flushed yet at the end.
    pub(super) fn runs(
        &self,
        archive: usize,
        wanted: Wanted,
    ) -> impl Iterator<Item = Result<RunRef, StoreError>> {
        let filter = wanted.clone();
        let stored = self.directories(move |extent| {
            filter.overlaps(extent.wall_ns) && filter.instance_hash.is_none_or(|hash| extent.may_hold(hash))
        });
        let pending = self.filling.iter().map(|filling| Ok(filling.directory()));
        stored.chain(pending).flat_map(move |directory| match directory {
            Ok(mut directory) => {
                directory.entries.retain(|entry| wanted.is_met_by(entry));
                directory.runs(archive).map(Ok).collect::<Vec<_>>()
            }
            Err(error) => vec![Err(error)],
        })
    }

    /// All of a run.
    pub(super) fn read(&self, run: &RunRef) -> Result<Run, StoreError> {
        let layout = self.layout(run)?;
        self.read_projected(run, &layout, None, layout.clone())
    }

    /// Some of a run's series.
    pub(super) fn read_series(&self, run: &RunRef, series: &[usize]) -> Result<Run, StoreError> {
        let layout = self.layout(run)?;
        self.read_projected(run, &layout, Some(series), Arc::new(layout.project(series)))
    }

    fn read_projected(
        &self,
        run: &RunRef,
        layout: &Layout,
        wanted: Option<&[usize]>,
        projected: Arc<Layout>,
    ) -> Result<Run, StoreError> {
        let entry = &run.entry;
        let block = self.block(
            run,
            entry.run_offset.get(),
            entry.run_length.get(),
            entry.run_crc.get(),
        )?;
        let place = run_block::Place {
            incarnation: entry.incarnation,
            uid: entry.uid.get(),
            part: entry.part.get(),
            first_series: entry.first_series.get(),
            rows: run.rows(),
            start_ns: run.start_ns(),
            clock_offset_ns: run.clock_offset_ns(),
        };
        let decoded = run_block::decode(&block, &place, layout, wanted, projected);
        let decoded =
            decoded.map_err(|Malformed(why)| self.damaged(self.offset(run, entry.run_offset.get()), why))?;
        if fnv1a_64(decoded.source.instance.as_bytes()) != entry.instance_hash.get() {
            let why = "a run is of another instance than its directory says";
            return Err(self.damaged(self.offset(run, entry.run_offset.get()), why));
        }
        Ok(decoded)
    }

    /// The layout of a run; the same object for all runs that have an equal one, as far as it is remembered.
    pub(super) fn layout(&self, run: &RunRef) -> Result<Arc<Layout>, StoreError> {
        let entry = &run.entry;
        let place = (run.extent_use.nonce, entry.layout_offset.get());
        let remembered = || self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = remembered().at(place) {
            return Ok(layout);
        }
        let bytes = self.block(
            run,
            entry.layout_offset.get(),
            entry.layout_length.get(),
            entry.layout_crc.get(),
        )?;
        let known = remembered().of(&bytes);
        let layout = match known {
            Some(layout) => layout,
            None => {
                let layout = layout_block::decode(&bytes);
                let damaged = |Malformed(why)| self.damaged(self.offset(run, entry.layout_offset.get()), why);
                Arc::new(layout.map_err(damaged)?)
            }
        };
        let fits = layout.tier() == entry.tier
            && layout.interval_ns() == run.interval_ns()
            && layout.series().len() == run.series_count();
        if !fits {
            let why = "a layout is not that of the run";
            return Err(self.damaged(self.offset(run, entry.layout_offset.get()), why));
        }
        remembered().insert(place, &bytes, &layout);
        Ok(layout)
    }

    fn offset(&self, run: &RunRef, offset: u32) -> u64 {
        self.header.extent_offset(run.place) + u64::from(offset)
    }

    fn damaged(&self, offset: u64, why: &'static str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            offset,
            why,
        }
    }

    /// The bytes of a block, from memory if they are not written yet.
    fn block(&self, run: &RunRef, offset: u32, length: u32, crc: u32) -> Result<Vec<u8>, StoreError> {
        if let Some(filling) = &self.filling
            && filling.extent_use == run.extent_use
            && let Some(at) = (offset as usize).checked_sub(filling.end)
        {
            let block = filling.pending.block(at, length as usize);
            return block.map(<[u8]>::to_vec).ok_or(StoreError::Overwritten);
        }
        if self.filling.is_some() && self.is_overwritten(run.place, run.extent_use) {
            return Err(StoreError::Overwritten);
        }
        let mut bytes = vec![0; length as usize];
        let at = self.offset(run, offset);
        self.medium
            .read_at(&mut bytes, at)
            .map_err(StoreError::io("read", &self.path))?;
        if run.extent_use.crc(&bytes) == crc {
            Ok(bytes)
        } else if self.is_overwritten(run.place, run.extent_use) {
            Err(StoreError::Overwritten)
        } else {
            Err(self.damaged(at, "a block is not what was written"))
        }
    }
}
