//! How a slab goes on after a crash: locked first, then checked to be still at its path.

use crate::clock::TimeSource;
use crate::create::{NO_FOLLOW, READER_SIZE_MAX, lock};
use crate::error::ReopenError;
use crate::mapping::{Memory, Resumed, SlabMemory};
use crate::schema::{SchemaConfig, TierConfig};
use crate::slab::Slab;
use crate::writer::Writer;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};
use rondo_shm_layout::sync::{AtomicU64, Ordering};
use rondo_shm_layout::{BUSY, Kind, Rule, SENTINEL, SectionKind, Series, VERSION_MINOR, Violation};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

pub(crate) fn reopen(path: &Path) -> Result<Writer, ReopenError> {
    let invalid = |source| ReopenError::Invalid {
        path: path.to_owned(),
        source,
    };
    let file = open_for_writing(path)?;
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return Err(ReopenError::Locked(path.to_owned())),
        Err(errno) => return Err(system("lock", path, errno)),
    }
    // Only now: whoever removed the slab holds its lock while doing so.
    let (mine, there) = (
        fstat(&file).map_err(|errno| system("look at", path, errno))?,
        fstatat(AT_FDCWD, path, NO_FOLLOW),
    );
    if !there.is_ok_and(|there| (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)) {
        return Err(ReopenError::Replaced(path.to_owned()));
    }
    let size = mine.st_size.unsigned_abs();
    if !(4096..=READER_SIZE_MAX).contains(&size) {
        return Err(invalid(Violation::new(Rule::FileSize, format!("{size} bytes"))));
    }
    if mine.st_blocks.unsigned_abs() * 512 < size {
        return Err(invalid(Violation::new(
            Rule::FileSparse,
            format!("{} blocks for {size} bytes", mine.st_blocks),
        )));
    }
    let memory = Memory::map(&file, size as usize).map_err(|source| ReopenError::System {
        action: "map",
        path: path.to_owned(),
        source,
    })?;
    let memory = SlabMemory::new(memory).map_err(invalid)?;
    let schema = schema_of(&memory);
    let slab = Slab::new(memory, schema, TimeSource::Coarse, Some(path.to_owned())).map_err(invalid)?;
    let identity = &slab.memory.layout.identity;
    if identity.boot_id != crate::origin::boot_id() && !identity.simulated_time {
        return Err(ReopenError::OtherBoot(path.to_owned()));
    }
    let all = all_series(&slab.memory).map_err(invalid)?;
    let all = all.ok_or_else(|| ReopenError::Newer(path.to_owned()))?;
    // Nothing can be refused any more, and nothing was changed yet.
    slab.memory
        .resume(all.iter().map(|series| repair(&slab.memory, series)).collect());
    let live = slab.memory.live();
    live.writer_pid
        .store(u64::from(std::process::id()), Ordering::Relaxed);
    live.reopen_count.fetch_add(1, Ordering::Relaxed);
    live.closed_ns.store(0, Ordering::Release);
    slab.memory.close_when_dropped();
    Ok(Writer::new(slab, Vec::new(), Vec::new()))
}

fn system(action: &'static str, path: &Path, errno: Errno) -> ReopenError {
    ReopenError::System {
        action,
        path: path.to_owned(),
        source: errno.into(),
    }
}

/// Opens a slab of this user for writing: its mode is 0440, so it is opened up for a moment.
fn open_for_writing(path: &Path) -> Result<File, ReopenError> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let shown =
        open(path, flags | OFlag::O_RDONLY, Mode::empty()).map_err(|errno| system("open", path, errno))?;
    let stat = fstat(&shown).map_err(|errno| system("look at", path, errno))?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        let source = Violation::new(Rule::FileType, "not a regular file");
        return Err(ReopenError::Invalid {
            path: path.to_owned(),
            source,
        });
    }
    let uid = nix::unistd::geteuid().as_raw();
    if stat.st_uid != uid {
        return Err(ReopenError::OtherUser {
            path: path.to_owned(),
            owner: stat.st_uid,
            uid,
        });
    }
    let read_only = Mode::S_IRUSR | Mode::S_IRGRP;
    fchmod(&shown, read_only | Mode::S_IWUSR).map_err(|errno| system("open up", path, errno))?;
    let file = open(path, flags | OFlag::O_RDWR, Mode::empty());
    fchmod(&shown, read_only).map_err(|errno| system("close up", path, errno))?;
    let file = file.map_err(|errno| system("open", path, errno))?;
    Ok(File::from(file))
}

