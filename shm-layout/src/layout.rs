//! The door: bytes of a stranger become a [`Layout`], or an error that names the rule they break.

use crate::axis::Axis;
use crate::hash::fnv1a_64;
use crate::header::{Header, MAGIC, SECTION_TABLE_OFFSET, SectionEntry, SectionKind, VERSION_MAJOR};
use crate::identity::{FLAG_SIMULATED_TIME, Identity, file_name};
use crate::image::Image;
use crate::live::{Live, LiveWords};
use crate::names;
use crate::rule::{Rule, Violation};
use crate::series::SeriesDescriptor;
use crate::text::{Labels, TextRef, decode_labels};
use crate::tier::Tier;
use crate::{DistributionSlot, PointSlot, SharedCell};
use core::ops::Deref;

/// Where a section is; checked against the file's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Section {
    /// Where it starts.
    pub offset: u64,
    /// Its length.
    pub length: u64,
    /// Bytes from one record to the next.
    pub record_size: u32,
    /// Records it has room for.
    pub record_count: u32,
}

impl Section {
    /// Whether `length` bytes at `offset` lie inside.
    pub fn covers(&self, offset: u64, length: u64) -> bool {
        offset >= self.offset
            && offset - self.offset <= self.length
            && length <= self.length - (offset - self.offset)
    }

    /// Where record `index` starts, if there is one.
    pub fn record_offset(&self, index: u64) -> Option<u64> {
        (index < u64::from(self.record_count)).then(|| self.offset + index * u64::from(self.record_size))
    }

    /// Whether one of its records starts at `offset`.
    pub fn has_record_at(&self, offset: u64) -> bool {
        let size = u64::from(self.record_size);
        offset >= self.offset
            && size > 0
            && (offset - self.offset).is_multiple_of(size)
            && (offset - self.offset) / size < u64::from(self.record_count)
    }
}

/// The identity of a slab: checked, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityInfo {
    /// Random; the same in all slabs of one run of one machine.
    pub incarnation: [u8; 16],
    /// Of the kernel; zeros if unknown.
    pub boot_id: [u8; 16],
    /// The creator, in its own pid namespace.
    pub pid: u32,
    /// The creator's uid.
    pub uid: u32,
    /// 0, or the number of a further slab.
    pub part: u32,
    /// Whether stamps come from a simulation.
    pub simulated_time: bool,
    /// CLOCK_MONOTONIC at creation.
    pub created_monotonic_ns: u64,
    /// CLOCK_REALTIME at the same moment.
    pub created_realtime_ns: u64,
    /// The machine's name.
    pub instance: String,
    /// The schema's name.
    pub schema: String,
    /// Labels of the whole instance.
    pub labels: Labels,
}

impl IdentityInfo {
    /// What the file has to be called on a bus.
    pub fn file_name(&self) -> String {
        file_name(&self.instance, &self.schema, &self.incarnation, self.part)
    }

    /// What to add to CLOCK_MONOTONIC to get slab time, modulo 2^64.
    pub fn anchor_ns(&self) -> u64 {
        self.created_realtime_ns.wrapping_sub(self.created_monotonic_ns)
    }
}

/// Everything constant about a slab but its series: checked once, owned.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Who writes it.
    pub identity: IdentityInfo,
    /// Where everything is.
    pub geometry: Geometry,
}

impl Deref for Layout {
    type Target = Geometry;

    fn deref(&self) -> &Geometry {
        &self.geometry
    }
}

/// Where everything is in a slab: the part of its layout that all slabs of one schema have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The header.
    pub header: Header,
    /// The time axis.
    pub axis: Axis,
    /// The schema's tiers; the first is the slab itself.
    pub tiers: Vec<Tier>,
    /// Entries of the section table, known or not.
    pub table: Vec<SectionEntry>,
    sections: [Section; 9],
}

/// Least and exact conditions on a known section's records.
fn record_is_right(kind: SectionKind, section: &Section, header: &Header) -> bool {
    let (size, count) = (u64::from(section.record_size), section.record_count);
    let slots = u64::from(header.slot_count.get());
    let at_least = |least: usize| size >= least as u64 && size.is_multiple_of(8);
    let column = |slot: usize| size >= slots * slot as u64 && size.is_multiple_of(64);
    match kind {
        SectionKind::Identity => at_least(size_of::<Identity>()) && count == 1,
        SectionKind::Tiers => at_least(size_of::<Tier>()) && (1..=8).contains(&count),
        SectionKind::Series => {
            at_least(size_of::<SeriesDescriptor>())
                && count == header.series_capacity.get()
                && (1..=65_536).contains(&count)
        }
        SectionKind::Strings => size == 1,
        SectionKind::Points => column(size_of::<PointSlot>()),
        SectionKind::Distributions => column(size_of::<DistributionSlot>()),
        SectionKind::Cells => at_least(size_of::<SharedCell>()) && size.is_multiple_of(128),
        SectionKind::Buckets => size == 8,
        SectionKind::Live => at_least(size_of::<Live>()) && count == 1,
    }
}

