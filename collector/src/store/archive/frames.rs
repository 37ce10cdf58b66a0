//! Runs in the order in which they were written, frame by frame: what an exporter follows.
//!
//! Numbers of frames only grow, so one number says how far somebody has come. But a frame that was not on stable
//! storage may be lost with the machine, and its number given to another: [`Archives::durable_below`] says which may
//! be counted on.

use super::archives::Archives;
use super::error::StoreError;
use super::extent::Extent;
use super::read::RunRef;
use super::ring::Archive;

/// The runs that one write put into an archive, or that the next one will.
#[derive(Debug, Clone)]
pub struct FrameRuns {
    /// Its number among the frames of the archive.
    pub number: u64,
    /// Its runs of the tier that was asked for.
    pub runs: Vec<RunRef>,
    /// Whether it is in the file, or still in the making.
    pub is_written: bool,
}

impl Archives {
    /// The runs of a tier from the frame of that number on, those that wait to be written at the end. An error stands for a
    /// frame that is damaged.
    ///
    /// Costs a read for each frame; those before `number` cost nothing.
    pub fn frames_from(&self, tier: u8, number: u64) -> impl Iterator<Item = Result<FrameRuns, StoreError>> {
        let archive_number = Self::archive_of(tier);
        let frames = self.archives[archive_number].frames_from(archive_number, number);
        frames.map(move |frame| {
            frame.map(|mut frame| {
                frame.runs.retain(|run| run.tier() == tier);
                frame
            })
        })
    }

    /// The number below which all frames of a tier's archive are on stable storage, or were overwritten since.
    pub fn durable_below(&self, tier: u8) -> u64 {
        self.archives[Self::archive_of(tier)].durable_below()
    }

    /// The least number of a frame that is still there; `None` if there are none.
    pub fn oldest_frame(&self, tier: u8) -> Option<u64> {
        self.archives[Self::archive_of(tier)].oldest_frame()
    }

    /// The random id of a tier's archive: another one, after the store was made anew.
    pub fn archive_id(&self, tier: u8) -> [u8; 16] {
        self.archives[Self::archive_of(tier)].header.id
    }
}

impl Archive {
    fn frames_from(
        &self,
        archive: usize,
        number: u64,
    ) -> impl Iterator<Item = Result<FrameRuns, StoreError>> {
        let skipped = move |extent: &Extent| {
            // Where none is missing, frames are where their numbers say.
            let frame_count = extent.frames.len() as u64;
            let is_whole = extent.last_number - extent.first_number < frame_count;
            let before = number.saturating_sub(extent.first_number).min(frame_count);
            let skipped = if is_whole { before as usize } else { 0 };
            (extent.last_number >= number).then_some(skipped)
        };
        let written = self.directories_after(skipped).map(|directory| (directory, true));
        let pending = self
            .filling
            .iter()
            .map(|filling| (Ok(filling.directory()), false));
        let directories = written.chain(pending);
        directories.filter_map(move |(directory, is_written)| match directory {
            Ok(directory) if directory.number < number => None,
            Ok(directory) => Some(Ok(FrameRuns {
                number: directory.number,
                runs: directory.runs(archive).collect(),
                is_written,
            })),
            Err(error) => Some(Err(error)),
        })
    }

    fn durable_below(&self) -> u64 {
        match &self.filling {
            Some(filling) => filling.synced_below(),
            // As the newest frame has it.
            None => {
                let newest = self.order.back().and_then(|&place| self.extents[place].as_ref());
                newest.map_or(0, |extent| extent.synced_below)
            }
        }
    }

    fn oldest_frame(&self) -> Option<u64> {
        let oldest = self.order.front().and_then(|&place| self.extents[place].as_ref());
        oldest.map(|extent| extent.first_number)
    }
}
