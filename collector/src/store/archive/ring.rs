//! One archive: a file with a ring of extents, of which the oldest is overwritten.
//!
//! [`Archive::append`] puts runs into a frame in memory; [`Archive::flush`] writes it behind the frames before
//! it. When the extent is full, the next frame starts the next one.

use super::dictionary::{Dictionary, LayoutPlace};
use super::error::StoreError;
use super::extent::{Extent, read_frame};
use super::frame::{FrameHeader, Use, block_end};
use super::header::ArchiveHeader;
use super::layouts::Layouts;
use super::medium::Medium;
use super::pending::Pending;
use super::progress::Progress;
use super::recover::{Recovered, recover};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A ring of extents.
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) medium: Box<dyn Medium>,
    pub(super) header: ArchiveHeader,
    /// By place; `None` is free.
    pub(super) extents: Vec<Option<Extent>>,
    /// Places in use, the oldest first.
    pub(super) order: VecDeque<usize>,
    /// `None` where it is open for reading only.
    pub(super) filling: Option<Filling>,
    pub(super) layouts: Mutex<Layouts>,
    pub(super) progress: Progress,
}

/// The extent being filled.
pub(super) struct Filling {
    pub(super) place: usize,
    pub(super) extent_use: Use,
    /// Where the frame in the making will start.
    pub(super) end: usize,
    pub(super) pending: Pending,
    pub(super) dictionary: Dictionary,
    next_number: u64,
    synced_below: u64,
    /// Written to since the last sync.
    is_dirty: bool,
    /// The last sync did not work.
    was_sync_refused: bool,
    pub(super) written_bytes: u64,
}

impl Filling {
    /// Number of the frame in the making.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Frames below are on stable storage.
    pub(super) fn synced_below(&self) -> u64 {
        self.synced_below
    }
}

impl Archive {
    /// Opens a file that has a head, to read what it holds now.
    pub(super) fn open_read_only(path: &Path, medium: Box<dyn Medium>) -> Result<Self, StoreError> {
        let (header, _) = ArchiveHeader::read(&*medium, path)?;
        let size = medium.size().map_err(StoreError::io("look at", path))?;
        let recovered = recover(&*medium, &header, header.extent_count(size));
        Ok(Self::new(path, medium, header, recovered))
    }

    /// Opens a file that has a head, to go on with it. `extent_count` says how many extents it is to have, given their size.
    pub(super) fn open(
        path: &Path,
        medium: Box<dyn Medium>,
        extent_count: impl FnOnce(u32) -> Result<usize, StoreError>,
    ) -> Result<Self, StoreError> {
        let (header, is_whole) = ArchiveHeader::read(&*medium, path)?;
        if !is_whole {
            header
                .write(&*medium)
                .map_err(StoreError::io("mend the head of", path))?;
        }
        let extent_count = extent_count(header.extent_bytes.get())?;
        let size = medium.size().map_err(StoreError::io("look at", path))?;
        let mut recovered = recover(&*medium, &header, header.extent_count(size));
        let next_number = recovered.next_number;
        recovered
            .wipe_torn(&*medium)
            .map_err(StoreError::io("write", path))?;
        recovered
            .resize(&*medium, &header, extent_count)
            .map_err(StoreError::io("resize", path))?;
        let mut archive = Self::new(path, medium, header, recovered);
        archive.filling = Some(Filling {
            place: 0,
            extent_use: Use::new(&archive.header, 0, 0),
            end: 0,
            pending: Pending::default(),
            dictionary: Dictionary::default(),
            next_number,
            // Resizing has synchronised all there is.
            synced_below: next_number,
            is_dirty: false,
            was_sync_refused: false,
            written_bytes: 0,
        });
        archive.resume()?;
        Ok(archive)
    }

    fn new(path: &Path, medium: Box<dyn Medium>, header: ArchiveHeader, recovered: Recovered) -> Self {
        Self {
            path: path.to_owned(),
            medium,
            header,
            order: recovered.places().into(),
            extents: recovered.extents,
            filling: None,
            layouts: Mutex::default(),
            progress: Progress::new(),
        }
    }