impl Layout {
    /// Checks everything constant but the series, which may still be registered
    /// (see [`Series::read`](crate::Series::read)). `image` is as long as the file.
    ///
    /// Costs a few microseconds: a copy of header, table, identity and tiers.
    ///
    /// # Errors
    /// The first rule that the slab breaks.
    pub fn validate(image: Image<'_>) -> Result<Self, Violation> {
        let broken = |rule, detail: String| Err(Violation::new(rule, detail));
        let size = image.len() as u64;
        let Some(header) = image.record::<Header>(0).filter(|_| size >= 4096) else {
            return broken(Rule::FileSize, format!("{size} bytes are too few for a slab"));
        };
        if header.magic != MAGIC {
            return broken(Rule::Magic, format!("found {}", header.magic.escape_ascii()));
        }
        if header.version_major != VERSION_MAJOR {
            let found = header.version_major;
            return broken(
                Rule::Version,
                format!("slab format {found}; this reader understands {VERSION_MAJOR}"),
            );
        }
        if header.incompat != 0 {
            return broken(
                Rule::Incompat,
                format!("needs features {:#x} that this reader lacks", header.incompat),
            );
        }
        if header.file_size != size {
            return broken(
                Rule::FileSize,
                format!("the header says {} bytes, the file has {size}", header.file_size),
            );
        }
        if !(2..=1 << 20).contains(&header.slot_count.get()) {
            return broken(Rule::SlotCount, format!("{} slots", header.slot_count));
        }
        if !(1_000_000..=86_400_000_000_000).contains(&header.interval_ns.get()) {
            return broken(Rule::Interval, format!("{} ns", header.interval_ns));
        }
        let table = Self::table(image, &header)?;
        let sections = Self::sections(&header, &table)?;
        let section = |kind: SectionKind| sections[kind as usize - 1];
        if header.live_offset != section(SectionKind::Live).offset {
            return broken(
                Rule::LiveOffset,
                format!(
                    "{} instead of {}",
                    header.live_offset,
                    section(SectionKind::Live).offset
                ),
            );
        }
        let axis = Axis::new(header.interval_ns.get(), header.slot_count.get());
        let tiers = Self::tiers(image, &header, section(SectionKind::Tiers))?;
        let identity = Self::identity(
            image,
            section(SectionKind::Identity),
            section(SectionKind::Strings),
        )?;
        let geometry = Geometry {
            header,
            axis,
            tiers,
            table,
            sections,
        };
        Ok(Self { identity, geometry })
    }

    fn table(image: Image<'_>, header: &Header) -> Result<Vec<SectionEntry>, Violation> {
        let (count, entry_size) = (header.section_count.get(), header.section_entry_size.get());
        let entries = || {
            let bytes = usize::from(count) * usize::from(entry_size);
            let sane = (1..=64).contains(&count)
                && entry_size >= 32
                && entry_size.is_multiple_of(8)
                && SECTION_TABLE_OFFSET as usize + bytes <= image.len();
            sane.then(|| {
                (0..u64::from(count))
                    .map(|i| image.record(SECTION_TABLE_OFFSET + i * u64::from(entry_size)))
                    .collect::<Option<Vec<_>>>()
            })?
        };
        entries().ok_or_else(|| {
            Violation::new(
                Rule::SectionTable,
                format!("{count} entries of {entry_size} bytes"),
            )
        })
    }

    fn sections(header: &Header, table: &[SectionEntry]) -> Result<[Section; 9], Violation> {
        let table_end = SECTION_TABLE_OFFSET
            + u64::from(header.section_count.get()) * u64::from(header.section_entry_size.get());
        let mut next_free = table_end;
        let mut by_offset: Vec<_> = table.iter().collect();
        by_offset.sort_by_key(|entry| entry.offset.get());
        for entry in by_offset {
            let (offset, length) = (entry.offset.get(), entry.length.get());
            let align = SectionKind::from_number(entry.kind.get()).map_or(64, SectionKind::alignment);
            let end = offset
                .checked_add(length)
                .filter(|&end| end <= header.file_size.get());
            // An empty section overlaps nothing, wherever it is.
            let start_min = if length == 0 { table_end } else { next_free };
            match end {
                Some(end) if offset >= start_min && offset.is_multiple_of(align) => {
                    next_free = next_free.max(end);
                }
                _ => {
                    let detail = format!("section {} has {length} bytes at {offset}", entry.kind);
                    return Err(Violation::new(Rule::SectionBounds, detail));
                }
            }
        }
        let mut sections = [Section::default(); 9];
        for kind in SectionKind::ALL {
            let mut entries = table.iter().filter(|entry| entry.kind == kind as u32);
            let (Some(entry), None) = (entries.next(), entries.next()) else {
                return Err(Violation::new(
                    Rule::SectionSet,
                    format!("not exactly one section {kind:?}"),
                ));
            };
            let section = Section {
                offset: entry.offset.get(),
                length: entry.length.get(),
                record_size: entry.record_size.get(),
                record_count: entry.record_count.get(),
            };
            let fits = u64::from(section.record_size) * u64::from(section.record_count) <= section.length;
            if !fits || !record_is_right(kind, &section, header) {
                let Section {
                    record_size,
                    record_count,
                    length,
                    ..
                } = section;
                let detail =
                    format!("section {kind:?} has {record_count} records of {record_size} bytes in {length}");
                return Err(Violation::new(Rule::SectionRecord, detail));
            }
            sections[kind as usize - 1] = section;
        }
        Ok(sections)
    }

