//! A slab comes from a process that a hostile guest may own: whatever its bytes, a reader gets a
//! rule that they break or offsets that lie inside, and never panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in tests, also outside of the test functions"
)]
#![cfg(not(loom))]

mod common;

use common::{CAPACITY, Field, INTERVAL_NS, SERIES, Slab, read};
use proptest::prelude::*;
use rondo_shm_layout::*;
use std::collections::BTreeSet;
use std::mem::offset_of;

/// What may happen when a bit of a field flips.
enum Expect {
    /// Nothing: the reader ignores it, or any value will do.
    Accepted,
    /// One of these rules is broken, whichever bit it is.
    Breaks(&'static [Rule]),
    /// Some values are allowed; the others break one of these.
    MayBreak(&'static [Rule]),
}
use Expect::{Accepted, Breaks, MayBreak};

const ANY_TEXT: Expect = MayBreak(&[Rule::TextBounds, Rule::SeriesName]);

fn of_header(field: &str) -> Expect {
    match field {
        "magic" => Breaks(&[Rule::Magic]),
        "version_major" => Breaks(&[Rule::Version]),
        "version_minor" | "compat" => Accepted,
        "slot_count" => Breaks(&[Rule::SlotCount, Rule::SectionRecord, Rule::Tiers]),
        "schema_hash" => Breaks(&[Rule::SchemaHash]),
        "interval_ns" => Breaks(&[Rule::Interval, Rule::Tiers]),
        "incompat" => Breaks(&[Rule::Incompat]),
        "series_capacity" => Breaks(&[Rule::SectionRecord]),
        "section_count" => Breaks(&[Rule::SectionTable, Rule::SectionSet, Rule::SectionBounds]),
        "section_entry_size" => Breaks(&[Rule::SectionTable, Rule::SectionSet, Rule::SectionBounds]),
        "live_offset" => Breaks(&[Rule::LiveOffset]),
        "file_size" => Breaks(&[Rule::FileSize]),
        other => panic!("what does {other} do?"),
    }
}

/// Moving a section may show whatever lies at its new place.
const MOVED: &[Rule] = &[
    Rule::SectionBounds,
    Rule::SectionRecord,
    Rule::LiveOffset,
    Rule::SchemaHash,
    Rule::Identity,
    Rule::TextBounds,
    Rule::SeriesPlace,
    Rule::SeriesName,
];

fn of_section_entry(field: &str) -> Expect {
    match field {
        "kind" => Breaks(&[Rule::SectionSet, Rule::SectionBounds]),
        // More records than fit; fewer of them may miss one that a series uses.
        "record_count" => MayBreak(&[Rule::SectionRecord, Rule::Tiers, Rule::SeriesPlace]),
        "offset" | "length" => MayBreak(MOVED),
        "record_size" => MayBreak(MOVED),
        "reserved" => Accepted,
        other => panic!("what does {other} do?"),
    }
}

fn of_identity(field: &str) -> Expect {
    match field {
        "incarnation" | "boot_id" | "pid" | "uid" | "part" | "flags" | "reserved" => Accepted,
        "created_monotonic_ns" | "created_realtime_ns" => MayBreak(&[Rule::Identity]),
        "instance" | "schema" | "labels" => MayBreak(&[Rule::Identity, Rule::TextBounds]),
        other => panic!("what does {other} do?"),
    }
}

fn of_tier(_: &str) -> Expect {
    Breaks(&[Rule::SchemaHash]) // it covers each byte
}

fn of_descriptor(field: &str) -> Expect {
    match field {
        // A kind that reads the other sort of slots, or finds buckets where there are none.
        "kind" | "access" => MayBreak(&[Rule::SeriesPlace]),
        "bucket_precision" => MayBreak(&[Rule::SeriesPlace]),
        "slot_size" => Breaks(&[Rule::SeriesPlace]),
        // Another column is a place as good, as far as one series knows.
        "column_offset" | "cell_offset" | "buckets_offset" | "bucket_count" => MayBreak(&[Rule::SeriesPlace]),
        "registered_ns" | "ended_ns" | "reserved" | "reserved_tail" => Accepted,
        "name" | "unit" | "help" | "labels" => ANY_TEXT,
        other => panic!("what does {other} do?"),
    }
}

/// Flips each bit of each field of a record at `at`, one at a time.
fn flip_each_bit(slab: &Slab, record: &str, at: usize, fields: Vec<Field>, expect: fn(&str) -> Expect) {
    for (field, offset, size) in fields {
        for (byte, bit) in (0..size).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            slab.memory.flip(at + offset + byte, bit);
            let broken = read_inside(slab.image()).err();
            slab.memory.flip(at + offset + byte, bit);
            let rule = broken.as_ref().map(|violation| violation.rule);
            let is_expected = match (expect(field), rule) {
                (Accepted | MayBreak(_), None) => true,
                (Accepted, Some(_)) | (Breaks(_), None) => false,
                (Breaks(rules) | MayBreak(rules), Some(rule)) => rules.contains(&rule),
            };
            assert!(
                is_expected,
                "{record} at {at}: {field}, byte {byte}, bit {bit}: {broken:?}"
            );
        }
    }
}

/// Reads all there is, and reaches for every byte that what was read points at.
fn read_inside(image: Image<'_>) -> Result<(), Violation> {
    let (layout, series) = read(image)?;
    let inside = "an accepted offset lies inside the image";
    assert!(layout.live(image).is_some(), "{inside}");
    for kind in SectionKind::ALL {
        let section = layout.section(kind);
        assert!(section.offset + section.length <= image.len() as u64, "{inside}");
        assert!(section.offset.is_multiple_of(kind.alignment()), "{inside}");
        if let Some(last) = u64::from(section.record_count).checked_sub(1) {
            let last = section.record_offset(last).expect(inside);
            assert!(section.covers(last, section.record_size.into()), "{inside}");
        }
        assert_eq!(section.record_offset(section.record_count.into()), None);
    }
    for series in series {
        for slot in [0, layout.axis.slot_count() - 1] {
            let slot = series.slot_offset(slot);
            if series.kind.is_distribution() {
                image.distribution_slot(slot).expect(inside).read_any();
            } else {
                image.point_slot(slot).expect(inside).read_any();
            }
        }
        if let Some(cell) = series.cell_offset {
            image.shared_cell(cell).expect(inside).get();
        }
        if let Some(array) = &series.buckets {
            image.words(array.offset, array.count as usize).expect(inside);
            // The arithmetic on them has to hold as well.
            assert!(array.count >= 2 && array.precision <= buckets::PRECISION_MAX);
            buckets::bounds(array.count - 1, array.precision, array.count);
        }
        assert!(series.ended_word(image).is_some(), "{inside}");
    }
    Ok(())
}

/// Or none of the other tests means anything.
#[test]
fn the_slab_is_valid() {
    let slab = Slab::new();
    read_inside(slab.image()).unwrap();
    let (layout, series) = slab.read().unwrap();
    assert_eq!(layout.identity.file_name(), "vm-1.vmm.07070707.slab");
    assert_eq!(layout.identity.labels, [("tenant".into(), "blue".into())]);
    assert_eq!(layout.tiers.len(), 2);
    let kinds: Vec<_> = series.iter().map(|series| series.kind).collect();
    assert_eq!(kinds, Kind::ALL);
    assert_eq!(series[1].access, Access::Shared);
    assert_eq!(series[3].labels, [("device".into(), "vda".into())]);
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let slab = Slab::new();
    flip_each_bit(&slab, "Header", 0, common::header_fields(), of_header);
    for i in 0..slab.plan.table.len() {
        let fields = common::section_entry_fields();
        flip_each_bit(&slab, "SectionEntry", Slab::entry(i), fields, of_section_entry);
    }
    let identity = slab.record(SectionKind::Identity, 0);
    flip_each_bit(
        &slab,
        "Identity",
        identity,
        common::identity_fields(),
        of_identity,
    );
    for i in 0..CAPACITY.tiers as usize {
        let tier = slab.record(SectionKind::Tiers, i);
        flip_each_bit(&slab, "Tier", tier, common::tier_fields(), of_tier);
    }
    for i in 0..SERIES as usize {
        let descriptor = slab.record(SectionKind::Series, i);
        let fields = common::descriptor_fields();
        flip_each_bit(&slab, "SeriesDescriptor", descriptor, fields, of_descriptor);
    }
    // Texts and labels: valid ones of another meaning, or none.
    let strings = slab.record(SectionKind::Strings, 0);
    for (byte, bit) in (0..CAPACITY.strings_max as usize).flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
    {
        slab.memory.flip(strings + byte, bit);
        if let Err(Violation { rule, detail }) = read_inside(slab.image()) {
            let is_text = [Rule::Identity, Rule::SeriesName].contains(&rule);
            assert!(is_text, "byte {byte} of the strings, bit {bit}: {rule}: {detail}");
        }
        slab.memory.flip(strings + byte, bit);
    }
    read_inside(slab.image()).unwrap();
}

/// Where the file ends is checked against what the header says, and if that was cut down too,
/// against what the sections need.
#[test]
fn a_cut_file_is_refused() {
    let whole = Slab::new();
    let end = |entry: &SectionEntry| (entry.offset.get() + entry.length.get()) as usize;
    let boundaries = whole
        .plan
        .table
        .iter()
        .flat_map(|entry| [entry.offset.get() as usize, end(entry)]);
    let used = whole.plan.table.iter().map(end).max().unwrap();
    let ends: BTreeSet<_> = boundaries
        .chain([0, 64, 352, 4096, whole.memory.len])
        .flat_map(|at| at.saturating_sub(1)..=at + 1)
        .filter(|&len| len < whole.memory.len)
        .collect();
    for len in ends {
        let mut slab = Slab::new();
        slab.memory.len = len;
        let rule = read_inside(slab.image()).unwrap_err().rule;
        assert_eq!(rule, Rule::FileSize, "cut to {len} bytes");

        slab.put(offset_of!(Header, file_size), &(len as u64));
        match read_inside(slab.image()) {
            Ok(()) => assert!(len >= used, "accepted when cut to {len} bytes"),
            Err(Violation { rule, .. }) if len < 4096 => assert_eq!(rule, Rule::FileSize, "{len} bytes"),
            Err(Violation { rule, .. }) => assert_eq!(rule, Rule::SectionBounds, "{len} bytes"),
        }
    }
}

/// Rules of rejection that are not about what `Layout::validate` and `Series::read` get to see:
/// the file around the bytes, and descriptors compared with each other.
const CHECKED_BY_READERS: [Rule; 5] = [
    Rule::FileType,
    Rule::FileSparse,
    Rule::FileName,
    Rule::SeriesUnique,
    Rule::ColumnShared,
];

/// A corruption and the rule that it breaks.
type Case = (Rule, &'static str, fn(&mut Slab));
/// A change that breaks none.
type Change = (&'static str, fn(&mut Slab));

fn header(slab: &mut Slab, change: fn(&mut Header)) {
    let mut header: Header = slab.image().record(0).unwrap();
    change(&mut header);
    slab.put(0, &header);
}

fn entry(slab: &mut Slab, kind: SectionKind, change: impl Fn(&mut SectionEntry)) {
    let at = slab.entry_of(kind);
    let mut entry: SectionEntry = slab.image().record(at as u64).unwrap();
    change(&mut entry);
    slab.put(at, &entry);
}

fn identity(slab: &mut Slab, change: impl Fn(&mut Identity)) {
    let at = slab.record(SectionKind::Identity, 0);
    let mut identity: Identity = slab.image().record(at as u64).unwrap();
    change(&mut identity);
    slab.put(at, &identity);
}

/// Changes a tier, and has the hash agree.
fn tier(slab: &mut Slab, i: usize, change: fn(&mut Tier)) {
    let at = slab.record(SectionKind::Tiers, i);
    let mut tier: Tier = slab.image().record(at as u64).unwrap();
    change(&mut tier);
    slab.put(at, &tier);
    slab.put_schema_hash();
}

/// The series of that kind.
fn series(slab: &mut Slab, kind: Kind, change: impl Fn(&mut SeriesDescriptor)) {
    let at = slab.record(SectionKind::Series, kind as usize - 1);
    let mut series: SeriesDescriptor = slab.image().record(at as u64).unwrap();
    change(&mut series);
    slab.put(at, &series);
}

fn labels(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend([name.as_bytes(), value.as_bytes()].concat());
    }
    bytes
}

fn with_name(slab: &mut Slab, name: &[u8]) {
    let name = slab.text(name);
    series(slab, Kind::Gauge, |series| series.name = name);
}

fn with_labels(slab: &mut Slab, bytes: &[u8]) {
    let text = slab.text(bytes);
    series(slab, Kind::Gauge, |series| series.labels = text);
}

fn with_instance(slab: &mut Slab, bytes: &[u8]) {
    let text = slab.text(bytes);
    identity(slab, |identity| identity.instance = text);
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    (Rule::FileSize, "a page too long", |s| header(s, |h| h.file_size += 4096)),
    (Rule::FileSize, "less than a page", |s| { s.memory.len = 4088; header(s, |h| h.file_size = 4088.into()) }),
    (Rule::Magic, "not there yet", |s| s.put(0, &0u64)),
    (Rule::Version, "the next one", |s| header(s, |h| h.version_major = 2.into())),
    (Rule::Incompat, "the last bit", |s| header(s, |h| h.incompat = (1 << 31).into())),
    (Rule::SlotCount, "one slot", |s| header(s, |h| h.slot_count = 1.into())),
    (Rule::SlotCount, "too many slots", |s| header(s, |h| h.slot_count = ((1 << 20) + 1).into())),
    (Rule::Interval, "just below a millisecond", |s| header(s, |h| h.interval_ns = 999_999.into())),
    (Rule::Interval, "zero", |s| header(s, |h| h.interval_ns = 0.into())),
    (Rule::SectionTable, "no entries", |s| header(s, |h| h.section_count = 0.into())),
    (Rule::SectionTable, "65 entries", |s| header(s, |h| h.section_count = 65.into())),
    (Rule::SectionTable, "short entries", |s| header(s, |h| h.section_entry_size = 24.into())),
    (Rule::SectionTable, "uneven entries", |s| header(s, |h| h.section_entry_size = 36.into())),
    (Rule::SectionTable, "ends outside of the file", |s| header(s, |h| h.section_entry_size = 0xfff8.into())),
    (Rule::SectionBounds, "inside the table", |s| entry(s, SectionKind::Identity, |e| e.offset = 320.into())),
    (Rule::SectionBounds, "inside another", |s| entry(s, SectionKind::Tiers, |e| e.length += 128)),
    (Rule::SectionBounds, "behind the file", |s| entry(s, SectionKind::Distributions, |e| e.length += 1 << 20)),
    (Rule::SectionBounds, "beyond 2^64", |s| entry(s, SectionKind::Points, |e| e.length = u64::MAX.into())),
    (Rule::SectionBounds, "live on an odd line", |s| entry(s, SectionKind::Live, |e| e.offset += 64)),
    (Rule::SectionBounds, "not on a line", |s| entry(s, SectionKind::Strings, |e| e.offset += 8)),
    (Rule::SectionSet, "one of a later version instead", |s| entry(s, SectionKind::Buckets, |e| e.kind = 77.into())),
    (Rule::SectionSet, "one twice", |s| entry(s, SectionKind::Buckets, |e| e.kind = 5.into())),
    (Rule::SectionRecord, "two identities", |s| entry(s, SectionKind::Identity, |e| e.record_count = 2.into())),
    (Rule::SectionRecord, "short columns", |s| entry(s, SectionKind::Distributions, |e| e.record_size -= 128)),
    (Rule::SectionRecord, "more records than fit", |s| entry(s, SectionKind::Cells, |e| e.record_count = 2.into())),
    (Rule::SectionRecord, "wide strings", |s| entry(s, SectionKind::Strings, |e| { e.record_size = 2.into(); e.record_count = 1.into() })),
    (Rule::SectionRecord, "another capacity", |s| header(s, |h| h.series_capacity = 3.into())),
    (Rule::LiveOffset, "a line early", |s| header(s, |h| h.live_offset -= 64)),
    (Rule::SchemaHash, "of nothing", |s| header(s, |h| h.schema_hash = 0xcbf2_9ce4_8422_2325.into())),
    (Rule::Tiers, "not the slab's interval", |s| tier(s, 0, |t| t.interval_ns += 1)),
    (Rule::Tiers, "not the slab's slots", |s| tier(s, 0, |t| t.slot_count += 1)),
    (Rule::Tiers, "no multiple", |s| tier(s, 1, |t| t.interval_ns += 1)),
    (Rule::Tiers, "no longer than the one before", |s| tier(s, 1, |t| t.interval_ns = INTERVAL_NS.into())),
    (Rule::Tiers, "no interval", |s| tier(s, 1, |t| t.interval_ns = 0.into())),
    (Rule::Tiers, "keeps nothing", |s| tier(s, 1, |t| t.slot_count = 0.into())),
    (Rule::Identity, "no incarnation", |s| identity(s, |i| i.incarnation = [0; 16])),
    (Rule::Identity, "no instance", |s| identity(s, |i| i.instance.length = 0.into())),
    (Rule::Identity, "a path as instance", |s| with_instance(s, b"../vm")),
    (Rule::Identity, "a hidden instance", |s| with_instance(s, b".vm")),
    (Rule::Identity, "an instance with an end", |s| with_instance(s, b"vm\n")),
    (Rule::Identity, "a dot in the schema", |s| { let t = s.text(b"a.b"); identity(s, |i| i.schema = t) }),
    (Rule::Identity, "labels cut short", |s| identity(s, |i| i.labels.length -= 1)),
    (Rule::Identity, "made in the far future", |s| identity(s, |i| i.created_realtime_ns = (1 << 63).into())),
    (Rule::Identity, "booted long ago", |s| identity(s, |i| i.created_monotonic_ns = u64::MAX.into())),
    (Rule::TextBounds, "before the strings", |s| identity(s, |i| i.schema.offset = 0.into())),
    (Rule::TextBounds, "longer than the strings", |s| series(s, Kind::Gauge, |d| d.help.length = 513.into())),
    (Rule::TextBounds, "beyond 2^64", |s| series(s, Kind::Gauge, |d| d.unit.offset = u64::MAX.into())),
    (Rule::SeriesCount, "one more than there is room for", |s| s.put(s.record(SectionKind::Live, 0) + offset_of!(Live, series_count), &5u64)),
    (Rule::SeriesCount, "all there can be", |s| s.put(s.record(SectionKind::Live, 0) + offset_of!(Live, series_count), &u64::MAX)),
    (Rule::SeriesName, "none", |s| series(s, Kind::Gauge, |d| d.name.length = 0.into())),
    (Rule::SeriesName, "a digit first", |s| with_name(s, b"9lives")),
    (Rule::SeriesName, "not UTF-8", |s| with_name(s, b"a\xff")),
    (Rule::SeriesName, "an escape sequence in the help", |s| { let t = s.text(b"\x1b[2J"); series(s, Kind::Gauge, |d| d.help = t) }),
    (Rule::SeriesName, "a long unit", |s| { let t = s.text(&[b'a'; 33]); series(s, Kind::Gauge, |d| d.unit = t) }),
    (Rule::SeriesName, "half a label", |s| with_labels(s, &labels(&[("a", "1")])[..5])),
    (Rule::SeriesName, "a label twice", |s| with_labels(s, &labels(&[("a", "1"), ("a", "2")]))),
    (Rule::SeriesName, "labels not sorted", |s| with_labels(s, &labels(&[("b", "1"), ("a", "2")]))),
    (Rule::SeriesName, "a label of the exporter's", |s| with_labels(s, &labels(&[("le", "1")]))),
    (Rule::SeriesName, "a label without value", |s| with_labels(s, &labels(&[("a", "")]))),
    (Rule::SeriesPlace, "slots of no size", |s| series(s, Kind::Gauge, |d| d.slot_size = 0.into())),
    (Rule::SeriesPlace, "uneven slots", |s| series(s, Kind::Gauge, |d| d.slot_size = 24.into())),
    (Rule::SeriesPlace, "slots longer than the column", |s| series(s, Kind::Histogram, |d| d.slot_size = 128.into())),
    (Rule::SeriesPlace, "point slots of a distribution", |s| series(s, Kind::Distribution, |d| d.slot_size = 16.into())),
    (Rule::SeriesPlace, "within a column", |s| series(s, Kind::Gauge, |d| d.column_offset += 16)),
    (Rule::SeriesPlace, "behind the last column", |s| series(s, Kind::Histogram, |d| d.column_offset += 320)),
    (Rule::SeriesPlace, "a point among distributions", |s| { let at = s.record(SectionKind::Distributions, 0); series(s, Kind::Gauge, |d| d.column_offset = (at as u64).into()) }),
    (Rule::SeriesPlace, "no cell", |s| series(s, Kind::Counter, |d| d.cell_offset = 0.into())),
    (Rule::SeriesPlace, "within a cell", |s| series(s, Kind::Counter, |d| d.cell_offset += 8)),
    (Rule::SeriesPlace, "precision 7", |s| series(s, Kind::Histogram, |d| d.bucket_precision = 7)),
    (Rule::SeriesPlace, "one bucket", |s| series(s, Kind::Histogram, |d| d.bucket_count = 1.into())),
    (Rule::SeriesPlace, "more buckets than values", |s| series(s, Kind::Histogram, |d| { d.bucket_precision = 0; d.bucket_count = 66.into() })),
    (Rule::SeriesPlace, "a bucket too many", |s| series(s, Kind::Histogram, |d| d.bucket_count += 1)),
    (Rule::SeriesPlace, "buckets not on a word", |s| series(s, Kind::Histogram, |d| { d.bucket_count -= 1; d.buckets_offset += 4 })),
    (Rule::SeriesPlace, "buckets of a gauge", |s| series(s, Kind::Gauge, |d| d.bucket_count = 2.into())),
    (Rule::SeriesPlace, "buckets somewhere of a counter", |s| series(s, Kind::Counter, |d| d.buckets_offset = 8.into())),
    (Rule::SeriesPlace, "precision of a distribution", |s| series(s, Kind::Distribution, |d| d.bucket_precision = 1)),
];

#[test]
fn every_rule_of_rejection_is_kept() {
    for (rule, how, corrupt) in CASES {
        let mut slab = Slab::new();
        corrupt(&mut slab);
        let broken = read_inside(slab.image()).expect_err(how);
        assert_eq!(broken.rule, *rule, "{how}: {broken}");
    }
    for rule in Rule::ALL.iter().filter(|rule| rule.action() == Action::Reject) {
        let here = CASES.iter().any(|case| case.0 == *rule);
        assert_ne!(
            here,
            CHECKED_BY_READERS.contains(rule),
            "{rule}: by a case here, or by readers"
        );
    }
}

/// What later versions may do, and other writers do differently.
#[rustfmt::skip]
const ALLOWED: &[Change] = &[
    ("a later minor version", |s| header(s, |h| h.version_minor = 9.into())),
    ("a feature to ignore", |s| header(s, |h| h.compat = u32::MAX.into())),
    ("an empty section inside another", |s| {
        let at = s.plan.offset(SectionKind::Series) + 128;
        series(s, Kind::Counter, |d| d.access = 1);
        entry(s, SectionKind::Cells, |e| (e.offset, e.length, e.record_count) = (at.into(), 0.into(), 0.into()));
    }),
    ("a series of a later kind, whatever its record", |s| {
        let at = s.record(SectionKind::Series, 2);
        s.put(at, &[0xffu8; 128]);
    }),
    ("a later kind of access", |s| series(s, Kind::Counter, |d| d.access = 200)),
    ("a shared distribution", |s| series(s, Kind::Distribution, |d| d.access = 3)),
    ("a cell of a series that is not shared", |s| series(s, Kind::Gauge, |d| d.cell_offset = 5.into())),
    ("a unit of one's own", |s| { let t = s.text(b"packets"); series(s, Kind::Gauge, |d| d.unit = t) }),
    ("no text, wherever", |s| series(s, Kind::Gauge, |d| (d.help.length, d.help.offset) = (0.into(), u64::MAX.into()))),
];

#[test]
fn what_is_allowed_is_read() {
    for (what, change) in ALLOWED {
        let mut slab = Slab::new();
        change(&mut slab);
        if let Err(broken) = read_inside(slab.image()) {
            panic!("{what}: {broken}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// Several places at once, with the numbers that arithmetic trips over. The hash is put right
    /// half of the time, or no change to a tier would be seen by what follows.
    #[test]
    fn arbitrary_bytes_are_refused_or_lie_inside(
        changes in prop::collection::vec(
            (
                prop_oneof![3 => 0usize..352, 1 => 352usize..1_024, 3 => 1_024usize..2_560],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 1..24),
                    prop::sample::select(vec![0, 1, 8, 64, 4_096, 1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX - 63, u64::MAX])
                        .prop_map(|word| word.to_le_bytes().to_vec()),
                ],
            ),
            1..6,
        ),
        rehash in any::<bool>(),
    ) {
        let slab = Slab::new();
        for (at, bytes) in changes {
            slab.memory.put(at, &bytes);
        }
        if rehash {
            slab.put_schema_hash();
        }
        let _ = read_inside(slab.image());
    }

    /// Nothing but noise behind a header that would do.
    #[test]
    fn noise_behind_a_header_is_refused(noise in prop::collection::vec(any::<u8>(), 4_096 - 64)) {
        let slab = Slab::new();
        slab.memory.put(64, &noise);
        prop_assert!(read_inside(slab.image()).is_err());
    }
}
