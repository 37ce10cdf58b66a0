//! `rondo gc`: removes what no one owns.
//!
//! Finds [`candidate`]s, [`plan`]s which of them go, and removes those: each only after taking the
//! lock that says that it has no writer. A live slab is never touched. What a collector on the bus may still
//! want to store is left to it.

mod candidate;
mod leftover;
mod plan;

use crate::collect::lock::{Holder, holder};
use crate::collect::settings::DEFAULT_KEEP;
use crate::commands::Outcome;
use crate::commands::cli::{Format, Gc};
use crate::commands::output::{Grid, Side, say, stdout, write_json};
use crate::show;
use crate::span::Span;
use anyhow::{Context, bail};
use candidate::{Candidate, Reason};
use nix::sys::statvfs::statvfs;
use plan::{Rules, Verdict};
use rondo_reader::{Error, Slab};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// What a collector needs beyond its `keep` to see that a writer is gone and store the rest.
const COLLECTOR_GRACE: Duration = Duration::from_secs(DEFAULT_KEEP.as_secs() + 60);

/// A file, as a row.
#[derive(Debug, Serialize)]
struct FileRow {
    file: String,
    reason: Reason,
    age_ns: u64,
    size_bytes: u64,
    verdict: Verdict,
    removed: bool,
}

#[derive(Debug, Serialize)]
struct Cleaning {
    bus: String,
    /// Whether a collector is on the bus, or may be.
    collector: bool,
    files: Vec<FileRow>,
    /// What would be removed, or was.
    taken_count: u64,
    taken_bytes: u64,
    removed_count: u64,
    removed_bytes: u64,
    /// Of the file system, afterwards.
    free_bytes: u64,
    /// How much more should be free than removing can free.
    short_bytes: u64,
}

pub(crate) fn run(args: &Gc) -> anyhow::Result<Outcome> {
    let bus = &args.bus.bus;
    let found = candidate::find(bus, args.bus.slab_max << 20)?;
    for error in &found.unreadable {
        say!("rondo: left alone: {}", show::printable(&error.to_string()));
    }
    if found.unreadable_count > found.unreadable.len() {
        let more = found.unreadable_count - found.unreadable.len();
        say!("rondo: and {more} more that are left alone");
    }
    let has_collector = holder(bus) != Holder::Nobody;
    let space = Space::of(bus)?;
    let wanted_bytes = args.min_free.map(|free| free.of(space.total_bytes));
    let rules = Rules {
        older_than: match args.older_than {
            Some(Span::Ns(ns)) => Duration::from_nanos(ns),
            Some(Span::All) | None => Duration::ZERO,
        },
        collector_grace: if has_collector && !args.force {
            COLLECTOR_GRACE
        } else {
            Duration::ZERO
        },
        needed_bytes: wanted_bytes.map(|wanted| wanted.saturating_sub(space.free_bytes)),
    };
    let mut cleaning = Cleaning {
        bus: bus.display().to_string(),
        collector: has_collector,
        files: Vec::new(),
        taken_count: 0,
        taken_bytes: 0,
        removed_count: 0,
        removed_bytes: 0,
        free_bytes: 0,
        short_bytes: 0,
    };
    let mut failed_count = 0;
    for (candidate, verdict) in plan::judge(found.candidates, &rules) {
        let removed = args.remove && verdict == Verdict::Take && {
            remove(&candidate, args.bus.slab_max << 20).unwrap_or_else(|error| {
                say!("rondo: {:#}", anyhow::Error::new(error));
                failed_count += 1;
                false
            })
        };
        cleaning.add(&candidate, verdict, removed);
    }
    cleaning.free_bytes = Space::of(bus)?.free_bytes;
    let freed = if args.remove {
        cleaning.removed_bytes
    } else {
        cleaning.taken_bytes
    };
    cleaning.short_bytes = rules
        .needed_bytes
        .map_or(0, |needed| needed.saturating_sub(freed));
    cleaning.print(args)?;
    if failed_count > 0 {
        bail!("{failed_count} files cannot be removed; run it as root, or as the owner of the bus directory");
    }
    Ok(match cleaning.short_bytes {
        0 => Outcome::Done,
        _ => Outcome::Found,
    })
}

