//! Each rule is found broken by the slab that breaks it, and no rule by a good one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Places, Raw, SECOND, START};
use rondo_reader::{Action, Audit, Limits, Rule, Slab, audit};
use rondo_shm_layout::{SectionKind, fnv1a_64};

fn audit_of(raw: &Raw) -> Audit {
    let bus = common::bus();
    let path = bus.path().join("x.slab");
    common::file(&path, &raw.0);
    let found = audit(&path, &Limits::default(), false).unwrap();
    // Readers refuse it if, and only if, a finding says so.
    let is_rejected = found
        .findings
        .iter()
        .any(|finding| finding.rule.action() == Action::Reject);
    let opened = Slab::open(&path, &Limits::default());
    assert_eq!(opened.is_err(), is_rejected, "{found:?} {opened:?}");
    found
}

type Break = fn(&mut Raw, &Places);

const RULES: &[(Rule, Break)] = &[
    (Rule::FileSize, |raw, _| raw.0.extend([0; 8])),
    (Rule::Magic, |raw, _| raw.0[0] = b'r'),
    (Rule::Version, |raw, _| raw.0[8] = 2),
    (Rule::Incompat, |raw, _| raw.0[35] = 1),
    (Rule::SlotCount, |raw, _| raw.put(12, &1u32.to_le_bytes())),
    (Rule::Interval, |raw, _| raw.put_u64(24, 999_999)),
    (Rule::SectionTable, |raw, _| raw.put(44, &65u16.to_le_bytes())),
    (Rule::SectionBounds, |raw, _| raw.put_u64(64 + 8, 0)),
    (Rule::SectionSet, |raw, _| raw.put(64, &99u32.to_le_bytes())),
    (Rule::SectionRecord, |raw, _| {
        raw.put(64 + 24, &64u32.to_le_bytes());
    }),
    (Rule::LiveOffset, |raw, _| raw.put_u64(48, 0)),
    (Rule::SchemaHash, |raw, _| raw.0[16] ^= 1),
    (Rule::Tiers, |raw, places| {
        let at = places.section(SectionKind::Tiers);
        raw.put_u64(at + 8, 0);
        let length = places.slab.layout().section(SectionKind::Tiers).length as usize;
        raw.put_u64(16, fnv1a_64(&raw.0[at as usize..][..length]));
    }),
    (Rule::Identity, |raw, places| {
        raw.put(places.section(SectionKind::Identity), &[0; 16]);
    }),
    (Rule::TextBounds, |raw, places| {
        raw.put_u64(places.descriptor("gauge") + 32, 0);
    }),
    (Rule::SeriesCount, |raw, places| {
        raw.put_u64(places.live(128), 1 << 40);
    }),
    (Rule::SeriesName, |raw, places| {
        let name = raw.u64(places.descriptor("gauge") + 32);
        raw.put(name, b"1");
    }),
    (Rule::SeriesPlace, |raw, places| {
        raw.put_u64(places.descriptor("gauge") + 8, 64);
    }),
    (Rule::SeriesUnique, |raw, places| {
        let name: [u8; 16] = raw.0[places.descriptor("counter") as usize + 32..][..16]
            .try_into()
            .unwrap();
        raw.put(places.descriptor("shared") + 32, &name);
    }),
    (Rule::ColumnShared, |raw, places| {
        let column = raw.u64(places.descriptor("counter") + 8);
        raw.put_u64(places.descriptor("shared") + 8, column);
    }),
    (Rule::Access, |raw, places| {
        raw.0[places.descriptor("distribution") as usize + 1] = 3;
    }),
    (Rule::SeriesTime, |raw, places| {
        raw.put_u64(places.descriptor("gauge") + 24, 1);
    }),
    (Rule::Cursor, |raw, places| {
        raw.put_u64(places.live(8), START + 100 * SECOND);
    }),
    (Rule::Stamp, |raw, places| {
        raw.put_u64(places.slot("gauge", START + 18 * SECOND), START + 17 * SECOND);
    }),
    (Rule::Unwritten, |raw, places| {
        raw.put_u64(places.slot("gauge", START + 18 * SECOND), 0);
    }),
    (Rule::Value, |raw, places| {
        raw.put_u64(places.slot("gauge", START + 18 * SECOND) + 8, f64::NAN.to_bits());
    }),
    (Rule::Histogram, |raw, places| {
        let buckets = places.section(SectionKind::Buckets);
        raw.put_u64(buckets, raw.u64(buckets) + 2);
    }),
    (Rule::Reserved, |raw, places| raw.0[places.live(100) as usize] = 1),
];

#[test]
fn a_good_slab_has_no_findings() {
    let found = audit_of(&Raw(common::sample_bytes()));
    assert!(found.is_clean(), "{found:?}");
}

#[test]
fn a_slab_in_use_has_no_findings() {
    let bus = common::bus();
    let writer = common::writer(bus.path(), "vm-1", 8);
    let found = audit(common::path(&writer), &Limits::default(), true).unwrap();
    assert!(found.is_clean(), "{found:?}");
}

#[test]
fn each_broken_rule_is_found_by_its_name() {
    let places = common::places();
    let sample = Raw(common::sample_bytes());
    for (rule, break_it) in RULES {
        let mut raw = sample.clone();
        break_it(&mut raw, &places);
        let found = audit_of(&raw);
        assert!(
            found.findings.iter().any(|finding| finding.rule == *rule),
            "{rule}: {found:?}"
        );
        let others: Vec<_> = found
            .findings
            .iter()
            .filter(|finding| finding.rule != *rule)
            .collect();
        assert!(others.is_empty(), "{rule}: also {others:?}");
    }
}

/// The rules on files are tested in `files.rs`; the stride needs another layout.
#[test]
fn no_rule_is_forgotten() {
    let elsewhere = [Rule::FileType, Rule::FileSparse, Rule::FileName, Rule::Stride];
    for rule in Rule::ALL {
        assert!(
            elsewhere.contains(rule) || RULES.iter().any(|(tested, _)| tested == rule),
            "{rule}"
        );
    }
}

#[test]
fn later_versions_may_use_what_is_reserved() {
    let places = common::places();
    let mut raw = Raw(common::sample_bytes());
    raw.put(10, &7u16.to_le_bytes());
    raw.0[places.live(100) as usize] = 1;
    raw.0[places.descriptor("gauge") as usize + 1] = 9;
    let found = audit_of(&raw);
    assert!(found.is_clean() && found.newer_minor == Some(7), "{found:?}");
}

/// A hostile slab must not fill the reader's memory with findings.
#[test]
fn findings_are_grouped_by_series_and_rule() {
    let places = common::places();
    let mut raw = Raw(common::sample_bytes());
    for slot in 0..8 {
        let offset = common::series(&places.slab, "gauge").slot_offset(slot);
        raw.put_u64(offset, 12_345);
    }
    let found = audit_of(&raw);
    assert_eq!(found.findings.len(), 1, "{found:?}");
    assert!(found.findings[0].detail.contains("and 7 more"), "{found:?}");
}
