//! `spec/slab.md` and the code say the same.
//!
//! Every table of the specification is read as it stands there, row by row, and compared with the
//! record types, or, where fields are private, with what the public functions store. So neither
//! side can change alone, and what fails names the row.
#![allow(clippy::unwrap_used, reason = "in tests, also outside of the test functions")]
#![cfg(not(loom))]

mod common;

use common::{CAPACITY, Field, Memory, Slab};
use rondo_shm_layout::*;
use std::collections::BTreeMap;
use std::fs;
use std::mem::offset_of;
use std::path::Path;

/// The specification.
struct Spec(String);

/// A row of a table, with the place to look at when it is wrong.
struct Row {
    at: String,
    cells: Vec<String>,
}

impl Spec {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/slab.md");
        Self(fs::read_to_string(path).unwrap())
    }

    /// Rows of the first table whose head starts like that, at or after line `from`.
    fn rows(&self, from: usize, head: &str) -> Vec<Row> {
        let rows: Vec<_> = self
            .0
            .lines()
            .enumerate()
            .skip(from)
            .skip_while(|(_, line)| !line.starts_with(head))
            .take_while(|(_, line)| line.starts_with('|'))
            .skip(2)
            .map(|(i, line)| Row {
                at: format!("spec/slab.md:{}: {line}", i + 1),
                cells: line
                    .trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().to_owned())
                    .collect(),
            })
            .collect();
        assert!(!rows.is_empty(), "no table {head}");
        rows
    }

    /// The size that the heading of a marked table gives to its record, and the table's rows.
    fn record(&self, name: &str) -> (usize, Vec<Row>) {
        let marker = format!("<!-- table: {name} -->");
        let mut lines = self.0.lines();
        let from = lines
            .position(|line| line == marker)
            .unwrap_or_else(|| panic!("no {marker}"));
        let heading = lines.next().unwrap();
        let size = heading
            .split_once(" bytes")
            .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
        (size.unwrap_or(0), self.rows(from, "| offset"))
    }

    /// Panics unless the text stands in the specification exactly so many times.
    fn says(&self, times: usize, text: &str) {
        let found = self.0.matches(text).count();
        assert_eq!(found, times, "times that spec/slab.md says {text:?}");
    }
}

/// The bytes of a type named in a table; `None` for `bytes`.
fn size_of_type(name: &str) -> Option<usize> {
    match name {
        "u8" => Some(1),
        "u16" => Some(2),
        "u32" => Some(4),
        "u64" | "f64" | "u64/f64" => Some(8),
        "text" => Some(size_of::<TextRef>()),
        "bytes" => None,
        other => panic!("the table has a type {other:?} that no field can have"),
    }
}

/// Rows of a record as fields, after checking that they tile it.
fn tiled(name: &str, record_size: usize) -> Vec<(String, usize, usize, String)> {
    let (size, rows) = Spec::read().record(name);
    if name != "SectionEntry" {
        assert_eq!(size, record_size, "bytes in the heading of {name}");
    }
    let mut end = 0;
    let fields = rows
        .into_iter()
        .map(|Row { at, cells }| {
            let number = |i: usize| {
                cells[i]
                    .parse::<usize>()
                    .unwrap_or_else(|_| panic!("{at}: column {i}"))
            };
            let (offset, size) = (number(0), number(1));
            assert_eq!(offset, end, "{at}: a gap or an overlap");
            assert_eq!(
                size_of_type(&cells[2]).unwrap_or(size),
                size,
                "{at}: size and type"
            );
            end += size;
            (cells[3].clone(), offset, size, at)
        })
        .collect();
    assert_eq!(end, record_size, "bytes that the rows of {name} add up to");
    fields
}

fn same_fields(name: &str, record_size: usize, fields: &[Field]) {
    let specified = tiled(name, record_size);
    for (i, (field, offset, size, at)) in specified.iter().enumerate() {
        let Some(&coded) = fields.get(i) else {
            panic!("{at}: the code has no such field");
        };
        assert_eq!(coded, (field.as_str(), *offset, *size), "{at}: code and row");
    }
    assert_eq!(fields.len(), specified.len(), "fields of {name} without a row");
}

