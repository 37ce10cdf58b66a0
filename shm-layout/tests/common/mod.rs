//! A small valid slab in memory, made from `Plan` and the record types, and ways to damage it.
#![allow(
    dead_code,
    unsafe_code,
    reason = "each test file uses a part; `Image` needs one cast"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in tests, also outside of the test functions"
)]

use rondo_shm_layout::*;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{Immutable, IntoBytes};

/// A field of a record: name, offset and size.
pub type Field = (&'static str, usize, usize);

/// All [`Field`]s of a record, in the order given. One that is missing does not compile.
#[macro_export]
macro_rules! fields {
    ($record:ident: $($field:ident)+) => {{
        fn _all(record: $record) {
            let $record { $($field: _),+ } = record;
        }
        fn size_of_field<R, F>(_: impl Fn(&R) -> &F) -> usize {
            size_of::<F>()
        }
        vec![$((
            stringify!($field),
            std::mem::offset_of!($record, $field),
            size_of_field(|record: &$record| &record.$field),
        )),+]
    }};
}

pub fn header_fields() -> Vec<Field> {
    fields!(Header: magic version_major version_minor slot_count schema_hash interval_ns incompat compat
        series_capacity section_count section_entry_size live_offset file_size)
}

pub fn section_entry_fields() -> Vec<Field> {
    fields!(SectionEntry: kind record_count offset length record_size reserved)
}

pub fn identity_fields() -> Vec<Field> {
    fields!(Identity: incarnation boot_id pid uid part flags created_monotonic_ns created_realtime_ns
        instance schema labels reserved)
}

pub fn tier_fields() -> Vec<Field> {
    fields!(Tier: interval_ns slot_count functions reserved reserved_tail)
}

pub fn descriptor_fields() -> Vec<Field> {
    fields!(SeriesDescriptor: kind access bucket_precision reserved slot_size column_offset registered_ns
        ended_ns name unit help labels cell_offset buckets_offset bucket_count reserved_tail)
}

pub fn live_fields() -> Vec<Field> {
    fields!(Live: cursor_ns ticked_ns reserved_line0 series_count writer_pid reopen_count closed_ns
        reserved_line1 refused_count stale_count future_count bad_count reserved_line2)
}

#[repr(C, align(128))]
#[derive(Default)]
struct Lines([AtomicU64; 16]);

/// Bytes that an [`Image`] can show.
pub struct Memory {
    lines: Vec<Lines>,
    /// How many of them the image shows.
    pub len: usize,
}

impl Memory {
    pub fn new(len: usize) -> Self {
        let lines = (0..len.div_ceil(128)).map(|_| Lines::default()).collect();
        Self { lines, len }
    }

    pub fn image(&self) -> Image<'_> {
        assert!(self.len <= self.lines.len() * 128);
        // SAFETY: the lines are aligned to 128 bytes, live as long as `self` is borrowed, hold at
        // least `len` bytes, rounded up, and are atomics for everyone.
        unsafe { Image::new(NonNull::from(self.lines.as_slice()).cast(), self.len) }
    }

    /// Stores bytes anywhere.
    pub fn put(&self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let word = &self.lines[at / 128].0[at % 128 / 8];
            let mut now = word.load(Ordering::Relaxed).to_le_bytes();
            now[at % 8] = *byte;
            word.store(u64::from_le_bytes(now), Ordering::Relaxed);
        }
    }

    pub fn get(&self, offset: usize) -> u8 {
        let word = &self.lines[offset / 128].0[offset % 128 / 8];
        word.load(Ordering::Relaxed).to_le_bytes()[offset % 8]
    }

    pub fn flip(&self, offset: usize, bit: u8) {
        self.put(offset, &[self.get(offset) ^ 1 << bit]);
    }
}

/// A valid slab: a gauge, a shared counter, a distribution and a histogram, all of whose columns,
/// cells and buckets are the last that there is room for.
pub struct Slab {
    pub memory: Memory,
    pub plan: Plan,
    strings: usize,
}

pub const SERIES: u32 = 4;
pub const CAPACITY: Capacity = Capacity {
    slot_count: 4,
    series_max: 2,
    distribution_max: 2,
    shared_max: 1,
    buckets_max: 16,
    strings_max: 512,
    tiers: 2,
};
pub const INTERVAL_NS: u64 = 1_000_000_000;

impl Slab {
    pub fn new() -> Self {
        Self::with(Plan::new(&CAPACITY).unwrap())
    }

    /// The same records, placed as `plan` says.
    pub fn with(plan: Plan) -> Self {
        let mut slab = Self {
            memory: Memory::new(plan.file_size as usize),
            strings: plan.offset(SectionKind::Strings) as usize,
            plan,
        };
        slab.put_constants();
        slab.put_series();
        slab
    }