/// The schema as the slab tells it. Everything in it goes into this slab.
fn schema_of(slab: &SlabMemory) -> SchemaConfig {
    let layout = &slab.layout;
    let tier = |tier: &rondo_shm_layout::Tier| {
        TierConfig::new(
            Duration::from_nanos(tier.interval_ns.get()),
            tier.slot_count.get(),
        )
    };
    let room = |kind: SectionKind| layout.section(kind).record_count;
    SchemaConfig {
        name: layout.identity.schema.clone(),
        tiers: layout.tiers.iter().map(tier).collect(),
        matchers: Vec::new(),
        series_max: room(SectionKind::Points),
        distribution_max: room(SectionKind::Distributions),
        shared_max: room(SectionKind::Cells),
        buckets_max: room(SectionKind::Buckets),
        strings_max: room(SectionKind::Strings),
    }
}

/// The series of a slab, or `None` if a later version wrote things of which we cannot know what they
/// need done.
fn all_series(slab: &SlabMemory) -> Result<Option<Vec<Series>>, Violation> {
    let header = &slab.layout.header;
    if header.version_minor.get() > VERSION_MINOR || header.compat.get() != 0 {
        return Ok(None);
    }
    let count = slab.live().directory().published();
    let mut all = Vec::new();
    for index in 0..count {
        let index =
            u32::try_from(index).map_err(|_| Violation::new(Rule::SeriesCount, format!("{count} series")))?;
        match Series::read(slab.image(), &slab.layout, index)? {
            Some(series) if series.slot_size == series.kind.slot_size() => all.push(series),
            _ => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// Makes slots that a dying writer left torn absent, and finds what a distribution goes on from.
fn repair(slab: &SlabMemory, series: &Series) -> Resumed {
    let (image, axis) = (slab.image(), slab.axis());
    // Any other stamp counts as never written.
    let is_stamp = |stamp: u64, slot_index: u64| {
        stamp <= 1 << 63
            && stamp.is_multiple_of(axis.interval_ns())
            && (stamp == 0 || axis.slot_index(stamp) == slot_index)
    };
    let slots = (0..axis.slot_count()).map(|index| (index, series.slot_offset(index)));
    if !series.kind.is_distribution() {
        // Stamp and value of the newest slot, and what a busy one was taking over: the total from
        // before or after one add, or an older one from its last lap.
        let (mut newest, mut taken_over) = ((0, 0), None::<u64>);
        for (index, at) in slots {
            let Some(slot) = image.point_slot(at) else {
                continue;
            };
            let (stamp, value) = (slot.stamp(), slot.words()[0].load(Ordering::Relaxed));
            if is_stamp(stamp, index) {
                newest = newest.max((stamp, if stamp == 0 { 0 } else { value }));
            } else {
                if stamp == BUSY && value != SENTINEL {
                    taken_over = taken_over.max(Some(value));
                }
                slot.clear(SENTINEL);
            }
        }
        let cursor = axis.start_of(slab.live().cursor_ns.load(Ordering::Relaxed).min(1 << 63));
        let there = series.slot_offset(axis.slot_index(cursor));
        if let (Kind::Counter, Some(total), Some(slot)) = (series.kind, taken_over, image.point_slot(there))
            && total > newest.1
            && cursor > newest.0
        {
            // The slot that was being opened may have held the newest value; no older one has it.
            slot.open(cursor, [total]);
        }
        return Resumed::default();
    }
    // Of the newest slot that is whole, and of the newest one whose totals are: each of those is from
    // before or after one sample at the latest.
    let (mut whole, mut found) = ((0, (0, 0.0)), (0, (0, 0.0)));
    for (index, at) in slots {
        let Some(slot) = image.distribution_slot(at) else {
            continue;
        };
        let newest = (slot.stamp(), slot.totals());
        let is_valid = is_stamp(newest.0, index);
        if is_valid && newest.0 > found.0 {
            found = newest;
        }
        if !is_valid || slot.is_torn() {
            slot.clear();
        } else if newest.0 > whole.0 {
            whole = newest;
        }
    }
    let buckets = series.buckets.filter(|_| series.kind == Kind::Histogram);
    let words = buckets.and_then(|b| image.words(b.offset, b.count as usize));
    if let Some(words) = words {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        found.1.0 = words.iter().map(load).fold(0, u64::wrapping_add);
    }
    Resumed::new(whole.1, found.1)
}