#[test]
fn constant_records_are_as_specified() {
    same_fields("Header", size_of::<Header>(), &common::header_fields());
    same_fields(
        "SectionEntry",
        size_of::<SectionEntry>(),
        &common::section_entry_fields(),
    );
    same_fields("Identity", size_of::<Identity>(), &common::identity_fields());
    same_fields("Tier", size_of::<Tier>(), &common::tier_fields());
    same_fields(
        "SeriesDescriptor",
        size_of::<SeriesDescriptor>(),
        &common::descriptor_fields(),
    );
    same_fields("Live", size_of::<Live>(), &common::live_fields());
    Spec::read().says(
        1,
        "A **text** is a reference {offset u64, length u32, reserved u32}",
    );
    assert_eq!((offset_of!(TextRef, offset), offset_of!(TextRef, length)), (0, 8));
    assert_eq!((offset_of!(TextRef, reserved), size_of::<TextRef>()), (12, 16));
}

/// Words of a record that was zero before `act` stored into it: each has to be the one that the
/// table names, by the values that `act` says it stored.
fn same_words(name: &str, record_size: usize, act: impl Fn(Image<'_>) -> Vec<(&'static str, u64)>) {
    let memory = Memory::new(record_size);
    let mut stored: BTreeMap<_, _> = act(memory.image()).into_iter().collect();
    for (field, offset, size, at) in tiled(name, record_size) {
        let words = memory.image().words(offset as u64, size / 8).unwrap();
        let words: Vec<u64> = words
            .iter()
            .map(|word| word.load(sync::Ordering::Relaxed))
            .collect();
        let value = stored.remove(field.as_str());
        let is_reserved = field == "reserved" || field.starts_with("reserved_");
        assert_ne!(value.is_some(), is_reserved, "{at}: the code has no such word");
        let expected = vec![value.unwrap_or(0); size / 8];
        assert_eq!(words, expected, "{at}: what the code stores there");
    }
    assert!(stored.is_empty(), "{name} has no row for {stored:?}");
}

#[test]
fn live_records_are_as_specified() {
    same_words("PointSlot", size_of::<PointSlot>(), |image| {
        image.point_slot(0).unwrap().open(7, [9]);
        vec![("stamp", 7), ("value", 9)]
    });
    same_words("DistributionSlot", size_of::<DistributionSlot>(), |image| {
        let slot = image.distribution_slot(0).unwrap();
        slot.open(7, (40, 5.0), 2.0, None);
        for sample in [1.0, 3.0, 2.5] {
            slot.add(sample, None);
        }
        assert_eq!(slot.reserved(), 0);
        vec![
            ("sequence", 8),
            ("stamp", 7),
            ("count", 44),
            ("sum", 13.5f64.to_bits()),
            ("min", 1.0f64.to_bits()),
            ("max", 3.0f64.to_bits()),
            ("last", 2.5f64.to_bits()),
        ]
    });
    same_words("SharedCell", size_of::<SharedCell>(), |image| {
        image.shared_cell(0).unwrap().set(9);
        vec![("value", 9)]
    });
    same_words("Live", size_of::<Live>(), |image| {
        let live = LiveWords::at(image, 0).unwrap();
        let words = [
            ("cursor_ns", live.cursor_ns),
            ("ticked_ns", live.ticked_ns),
            ("series_count", live.series_count),
            ("writer_pid", live.writer_pid),
            ("reopen_count", live.reopen_count),
            ("closed_ns", live.closed_ns),
            ("refused_count", live.refused_count),
            ("stale_count", live.stale_count),
            ("future_count", live.future_count),
            ("bad_count", live.bad_count),
        ];
        (1..)
            .zip(words)
            .map(|(value, (name, word))| {
                word.store(value, sync::Ordering::Relaxed);
                (name, value)
            })
            .collect()
    });
}

/// An unwritten slot is what `clear` leaves, and a busy stamp what a reader calls torn.
#[test]
fn sentinel_and_busy_are_as_specified() {
    let spec = Spec::read();
    spec.says(
        1,
        &format!("The **sentinel** is the quiet NaN with the bits `0x{SENTINEL:X}`"),
    );
    spec.says(1, "2^64−1 being changed (*busy*)");
    assert_eq!(BUSY, u64::MAX);
    spec.says(1, "(offset 8 of a point slot; 16 to 48 of a distribution slot)");
    let memory = Memory::new(128);
    memory.image().point_slot(0).unwrap().clear(SENTINEL);
    memory.image().distribution_slot(64).unwrap().clear();
    let holding: Vec<u64> = (0..128)
        .step_by(8)
        .filter(|&at| memory.image().word(at).unwrap().load(sync::Ordering::Relaxed) == SENTINEL)
        .collect();
    assert_eq!(holding, [8, 64 + 16, 64 + 24, 64 + 32, 64 + 40, 64 + 48]);
}

