//! What an archive holds, found out from its bytes alone, however its last writer ended.

use super::extent::{Extent, Walk, walk};
use super::frame::HEADER_BYTES;
use super::header::ArchiveHeader;
use super::medium::Medium;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Threads that look for frames, at most.
const READERS: usize = 8;
/// Extents for which it pays to start one.
const EXTENTS_WORTH_A_READER: usize = 64;

/// The extents of an archive.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// By place; `None` is free.
    pub extents: Vec<Option<Extent>>,
    /// Greater than that of any frame.
    pub next_number: u64,
    /// Where in the file frames start that a power cut or kill has torn.
    torn: Vec<u64>,
}

/// Finds all extents.
pub(super) fn recover(medium: &dyn Medium, header: &ArchiveHeader, extent_count: usize) -> Recovered {
    let mut walks = walk_all(medium, header, extent_count);
    let mut recovered = Recovered::default();
    if let Some((newest, synced_below)) = walks.iter().filter_map(|walk| walk.newest).max() {
        recovered.next_number = newest.saturating_add(1);
        for (place, found) in walks.iter_mut().enumerate() {
            // Only these may have been in the air.
            if found.newest.is_some_and(|(number, _)| number >= synced_below) {
                *found = walk(medium, header, header.extent_offset(place), synced_below);
                let at = |&offset: &usize| header.extent_offset(place) + offset as u64;
                recovered.torn.extend(found.torn.iter().map(at));
            }
        }
    }
    recovered.extents = walks.into_iter().map(|walk| walk.extent).collect();
    recovered.forget_copies();
    recovered
}

/// Looks at all extents, with several reads under way at a time: waiting for the disk is what takes long.
fn walk_all(medium: &dyn Medium, header: &ArchiveHeader, extent_count: usize) -> Vec<Walk> {
    let mut walks: Vec<Walk> = Vec::new();
    walks.resize_with(extent_count, Walk::default);
    let work = Mutex::new(walks.iter_mut().enumerate());
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let look = || {
        while let Some((place, found)) = next() {
            *found = walk(medium, header, header.extent_offset(place), u64::MAX);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..READERS.min(extent_count / EXTENTS_WORTH_A_READER) {
            // Without it there is one to help less.
            let _ = std::thread::Builder::new().spawn_scoped(scope, look);
        }
        look();
    });
    walks
}

impl Recovered {
    /// Where shrinking was interrupted, an extent may be there twice. The copy, which may not be whole, is at
    /// the lower place.
    fn forget_copies(&mut self) {
        let mut newest = HashMap::new();
        for place in 0..self.extents.len() {
            let Some(extent) = &self.extents[place] else {
                continue;
            };
            let key = (extent.extent_use.sequence, extent.extent_use.nonce);
            if let Some(copy) = newest.insert(key, place) {
                self.extents[copy] = None;
            }
        }
    }

    /// Sees to it that no torn frame can pass for a whole one later, when what says that it was not
    /// synchronised is gone.
    pub(super) fn wipe_torn(&mut self, medium: &dyn Medium) -> io::Result<()> {
        for offset in self.torn.drain(..) {
            // Not zeros: they mean that the extent was never used. Not more than the header: a later frame
            // may need the layouts behind it.
            medium.write_at(&[0xFF; HEADER_BYTES], offset)?;
        }
        Ok(())
    }

    /// Makes the file one of so many extents. When it shrinks, the newest are kept.
    ///
    /// At any moment each extent to keep is there: it is copied over one that is not, and the file is cut
    /// when all copies are on stable storage.
    pub(super) fn resize(
        &mut self,
        medium: &dyn Medium,
        header: &ArchiveHeader,
        extent_count: usize,
    ) -> io::Result<()> {
        let mut places = self.places();
        for place in places.drain(..places.len().saturating_sub(extent_count)) {
            self.extents[place] = None;
        }
        for place in extent_count..self.extents.len() {
            let free = self.extents.iter().take(extent_count).position(Option::is_none);
            if let (Some(extent), Some(free)) = (self.extents[place].take(), free) {
                let mut bytes = vec![0; extent.end];
                medium.read_at(&mut bytes, header.extent_offset(place))?;
                medium.write_at(&bytes, header.extent_offset(free))?;
                self.extents[free] = Some(extent);
            }
        }
        medium.sync()?;
        let size = header.size_of(extent_count);
        if medium.size()? != size {
            medium.resize(size)?;
        }
        self.extents.resize_with(extent_count, || None);
        Ok(())
    }

    /// Places in use, the oldest first.
    pub(super) fn places(&self) -> Vec<usize> {
        let sequence = |place: &usize| {
            self.extents[*place]
                .as_ref()
                .map(|extent| extent.extent_use.sequence)
        };
        let mut places: Vec<_> = (0..self.extents.len())
            .filter(|place| self.extents[*place].is_some())
            .collect();
        places.sort_by_key(sequence);
        places
    }
}
