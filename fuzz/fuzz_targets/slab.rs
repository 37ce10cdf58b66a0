//! Opens and reads slabs of a writer that a hostile guest owns: the bytes of a good slab with changes anywhere.
//!
//! The schema hash is made right again if the input says so, or no change of a tier would get past it. What a slab is
//! asked, and what has to hold, is `use_everything` of the reader's tests.
#![no_main]

#[path = "../../reader/tests/common/mod.rs"]
mod common;

use common::Raw;
use common::everything::use_everything;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rondo_shm_layout::{Header, SectionKind, fnv1a_64};
use std::mem::offset_of;
use std::path::PathBuf;
use std::sync::LazyLock;

#[derive(Debug, Arbitrary)]
struct Input {
    changes: Vec<(u16, Change)>,
    fixes_hash: bool,
    /// Of the file.
    length: Option<u16>,
}

#[derive(Debug, Arbitrary)]
enum Change {
    Byte(u8),
    Word(u64),
    Bit(u8),
}

struct Sample {
    raw: Raw,
    /// The bytes that the hash is of.
    schema: std::ops::Range<usize>,
    /// Where the changed bytes go. Not a `TempDir`: a fuzzer ends without dropping anything.
    path: PathBuf,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let bus = common::bus();
    let original = common::sample(bus.path());
    let slab = common::open(&original);
    let section = slab.layout().section(SectionKind::Tiers);
    let start = section.offset as usize;
    Sample {
        raw: Raw(std::fs::read(&original).unwrap()),
        schema: start..start + section.length as usize,
        path: bus
            .path()
            .with_file_name(format!("rondo-fuzz-{}.slab", std::process::id())),
    }
});

fuzz_target!(|input: Input| {
    let sample = &*SAMPLE;
    let mut raw = sample.raw.clone();
    let size = raw.0.len();
    for (at, change) in &input.changes {
        let at = usize::from(*at) % size;
        match change {
            Change::Byte(byte) => raw.0[at] = *byte,
            Change::Bit(bit) => raw.0[at] ^= 1 << (bit % 8),
            Change::Word(word) => raw.put((at / 8 * 8).min(size - 8) as u64, &word.to_le_bytes()),
        }
    }
    if input.fixes_hash {
        let hash = fnv1a_64(&raw.0[sample.schema.clone()]);
        raw.put_u64(offset_of!(Header, schema_hash) as u64, hash);
    }
    if let Some(length) = input.length {
        raw.0.truncate(usize::from(length));
    }
    common::file(&sample.path, &raw.0);
    use_everything(&sample.path);
    std::fs::remove_file(&sample.path).unwrap();
});