/// The first number in a cell, with its commas.
fn number(text: &str) -> u64 {
    let digits: String = text
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(|c| c.is_ascii_digit() || *c == ',')
        .filter(|&c| c != ',')
        .collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {text:?}"))
}

/// Numbers, names, alignment, and the record sizes that `validate` lets through.
#[test]
fn section_kinds_are_as_specified() {
    let rows = Spec::read().rows(0, "| kind");
    assert_eq!(rows.len(), SectionKind::ALL.len(), "rows of the section kinds");
    for (Row { at, cells }, kind) in rows.into_iter().zip(SectionKind::ALL) {
        assert_eq!(number(&cells[0]), kind as u64, "{at}: kind");
        assert_eq!(cells[1], format!("{kind:?}").to_lowercase(), "{at}: section");
        assert_eq!(number(&cells[4]), kind.alignment(), "{at}: aligned");

        let (least, rest) = match cells[3].strip_prefix("`slot_count` × ") {
            Some(rest) => (number(rest) * u64::from(CAPACITY.slot_count), rest),
            None => (number(&cells[3]), cells[3].as_str()),
        };
        let is_exact = rest.contains("(exactly)");
        let step = rest
            .split_once("multiple of ")
            .map_or(8, |(_, step)| number(step));
        for size in (1..=least + 2 * step).chain([4096]) {
            let slab = roomy();
            let entry = slab.entry_of(kind);
            slab.put(entry + offset_of!(SectionEntry, record_size), &(size as u32));
            let is_allowed = if is_exact {
                size == least
            } else {
                size >= least && size.is_multiple_of(step)
            };
            let broken = Layout::validate(slab.image())
                .err()
                .map(|violation| violation.rule);
            let expected = (!is_allowed).then_some(Rule::SectionRecord);
            assert_eq!(broken, expected, "{at}: records of {size} bytes");
        }
    }
}

/// A slab in which all records have room to grow: sections are long and far apart, and the fewest
/// records are in them.
fn roomy() -> Slab {
    const ROOM: u64 = 32 * 1024;
    let mut plan = Plan::new(&CAPACITY).unwrap();
    for (entry, offset) in plan.table.iter_mut().zip((1..).map(|i| i * ROOM)) {
        (entry.offset, entry.length) = (offset.into(), ROOM.into());
        entry.record_count = match SectionKind::from_number(entry.kind.get()) {
            Some(SectionKind::Series) => entry.record_count,
            Some(SectionKind::Identity | SectionKind::Tiers | SectionKind::Live) => 1.into(),
            _ => 0.into(),
        };
        plan.file_size = offset + ROOM;
    }
    Slab::with(plan)
}

/// The cell `meaning` of a field.
fn meaning(record: &str, field: &str) -> Row {
    let (_, rows) = Spec::read().record(record);
    let mut row = rows
        .into_iter()
        .find(|row| row.cells[3] == field)
        .unwrap_or_else(|| panic!("{record} has no row for {field}"));
    row.cells.drain(..4);
    row
}

/// Panics unless the meaning of a field starts with the text.
fn means(record: &str, field: &str, text: &str) {
    let Row { at, cells } = meaning(record, field);
    assert!(cells[0].starts_with(text), "{at}: does not start with {text:?}");
}

fn list<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

#[test]
fn kinds_access_and_functions_are_as_specified() {
    let kinds = list(Kind::ALL, |kind| format!("{} {}", kind as u8, kind.as_str()));
    means("SeriesDescriptor", "kind", &format!("{kinds};"));
    assert_eq!(Kind::from_number(0), None);
    assert_eq!(Kind::from_number(Kind::ALL.len() as u8 + 1), None);

    let access = [
        (Access::Owned, "owned"),
        (Access::WriterHeld, "writer-held"),
        (Access::Shared, "shared"),
    ];
    for (access, _) in access {
        assert_eq!(Access::from_number(access as u8), access);
    }
    assert_eq!(Access::from_number(9), Access::Owned);
    let access = list(access, |(access, name)| format!("{} {name}", access as u8));
    means(
        "SeriesDescriptor",
        "access",
        &format!("{access} (section 7); others read like 1"),
    );

    let functions = list(Functions::ALL, |(name, bit)| format!("{bit} {name}"));
    means(
        "Tier",
        "functions",
        &format!("set of bits: {functions}; 0 means the default"),
    );
    let all = Functions::ALL.iter().fold(0, |all, (_, bit)| all | bit);
    assert!(!Functions(all).has_unknown() && Functions(all + 1).has_unknown());

    means("Identity", "flags", "bit 0: time is simulated");
    assert_eq!(FLAG_SIMULATED_TIME, 1 << 0);
    let points = list([Kind::Gauge, Kind::Counter], |kind| (kind as u8).to_string());
    let rest = list([Kind::Distribution, Kind::Histogram], |kind| {
        (kind as u8).to_string()
    });
    let (small, large) = (Kind::Gauge.slot_size(), Kind::Histogram.slot_size());
    means(
        "SeriesDescriptor",
        "slot_size",
        &format!("bytes from slot to slot: at least {small} (kinds {points}) or {large} (kinds {rest})"),
    );
}

