//! A slab as bytes that a test may change: by section, series and slot, as spec/slab.md has them.

use rondo_shm_layout::SectionKind;

/// The bytes of a slab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSlab(pub Vec<u8>);

/// An entry of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSection {
    /// What it holds.
    pub kind: u32,
    /// Records it has room for.
    pub record_count: u32,
    /// Where it starts.
    pub offset: usize,
    /// Its bytes.
    pub length: usize,
    /// Bytes from one record to the next.
    pub record_size: usize,
}

impl RawSlab {
    /// `N` bytes at an offset.
    pub fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("N bytes")
    }

    /// Replaces the bytes at an offset.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A u32.
    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    /// A u64.
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    /// An offset.
    pub fn offset(&self, at: usize) -> usize {
        self.u64(at) as usize
    }

    /// Replaces a u64.
    pub fn put_u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// Replaces an f64.
    pub fn put_f64(&mut self, at: usize, value: f64) {
        self.put_u64(at, value.to_bits());
    }

    /// All sections, in the order of the table.
    pub fn sections(&self) -> Vec<RawSection> {
        let (count, size) = (
            u16::from_le_bytes(self.bytes(44)),
            u16::from_le_bytes(self.bytes(46)),
        );
        let entry = |i: usize| {
            let at = 64 + i * usize::from(size);
            RawSection {
                kind: self.u32(at),
                record_count: self.u32(at + 4),
                offset: self.offset(at + 8),
                length: self.offset(at + 16),
                record_size: self.u32(at + 24) as usize,
            }
        };
        (0..usize::from(count)).map(entry).collect()
    }

    /// The section of a kind.
    pub fn section(&self, kind: SectionKind) -> RawSection {
        let section = self
            .sections()
            .into_iter()
            .find(|section| section.kind == kind as u32);
        section.expect("every slab has each known section")
    }

    /// Where a word of the live section is.
    pub fn live(&self, offset: usize) -> usize {
        self.section(SectionKind::Live).offset + offset
    }

    /// Where the descriptor of the first series of a name starts.
    pub fn series(&self, name: &str) -> usize {
        let section = self.section(SectionKind::Series);
        let count = self.u64(self.live(128)) as usize;
        let mut records = (0..count).map(|i| section.offset + i * section.record_size);
        let is_named = |&at: &usize| {
            let text = self.offset(at + 32)..self.offset(at + 32) + self.u32(at + 40) as usize;
            &self.0[text] == name.as_bytes()
        };
        records
            .find(is_named)
            .unwrap_or_else(|| panic!("no series {name}"))
    }

    /// Where the slot of a series for the interval `t` starts.
    pub fn slot(&self, name: &str, t: u64) -> usize {
        let series = self.series(name);
        let (interval_ns, slot_count) = (self.u64(24), u64::from(self.u32(12)));
        let index = (t / interval_ns % slot_count) as usize;
        self.offset(series + 8) + index * self.u32(series + 4) as usize
    }
}
