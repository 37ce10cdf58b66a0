//! Any bytes at all: a value, or an error that names the rule they break. Never a panic, never a wait.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::everything::use_everything;
use common::{Raw, SECOND, START};
use proptest::prelude::*;
use std::sync::OnceLock;

fn sample() -> &'static Raw {
    static SAMPLE: OnceLock<Raw> = OnceLock::new();
    SAMPLE.get_or_init(|| Raw(common::sample_bytes()))
}

fn check(bytes: &[u8]) {
    let bus = common::bus();
    let path = bus.path().join("x.slab");
    common::file(&path, bytes);
    use_everything(&path);
}

/// Values that are likely to hurt.
fn nasty() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..300,
        prop::sample::select(vec![
            u64::MAX,
            u64::MAX - 7,
            1 << 63,
            (1 << 63) - 1,
            1 << 32,
            START,
            START + 19 * SECOND
        ]),
        (0u32..64).prop_map(|bit| 1 << bit),
        (0u64..65_536).prop_map(|n| n * 64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Everything that has a place: header, table, identity, tiers, live, cells, descriptors.
    #[test]
    fn changed_words_at_the_front(changes in prop::collection::vec((0u64..600, nasty(), 1usize..=8), 1..6)) {
        let mut raw = sample().clone();
        for (word, value, bytes) in changes {
            raw.put(word * 8, &value.to_le_bytes()[..bytes]);
        }
        check(&raw.0);
    }

    #[test]
    fn changed_words_anywhere(changes in prop::collection::vec((any::<prop::sample::Index>(), nasty()), 1..40)) {
        let mut raw = sample().clone();
        for (at, value) in changes {
            let at = at.index(raw.0.len() / 8) as u64 * 8;
            raw.put_u64(at, value);
        }
        check(&raw.0);
    }

    #[test]
    fn changed_bytes_anywhere(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..100)) {
        let mut raw = sample().clone();
        for (at, value) in changes {
            let at = at.index(raw.0.len());
            raw.0[at] = value;
        }
        check(&raw.0);
    }

    #[test]
    fn cut_and_lengthened(len in 0usize..80_000, fill in any::<u8>()) {
        let mut bytes = sample().0.clone();
        bytes.resize(len, fill);
        check(&bytes);
        // The header may agree.
        if len >= 64 {
            bytes[56..64].copy_from_slice(&(len as u64).to_le_bytes());
            check(&bytes);
        }
    }

    #[test]
    fn noise_behind_a_right_magic(mut bytes in prop::collection::vec(any::<u8>(), 4096..9000)) {
        bytes[..12].copy_from_slice(b"RONDOSLB\x01\0\0\0");
        check(&bytes);
    }
}

/// As long as slots are torn, a reader tries each a bounded number of times.
#[test]
fn a_slab_that_is_torn_throughout_is_read_in_bounded_time() {
    let places = common::places();
    let mut raw = sample().clone();
    let start = places.section(rondo_shm_layout::SectionKind::Points) as usize;
    raw.0[start..].fill(0xff);
    let clock = std::time::Instant::now();
    check(&raw.0);
    assert!(clock.elapsed().as_secs() < 10);
}