#[test]
fn units_are_as_specified() {
    // A unit that is missing here does not compile.
    let _all = |unit: Unit| match unit {
        Unit::None | Unit::Other(_) => 0,
        Unit::Nanoseconds | Unit::Microseconds | Unit::Milliseconds | Unit::Seconds => 4,
        Unit::Bytes | Unit::Kibibytes | Unit::Mebibytes => 3,
        Unit::Ratio | Unit::Percent => 2,
    };
    let spec = Spec::read().0.replace('\n', " ");
    let (_, known) = spec
        .split_once("exporters convert to: ")
        .expect("the known units");
    let (known, _) = known
        .split_once("; an empty text (a plain number)")
        .expect("no unit");
    let mut count = 0;
    for group in known.split(';') {
        let (names, base) = group
            .split_once(" (")
            .unwrap_or_else(|| panic!("no base unit: {group}"));
        for name in names.split(',') {
            let name = name.trim().trim_matches('`');
            let found = Unit::from(name).base().map(|(base, _)| base);
            assert_eq!(found, base.strip_suffix(')'), "base unit of {name}");
            count += 1;
        }
    }
    assert_eq!(count, 4 + 3 + 2, "units in the specification and in the code");
    assert_eq!(Unit::from("").base(), Some(("", 1.0)));
}

#[test]
fn rules_are_as_specified() {
    let rows = Spec::read().rows(0, "| rule");
    for (i, Row { at, cells }) in rows.iter().enumerate() {
        let Some(&rule) = Rule::ALL.get(i) else {
            panic!("{at}: the code has no such rule");
        };
        let coded = [
            rule.name().to_owned(),
            format!("{:?}", rule.action()).to_lowercase(),
            rule.text().to_owned(),
        ];
        assert_eq!(coded, cells[..], "{at}: code and row");
    }
    assert_eq!(
        Rule::ALL.len(),
        rows.len(),
        "rules in the code and in the specification"
    );
}

/// A field's range as its meaning gives it ("…, least to greatest"): what is at its ends has to be
/// let through, what is beyond them has to break `rule`.
fn range_is_kept(record: &str, field: &str, rule: Rule, try_value: impl Fn(u64) -> Option<Rule>) {
    let Row { at, cells } = meaning(record, field);
    let (before, after) = cells[0]
        .split_once(" to ")
        .unwrap_or_else(|| panic!("{at}: no range"));
    let least = before.rsplit(", ").next().map(number).unwrap_or_default();
    for (value, is_allowed) in [
        (least - 1, false),
        (least, true),
        (number(after), true),
        (number(after) + 1, false),
    ] {
        let broken = try_value(value) == Some(rule);
        assert_eq!(broken, !is_allowed, "{at}: {value}");
    }
}