    fn put_constants(&mut self) {
        self.put(
            0,
            &Header {
                magic: MAGIC,
                version_major: VERSION_MAJOR.into(),
                version_minor: VERSION_MINOR.into(),
                slot_count: CAPACITY.slot_count.into(),
                schema_hash: 0.into(),
                interval_ns: INTERVAL_NS.into(),
                incompat: 0.into(),
                compat: 0.into(),
                series_capacity: SERIES.into(),
                section_count: (self.plan.table.len() as u16).into(),
                section_entry_size: (size_of::<SectionEntry>() as u16).into(),
                live_offset: self.plan.offset(SectionKind::Live).into(),
                file_size: self.plan.file_size.into(),
            },
        );
        for (i, entry) in self.plan.table.iter().enumerate() {
            self.put(Self::entry(i), entry);
        }
        for (i, (factor, slot_count)) in [(1, 4u64), (60, 100)].into_iter().enumerate() {
            self.put(
                self.record(SectionKind::Tiers, i),
                &Tier {
                    interval_ns: (INTERVAL_NS * factor).into(),
                    slot_count: slot_count.into(),
                    functions: 0.into(),
                    reserved: 0.into(),
                    reserved_tail: 0.into(),
                },
            );
        }
        self.put_schema_hash();
        let labels = encode_labels(&[("tenant".into(), "blue".into())]).unwrap();
        let identity = Identity {
            incarnation: [7; 16],
            boot_id: [9; 16],
            pid: 100.into(),
            uid: 200.into(),
            part: 0.into(),
            flags: 0.into(),
            created_monotonic_ns: 5_000_000_000.into(),
            created_realtime_ns: (1 << 60).into(),
            instance: self.text(b"vm-1"),
            schema: self.text(b"vmm"),
            labels: self.text(&labels),
            reserved: [0; 16],
        };
        self.put(self.record(SectionKind::Identity, 0), &identity);
    }

    fn put_series(&mut self) {
        let labels = encode_labels(&[("device".into(), "vda".into())]).unwrap();
        let points = SectionKind::Points;
        let distributions = SectionKind::Distributions;
        for (i, (kind, access, name, pool, column)) in [
            (Kind::Gauge, Access::Owned, "queue_depth", points, 0),
            (Kind::Counter, Access::Shared, "exits_total", points, 1),
            (Kind::Distribution, Access::Owned, "read_bytes", distributions, 0),
            (Kind::Histogram, Access::WriterHeld, "latency", distributions, 1),
        ]
        .into_iter()
        .enumerate()
        {
            let histogram = kind == Kind::Histogram;
            let or_zero = |is: bool, offset: usize| if is { offset as u64 } else { 0 };
            let descriptor = SeriesDescriptor {
                kind: kind as u8,
                access: access as u8,
                bucket_precision: if histogram { 1 } else { 0 },
                reserved: 0,
                slot_size: kind.slot_size().into(),
                column_offset: (self.record(pool, column) as u64).into(),
                registered_ns: (1 << 60).into(),
                ended_ns: 0.into(),
                name: self.text(name.as_bytes()),
                unit: self.text(b"bytes"),
                help: self.text("What it is, in ümlauts.".as_bytes()),
                labels: self.text(&labels),
                cell_offset: or_zero(access == Access::Shared, self.record(SectionKind::Cells, 0)).into(),
                buckets_offset: or_zero(histogram, self.record(SectionKind::Buckets, 0)).into(),
                bucket_count: if histogram { CAPACITY.buckets_max } else { 0 }.into(),
                reserved_tail: [0; 12],
            };
            self.put(self.record(SectionKind::Series, i), &descriptor);
        }
        let live = LiveWords::at(self.image(), self.plan.offset(SectionKind::Live)).unwrap();
        live.directory().publish(u64::from(SERIES));
    }

    pub fn image(&self) -> Image<'_> {
        self.memory.image()
    }

    pub fn put(&self, offset: usize, record: &(impl IntoBytes + Immutable)) {
        self.memory.put(offset, record.as_bytes());
    }

    /// Where entry `i` of the section table starts.
    pub fn entry(i: usize) -> usize {
        SECTION_TABLE_OFFSET as usize + i * size_of::<SectionEntry>()
    }

    /// Where the entry of a section starts.
    pub fn entry_of(&self, kind: SectionKind) -> usize {
        let is_it = |entry: &SectionEntry| entry.kind == kind as u32;
        Self::entry(self.plan.table.iter().position(is_it).unwrap())
    }

    /// The entry of a section, as planned.
    pub fn section(&self, kind: SectionKind) -> &SectionEntry {
        self.plan
            .table
            .iter()
            .find(|entry| entry.kind == kind as u32)
            .unwrap()
    }

    /// Where record `i` of a section starts.
    pub fn record(&self, kind: SectionKind, i: usize) -> usize {
        let entry = self.section(kind);
        (entry.offset.get() + i as u64 * u64::from(entry.record_size.get())) as usize
    }

    /// Appends a text to the strings.
    pub fn text(&mut self, bytes: &[u8]) -> TextRef {
        let offset = self.strings;
        self.memory.put(offset, bytes);
        self.strings += bytes.len();
        assert!(self.strings <= self.record(SectionKind::Strings, 0) + CAPACITY.strings_max as usize);
        TextRef {
            offset: (offset as u64).into(),
            length: (bytes.len() as u32).into(),
            reserved: 0.into(),
        }
    }

    /// The hash of the tiers as they are now.
    pub fn put_schema_hash(&self) {
        let tiers = self.section(SectionKind::Tiers);
        let tiers = self
            .image()
            .bytes(tiers.offset.get(), tiers.length.get() as usize)
            .unwrap();
        self.put(std::mem::offset_of!(Header, schema_hash), &fnv1a_64(&tiers));
    }

    /// What a reader does first: the layout, then each descriptor there is room for that is published.
    pub fn read(&self) -> Result<(Layout, Vec<Series>), Violation> {
        read(self.image())
    }
}

/// The layout and all published series of an image, whatever it holds.
pub fn read(image: Image<'_>) -> Result<(Layout, Vec<Series>), Violation> {
    let layout = Layout::validate(image)?;
    let published = layout.live(image).expect("validated").directory().published();
    let capacity = u64::from(layout.header.series_capacity.get());
    let series = (0..published.min(capacity + 1) as u32)
        .filter_map(|i| Series::read(image, &layout, i).transpose())
        .collect::<Result<_, _>>()?;
    Ok((layout, series))
}
