//! How a slab goes on after a crash: locked first, then checked to be still at its path.

use crate::clock::TimeSource;
use crate::create::{NO_FOLLOW, lock};
use crate::error::ReopenError;
use crate::mapping::{Memory, Resumed, SlabMemory};
use crate::schema::{SchemaConfig, TierConfig};
use crate::slab::Slab;
use crate::writer::Writer;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{BUSY, Kind, Rule, SENTINEL, SectionKind, Series, Violation};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

const SIZE_MAX: u64 = 16 << 20;

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
    if !(4096..=SIZE_MAX).contains(&size) {
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
    let slab = SlabMemory::new(memory).map_err(invalid)?;
    let ours = crate::origin::boot_id();
    if slab.layout.identity.boot_id != ours && !slab.layout.identity.simulated_time {
        return Err(ReopenError::OtherBoot(path.to_owned()));
    }
    let schema = schema_of(&slab);
    repair(&slab, path)?;
    let live = slab.live();
    live.writer_pid
        .store(u64::from(std::process::id()), Ordering::Relaxed);
    live.reopen_count.fetch_add(1, Ordering::Relaxed);
    live.closed_ns.store(0, Ordering::Release);
    let slab = Slab::new(slab, schema, TimeSource::Coarse, Some(path.to_owned())).map_err(invalid)?;
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

/// Makes slots that a dying writer left torn absent, and finds what distributions go on from.
fn repair(slab: &SlabMemory, path: &Path) -> Result<(), ReopenError> {
    let (image, layout) = (slab.image(), &slab.layout);
    let count = slab.live().directory().published();
    let mut totals = Vec::new();
    let mut all = Vec::new();
    for index in 0..count {
        let series = u32::try_from(index)
            .map_err(|_| Violation::new(Rule::SeriesCount, format!("{count} series")))
            .and_then(|index| Series::read(image, layout, index))
            .map_err(|source| ReopenError::Invalid {
                path: path.to_owned(),
                source,
            })?;
        // A later version's series or slots: what they need done we cannot know.
        let series = series.filter(|series| series.slot_size == series.kind.slot_size());
        all.push(series.ok_or_else(|| ReopenError::Newer(path.to_owned()))?);
    }
    for series in &all {
        let slots = (0..layout.axis.slot_count()).map(|i| series.slot_offset(i));
        if !series.kind.is_distribution() {
            for slot in slots
                .filter_map(|at| image.point_slot(at))
                .filter(|slot| slot.stamp() == BUSY)
            {
                slot.clear(SENTINEL);
            }
            totals.push(Resumed::default());
            continue;
        }
        // Newest slot whose totals are whole, each from before or after one sample at the latest.
        let (mut newest_ns, mut newest) = (0, (0, 0.0));
        for slot in slots.filter_map(|at| image.distribution_slot(at)) {
            let stamp = slot.stamp();
            if stamp != BUSY && stamp > newest_ns {
                (newest_ns, newest) = (stamp, slot.totals());
            }
            if slot.is_torn() {
                slot.clear();
            }
        }
        let buckets = series.buckets.filter(|_| series.kind == Kind::Histogram);
        let words = buckets.and_then(|b| image.words(b.offset, b.count as usize));
        let count = words.map_or(newest.0, |words| {
            words
                .iter()
                .fold(0, |sum: u64, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
        });
        totals.push(Resumed::new(count, newest.1));
    }
    slab.resume(totals);
    Ok(())
}