#[test]
fn numbers_of_the_header_are_as_specified() {
    means("Header", "magic", &format!("`{}`;", MAGIC.escape_ascii()));
    means("Header", "version_major", &VERSION_MAJOR.to_string());
    means("Header", "version_minor", &VERSION_MINOR.to_string());
    let spec = Spec::read();
    spec.says(
        1,
        &format!("`section_count` entries from offset {SECTION_TABLE_OFFSET}"),
    );

    let with = |field: usize, bytes: &[u8]| {
        let slab = Slab::new();
        slab.memory.put(field, bytes);
        slab.read().err().map(|violation| violation.rule)
    };
    range_is_kept("Header", "slot_count", Rule::SlotCount, |value| {
        with(offset_of!(Header, slot_count), &(value as u32).to_le_bytes())
    });
    range_is_kept("Header", "section_count", Rule::SectionTable, |value| {
        with(offset_of!(Header, section_count), &(value as u16).to_le_bytes())
    });
    // In words: "1,000,000 (1 ms) to 86,400,000,000,000 (1 day)".
    let interval = offset_of!(Header, interval_ns);
    range_is_kept("Header", "interval_ns", Rule::Interval, |value| {
        with(interval, &value.to_le_bytes())
    });
    range_is_kept("Header", "series_capacity", Rule::SectionRecord, |value| {
        let mut plan = Plan::new(&CAPACITY).unwrap();
        let entry = plan
            .table
            .iter_mut()
            .find(|entry| entry.kind == SectionKind::Series as u32);
        let (offset, length) = (plan.file_size, 128 * (1 << 17));
        let entry = entry.unwrap();
        (entry.offset, entry.length) = (offset.into(), length.into());
        entry.record_count = (value as u32).into();
        plan.file_size += length;
        let slab = Slab::with(plan);
        slab.put(offset_of!(Header, series_capacity), &(value as u32));
        Layout::validate(slab.image())
            .err()
            .map(|violation| violation.rule)
    });
    let row = meaning("Header", "section_entry_size");
    let least = number(&row.cells[0].replace("bytes from one entry to the next, at least ", ""));
    assert_eq!(least, size_of::<SectionEntry>() as u64, "{}", row.at);
}

#[test]
fn hash_is_as_specified() {
    let (start, prime): (u64, u64) = (fnv1a_64(b""), 0x0100_0000_01b3);
    let spec = Spec::read();
    spec.says(1, &format!("FNV-1a 64 starts at `{start:#x}`"));
    spec.says(1, &format!("multiply by\n`{prime:#x}` modulo 2^64"));
    assert_eq!(fnv1a_64(&[5]), (start ^ 5).wrapping_mul(prime));
}

#[test]
fn limits_of_names_and_labels_are_as_specified() {
    let spec = Spec::read();
    spec.says(2, &format!("repeat at most {READ_ATTEMPTS_MAX} times:"));

    spec.says(1, "filling the text's length exactly, at most 64 pairs");
    let labels = |count: usize| -> Labels { (0..count).map(|i| (format!("l{i}"), "v".into())).collect() };
    assert!(encode_labels(&labels(64)).is_ok() && encode_labels(&labels(65)).is_err());

    for name in names::RESERVED_LABELS {
        let (_, labels) = spec
            .0
            .split_once("do not start with `__`, and are not ")
            .expect("labels");
        let (labels, _) = labels.split_once(", which exporters").expect("labels");
        assert!(labels.contains(&format!("`{name}`")), "{name} in: {labels}");
    }
    spec.says(
        1,
        "Names match `[a-zA-Z_][a-zA-Z0-9_]*`, are 1 to 128 bytes\nlong",
    );
    assert!(names::is_label(&"a".repeat(128)) && !names::is_label(&"a".repeat(129)));
    spec.says(1, "Values are 1 to 1,024 bytes of UTF-8");
    assert!(names::is_label_value(&"v".repeat(1024)) && !names::is_label_value(&"v".repeat(1025)));
    means(
        "SeriesDescriptor",
        "name",
        "`[a-zA-Z_:][a-zA-Z0-9_:]*`, 1 to 200 bytes",
    );
    assert!(names::is_metric(&"a".repeat(200)) && !names::is_metric(&"a".repeat(201)));
    spec.says(
        1,
        "`instance` is 1 to 128 of `A–Z a–z 0–9 _ . -`, not starting with a dot",
    );
    assert!(names::is_instance(&"a".repeat(128)) && !names::is_instance(&"a".repeat(129)));
    spec.says(1, "`schema` is 1 to 32 of\n`A–Z a–z 0–9 _ -`");
    assert!(names::is_schema(&"a".repeat(32)) && !names::is_schema(&"a".repeat(33)));
    spec.says(1, "without control characters (U+0000–U+001F, U+007F–U+009F)");
    for char in (0..0x300).filter_map(char::from_u32) {
        let is_control = matches!(char, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}');
        assert_eq!(names::is_text(&char.to_string()), !is_control, "{char:?}");
    }
}

#[test]
fn limits_of_buckets_are_as_specified() {
    means(
        "SeriesDescriptor",
        "bucket_precision",
        &format!("histograms: p of section 10, 0 to {};", buckets::PRECISION_MAX),
    );
    means(
        "SeriesDescriptor",
        "bucket_count",
        "histograms: 2 to (65 − p) << p;",
    );
    for p in 0..=buckets::PRECISION_MAX {
        assert_eq!(buckets::count_max(p), (65 - u32::from(p)) << p);
    }
}
