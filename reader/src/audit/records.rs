//! The rules on single records: `access`, `series-time` and `reserved`.

use super::{Audit, Subject};
use rondo_shm_layout::{
    Access, FLAG_SIMULATED_TIME, Functions, Identity, Live, Rule, SectionKind, Series, SeriesDescriptor,
    TextRef,
};

impl Subject<'_> {
    /// What is in a descriptor beyond what makes it readable.
    pub(super) fn descriptor(&self, series: &Series, audit: &mut Audit) {
        let (index, name) = (series.index, &series.name);
        let ended = series.ended_ns(self.image);
        if series.registered_ns == 0 {
            audit.add(
                Rule::SeriesTime,
                format!("series {index} ({name}): registered_ns is 0"),
            );
        }
        if let Some(ended) = ended.filter(|&ended| ended < series.registered_ns) {
            audit.add(
                Rule::SeriesTime,
                format!(
                    "series {index} ({name}): ended at {ended}, before its registration at {}",
                    series.registered_ns
                ),
            );
        }
        let section = self.layout.section(SectionKind::Series);
        let record: Option<SeriesDescriptor> = section
            .record_offset(u64::from(index))
            .and_then(|offset| self.image.record(offset));
        let Some(record) = record else { return };
        match record.access {
            1..=3 => {}
            other => audit.add(
                Rule::Access,
                format!("series {index} ({name}): access is {other}"),
            ),
        }
        if record.access == Access::Shared as u8 && series.kind.is_distribution() {
            audit.add(
                Rule::Access,
                format!("series {index} ({name}): a shared {}", series.kind.as_str()),
            );
        }
        let mut reserved = vec![
            ("reserved", record.reserved != 0),
            ("reserved_tail", record.reserved_tail != [0; 12]),
        ];
        for (field, text) in [
            ("name", record.name),
            ("unit", record.unit),
            ("help", record.help),
            ("labels", record.labels),
        ] {
            reserved.push((field, text.reserved != 0));
        }
        if let Some(cell) = series.cell_offset {
            let tail = self.image.bytes(cell + 8, 120);
            reserved.push(("the tail of its cell", tail.is_some_and(|bytes| has_bits(&bytes))));
        }
        for (field, _) in reserved.into_iter().filter(|(_, has_bits)| *has_bits) {
            audit.add(
                Rule::Reserved,
                format!("series {index} ({name}): reserved bytes of {field} are not zero"),
            );
        }
    }

    /// Reserved bytes of everything that is there once, and the sets of bits.
    pub(super) fn reserved(&self, audit: &mut Audit) {
        let mut broken = |what: String| audit.add(Rule::Reserved, what);
        if self.layout.header.compat != 0 {
            broken(format!("unknown compat bits {:#x}", self.layout.header.compat));
        }
        for (i, entry) in self
            .layout
            .table
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.reserved != 0)
        {
            broken(format!(
                "section table entry {i} (kind {}): reserved is {:#x}",
                entry.kind, entry.reserved
            ));
        }
        for (i, tier) in self.layout.tiers.iter().enumerate() {
            if Functions(tier.functions.get()).has_unknown() {
                broken(format!("tier {i}: unknown functions {:#x}", tier.functions));
            }
            if tier.reserved != 0 || tier.reserved_tail != 0 {
                broken(format!("tier {i}: reserved bytes are not zero"));
            }
        }
        if let Some(identity) = self
            .image
            .record::<Identity>(self.layout.section(SectionKind::Identity).offset)
        {
            let texts: [TextRef; 3] = [identity.instance, identity.schema, identity.labels];
            if identity.flags.get() & !FLAG_SIMULATED_TIME != 0 {
                broken(format!("identity: unknown flags {:#x}", identity.flags));
            }
            if identity.reserved != [0; 16] || texts.iter().any(|text| text.reserved != 0) {
                broken("identity: reserved bytes are not zero".into());
            }
        }
        if let Some(live) = self.image.record::<Live>(self.layout.header.live_offset.get()) {
            let lines: [&[u8]; 3] = [&live.reserved_line0, &live.reserved_line1, &live.reserved_line2];
            for (i, _) in lines.iter().enumerate().filter(|(_, line)| has_bits(line)) {
                broken(format!("live: reserved_line{i} is not zero"));
            }
        }
    }
}

fn has_bits(bytes: &[u8]) -> bool {
    bytes.iter().any(|&byte| byte != 0)
}