    /// Goes on filling the newest extent.
    fn resume(&mut self) -> Result<(), StoreError> {
        let Some(&place) = self.order.back() else {
            return self.begin_extent();
        };
        let Some(extent) = &self.extents[place] else {
            return Ok(());
        };
        let (extent_use, end) = (extent.extent_use, extent.end);
        let mut dictionary = Dictionary::default();
        let extent_offset = self.header.extent_offset(place);
        let heads = extent
            .frames
            .iter()
            .filter_map(|&offset| read_frame(&*self.medium, &self.header, extent_offset, offset as usize));
        let mut seen = HashSet::new();
        for entry in heads.flat_map(|head| head.entries) {
            let layout = LayoutPlace {
                offset: entry.layout_offset.get(),
                length: entry.layout_length.get(),
                crc: entry.layout_crc.get(),
            };
            if !seen.insert(layout.offset) {
                continue;
            }
            let mut bytes = vec![0; layout.length as usize];
            let at = extent_offset + u64::from(layout.offset);
            if self.medium.read_at(&mut bytes, at).is_ok() && extent_use.crc(&bytes) == layout.crc {
                dictionary.insert(bytes, layout);
            }
        }
        if let Some(filling) = &mut self.filling {
            (filling.place, filling.extent_use, filling.end) = (place, extent_use, end);
            filling.dictionary = dictionary;
        }
        Ok(())
    }

    /// Turns to the next extent. What it holds stays until the first frame is written over it.
    pub(super) fn begin_extent(&mut self) -> Result<(), StoreError> {
        let free = self.extents.iter().position(Option::is_none);
        let newest = self.order.back().and_then(|&place| self.extents[place].as_ref());
        let sequence = newest.map_or(0, |extent| extent.extent_use.sequence.saturating_add(1));
        let place = free.or(self.order.front().copied()).unwrap_or(0);
        let nonce = getrandom::u64().map_err(io::Error::other);
        let nonce = nonce.map_err(StoreError::io("draw a random number for", &self.path))?;
        let extent_use = Use::new(&self.header, sequence, nonce);
        if let Some(filling) = &mut self.filling {
            (filling.place, filling.extent_use, filling.end) = (place, extent_use, 0);
            filling.dictionary.clear();
        }
        Ok(())
    }

    /// Writes the frame in the making. After an error it is all still there, and the next flush writes it
    /// at the same place.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let Some(filling) = self
            .filling
            .as_mut()
            .filter(|filling| !filling.pending.entries.is_empty())
        else {
            return Ok(());
        };
        let header = FrameHeader::new(
            &self.header,
            filling.extent_use,
            filling.next_number,
            filling.synced_below,
            filling.pending.len(),
            &filling.pending.entries,
        );
        let at = self.header.extent_offset(filling.place) + filling.end as u64;
        let medium = &*self.medium;
        filling.is_dirty = true;
        filling.written_bytes += filling
            .pending
            .with_frame(&header, |frame| {
                medium.write_at(frame, at).map(|()| frame.len() as u64)
            })
            .map_err(StoreError::io("write", &self.path))?;
        if filling.end == 0 {
            if let Some(before) = self.order.back().and_then(|&place| self.extents[place].as_mut()) {
                before.seal();
            }
            self.order.retain(|&place| place != filling.place);
            self.order.push_back(filling.place);
            self.extents[filling.place] = Some(Extent::new(filling.extent_use));
        }
        if let Some(extent) = &mut self.extents[filling.place] {
            extent.add(filling.end, &header, &filling.pending.entries);
            extent.index();
            filling.end = extent.end;
        }
        filling.next_number = filling.next_number.saturating_add(1);
        filling.pending.clear();
        Ok(())
    }

    /// Flushes, and returns when all of it is on stable storage.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        let Some(filling) = self.filling.as_mut().filter(|filling| filling.is_dirty) else {
            return Ok(());
        };
        let synced_below = filling.synced_below;
        // True until it is known to have worked.
        if std::mem::replace(&mut filling.was_sync_refused, true) {
            self.rewrite(synced_below)?;
        }
        self.medium
            .sync()
            .map_err(StoreError::io("synchronise", &self.path))?;
        if let Some(filling) = &mut self.filling {
            filling.is_dirty = false;
            filling.was_sync_refused = false;
            filling.synced_below = filling.next_number;
        }
        Ok(())
    }

    /// Writes the frames from that number on once more. After an fdatasync that failed, Linux takes what it could
    /// not write for written: the next one would succeed without it.
    fn rewrite(&self, from_number: u64) -> Result<(), StoreError> {
        let places = self.order.iter().rev();
        let extents = places.map_while(|&place| {
            let extent = self.extents[place].as_ref()?;
            (extent.last_number >= from_number).then_some((place, extent))
        });
        for (place, extent) in extents {
            let extent_offset = self.header.extent_offset(place);
            for &offset in &extent.frames {
                let head = read_frame(&*self.medium, &self.header, extent_offset, offset as usize);
                let Some(head) = head.filter(|head| head.header.number.get() >= from_number) else {
                    continue;
                };
                let at = extent_offset + u64::from(offset);
                let mut frame = vec![0; block_end(head.header.length.get() as usize)];
                self.medium
                    .read_at(&mut frame, at)
                    .map_err(StoreError::io("read", &self.path))?;
                self.medium
                    .write_at(&frame, at)
                    .map_err(StoreError::io("write", &self.path))?;
            }
        }
        Ok(())
    }
}