    fn tiers(image: Image<'_>, header: &Header, section: Section) -> Result<Vec<Tier>, Violation> {
        let bytes = usize::try_from(section.length)
            .ok()
            .and_then(|length| image.bytes(section.offset, length));
        let hash = fnv1a_64(&bytes.unwrap_or_default());
        if hash != header.schema_hash.get() {
            return Err(Violation::new(
                Rule::SchemaHash,
                format!("{:#018x} instead of {hash:#018x}", header.schema_hash),
            ));
        }
        let tiers: Vec<Tier> = (0..u64::from(section.record_count))
            .filter_map(|i| image.record(section.record_offset(i)?))
            .collect();
        let wrong = |i: usize| {
            Violation::new(
                Rule::Tiers,
                format!("tier {i}: {} × {} ns", tiers[i].slot_count, tiers[i].interval_ns),
            )
        };
        for (i, tier) in tiers.iter().enumerate() {
            let interval = tier.interval_ns.get();
            let follows = match i.checked_sub(1).map(|before| tiers[before].interval_ns.get()) {
                None => {
                    interval == header.interval_ns.get()
                        && tier.slot_count == u64::from(header.slot_count.get())
                }
                Some(before) => interval > before && interval.is_multiple_of(before) && interval < 1 << 62,
            };
            if !follows || tier.slot_count == 0 {
                return Err(wrong(i));
            }
        }
        Ok(tiers)
    }

    fn identity(image: Image<'_>, section: Section, strings: Section) -> Result<IdentityInfo, Violation> {
        let invalid = |detail: String| Violation::new(Rule::Identity, detail);
        let record: Identity = image
            .record(section.offset)
            .ok_or_else(|| invalid("outside the file".into()))?;
        let name = |at: TextRef, is_valid: fn(&str) -> bool| -> Result<String, Violation> {
            let bytes = text_in(image, strings, at)?;
            let shown = bytes.escape_ascii().to_string();
            let name = String::from_utf8(bytes).ok().filter(|name| is_valid(name));
            name.ok_or_else(|| {
                invalid(format!(
                    "{:?} is not an allowed name",
                    shown.chars().take(40).collect::<String>()
                ))
            })
        };
        let labels = decode_labels(&text_in(image, strings, record.labels)?).map_err(invalid)?;
        if record.incarnation == [0; 16] {
            return Err(invalid("the incarnation is zero".into()));
        }
        let instants = [
            record.created_monotonic_ns.get(),
            record.created_realtime_ns.get(),
        ];
        if instants.iter().any(|&instant| instant >= 1 << 63) {
            return Err(invalid(format!("created at {instants:?} ns")));
        }
        Ok(IdentityInfo {
            incarnation: record.incarnation,
            boot_id: record.boot_id,
            pid: record.pid.get(),
            uid: record.uid.get(),
            part: record.part.get(),
            simulated_time: record.flags.get() & FLAG_SIMULATED_TIME != 0,
            created_monotonic_ns: record.created_monotonic_ns.get(),
            created_realtime_ns: record.created_realtime_ns.get(),
            instance: name(record.instance, names::is_instance)?,
            schema: name(record.schema, names::is_schema)?,
            labels,
        })
    }
}

impl Geometry {
    /// Where a known section is.
    pub fn section(&self, kind: SectionKind) -> Section {
        self.sections[kind as usize - 1]
    }

    /// The live words of the image that it is of.
    pub fn live<'m>(&self, image: Image<'m>) -> Option<LiveWords<'m>> {
        LiveWords::at(image, self.header.live_offset.get())
    }

    /// A copy of a text's bytes.
    ///
    /// # Errors
    /// [`Rule::TextBounds`].
    pub fn text(&self, image: Image<'_>, at: TextRef) -> Result<Vec<u8>, Violation> {
        text_in(image, self.section(SectionKind::Strings), at)
    }
}

fn text_in(image: Image<'_>, strings: Section, at: TextRef) -> Result<Vec<u8>, Violation> {
    let (offset, length) = (at.offset.get(), at.length.get());
    if length == 0 {
        return Ok(Vec::new());
    }
    let inside = strings.covers(offset, u64::from(length));
    inside
        .then(|| image.bytes(offset, length as usize))
        .flatten()
        .ok_or_else(|| Violation::new(Rule::TextBounds, format!("{length} bytes at {offset}")))
}