/// Removes the file that was judged; false if it has an owner, or is another, by now.
fn remove(candidate: &Candidate, slab_bytes_max: u64) -> Result<bool, Error> {
    let removed = match candidate.reason {
        Reason::Unfinished => leftover::remove(candidate),
        _ => Slab::open(&candidate.path, &candidate::limits(slab_bytes_max)).and_then(|slab| {
            if slab.file_id() == candidate.file_id {
                slab.remove()
            } else {
                Ok(false)
            }
        }),
    };
    match removed {
        // Someone else was faster.
        Err(Error::NotFound(_)) => Ok(false),
        removed => removed,
    }
}

/// Of the file system that the bus is on.
struct Space {
    free_bytes: u64,
    total_bytes: u64,
}

impl Space {
    fn of(bus: &Path) -> anyhow::Result<Self> {
        let stat = statvfs(bus).with_context(|| format!("cannot ask how full {} is", bus.display()))?;
        Ok(Self {
            free_bytes: stat.blocks_available() * stat.fragment_size(),
            total_bytes: stat.blocks() * stat.fragment_size(),
        })
    }
}

impl Cleaning {
    fn add(&mut self, candidate: &Candidate, verdict: Verdict, removed: bool) {
        if verdict == Verdict::Take {
            self.taken_count += 1;
            self.taken_bytes += candidate.size_bytes;
        }
        if removed {
            self.removed_count += 1;
            self.removed_bytes += candidate.size_bytes;
        }
        self.files.push(FileRow {
            file: show::printable(&candidate.path.display().to_string()),
            reason: candidate.reason,
            age_ns: u64::try_from(candidate.age.as_nanos()).unwrap_or(u64::MAX),
            size_bytes: candidate.size_bytes,
            verdict,
            removed,
        });
    }

    fn print(&self, args: &Gc) -> anyhow::Result<()> {
        let mut out = stdout();
        match args.output.format {
            Format::Json => write_json(&mut out, self)?,
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(&mut out);
                if self.files.is_empty() {
                    csv.write_record(["file", "reason", "age_ns", "size_bytes", "verdict", "removed"])?;
                }
                self.files.iter().try_for_each(|row| csv.serialize(row))?;
                csv.flush()?;
            }
            Format::Table => self.print_table(args, &mut out)?,
        }
        out.flush()?;
        Ok(())
    }

    fn print_table(&self, args: &Gc, out: &mut impl Write) -> anyhow::Result<()> {
        use Side::{Left, Right};
        if !self.files.is_empty() {
            let mut grid = Grid::new(&[
                ("FILE", Left),
                ("REASON", Left),
                ("ENDED", Right),
                ("SIZE", Right),
                ("", Left),
            ]);
            for row in &self.files {
                let fate = match row.verdict {
                    _ if row.removed => "removed",
                    Verdict::Take if args.remove => "has an owner by now",
                    Verdict::Take => "can go",
                    Verdict::TooYoung => "stays: too young",
                    Verdict::LeftToCollector => "stays: left to the collector",
                    Verdict::NotNeeded => "stays: enough is free",
                };
                grid.add([
                    row.file.clone(),
                    row.reason.as_str().into(),
                    format!(
                        "{} ago",
                        show::duration(row.age_ns / 1_000_000_000 * 1_000_000_000)
                    ),
                    show::size(row.size_bytes),
                    fate.into(),
                ]);
            }
            grid.write(out)?;
            writeln!(out)?;
        }
        let left = self
            .files
            .iter()
            .filter(|row| row.verdict == Verdict::LeftToCollector)
            .count();
        if left > 0 {
            writeln!(
                out,
                "a collector is on the bus: {left} that ended less than {} ago are left to it (--force takes them)",
                show::duration(COLLECTOR_GRACE.as_secs() * 1_000_000_000)
            )?;
        }
        let free = show::size(self.free_bytes);
        if args.remove {
            let (count, bytes) = (self.removed_count, show::size(self.removed_bytes));
            writeln!(out, "{count} files removed, {bytes}; {free} are free now")?;
        } else {
            let (count, bytes) = (self.taken_count, show::size(self.taken_bytes));
            writeln!(
                out,
                "{count} files can go, {bytes}; {free} are free now; --remove removes them"
            )?;
        }
        if self.short_bytes > 0 {
            let short = show::size(self.short_bytes);
            writeln!(
                out,
                "that leaves {short} less than was to be free: the rest is not gc's to remove"
            )?;
        }
        Ok(())
    }
}
