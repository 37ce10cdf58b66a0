//! A disk in memory: writes reach a cache, and stable storage when it is synchronised. It fails when it
//! is told to, and after a power cut holds any mixture of what was on its way.

use crate::store::archive::medium::Medium;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
struct State {
    /// What reads see.
    cache: Vec<u8>,
    stable: Vec<u8>,
    /// Since the last sync.
    writes: Vec<(usize, Vec<u8>)>,
    /// Bytes that the next writes take before they fail.
    room: Option<usize>,
    syncs_fail: bool,
    resizes: usize,
}

#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What reads see.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().cache.clone()
    }

    /// A disk with these bytes, all of them stable.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state().stable.clone_from(&bytes);
        disk.state().cache = bytes;
        disk
    }

    /// Zeros.
    pub(super) fn fill(&self, size: u64) {
        let zeros = vec![0; size as usize];
        *self.state() = State {
            cache: zeros.clone(),
            stable: zeros,
            ..State::default()
        };
    }

    /// After so many bytes more, writes fail.
    pub(super) fn set_room(&self, room: Option<usize>) {
        self.state().room = room;
    }

    pub(super) fn fail_syncs(&self, fail: bool) {
        self.state().syncs_fail = fail;
    }

    /// Changes one bit behind everybody's back.
    pub(super) fn flip(&self, at: usize) {
        self.state().cache[at] ^= 1 << (at % 8);
    }

    /// How often its size was changed.
    pub(super) fn resizes(&self) -> usize {
        self.state().resizes
    }

    /// Another disk that holds what this one might after a power cut now: of each block any version that
    /// was on its way to it, or the one before, as `seed` decides.
    pub(super) fn cut(&self, block_bytes: usize, seed: u64) -> Self {
        let mut dice = seed;
        // SplitMix64.
        let mut choose = |count: usize| {
            dice = dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (dice ^ dice >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ mixed >> 31) % count as u64) as usize
        };
        let state = self.state();
        let mut bytes = state.stable.clone();
        bytes.resize(state.cache.len(), 0);
        // All versions of a block are made of the writes before them, in order.
        let mut versions: std::collections::BTreeMap<usize, Vec<Vec<u8>>> = Default::default();
        for (offset, written) in &state.writes {
            let mut at = *offset;
            let end = offset + written.len();
            while at < end {
                let block = at / block_bytes;
                let (start, stop) = (block * block_bytes, ((block + 1) * block_bytes).min(bytes.len()));
                let known = versions
                    .entry(block)
                    .or_insert_with(|| vec![bytes[start..stop].to_vec()]);
                let mut next = known[known.len() - 1].clone();
                let until = end.min(stop);
                next[at - start..until - start].copy_from_slice(&written[at - offset..until - offset]);
                known.push(next);
                at = until;
            }
        }
        for (block, versions) in versions {
            let version = &versions[choose(versions.len())];
            bytes[block * block_bytes..][..version.len()].copy_from_slice(version);
        }
        Self::of(bytes)
    }
}

impl Medium for Disk {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state().cache.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state();
        let from = state
            .cache
            .get(offset as usize..)
            .and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        let length = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        let offset = offset as usize;
        let size = state.cache.len().max(offset + length);
        state.cache.resize(size, 0);
        state.cache[offset..offset + length].copy_from_slice(&bytes[..length]);
        state.writes.push((offset, bytes[..length].to_vec()));
        if let Some(room) = &mut state.room {
            *room -= length;
        }
        if length < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        let writes = std::mem::take(&mut state.writes);
        if state.syncs_fail {
            // What was on its way is lost, and nobody will try again, as Linux does it.
            return Err(io::Error::other("a bad disk"));
        }
        let size = state.cache.len();
        state.stable.resize(size, 0);
        for (offset, bytes) in writes {
            state.stable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn resize(&self, size: u64) -> io::Result<()> {
        let mut state = self.state();
        state.resizes += 1;
        state.cache.resize(size as usize, 0);
        // What was cut off is on its way nowhere.
        state
            .writes
            .retain(|(offset, bytes)| (offset + bytes.len()) as u64 <= size);
        Ok(())
    }
}
