//! What single slots say, against the bytes of the file, whatever stamps are there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Raw, SECOND, START};
use proptest::prelude::*;
use rondo_reader::{PointValue, SlotValue};

const SLOTS: u64 = 8;
const LAST: u64 = START + 19 * SECOND;
const BUSY: u64 = u64::MAX;

/// Stamps of all eight slots: of this lap, of others, torn, and wrong ones.
fn stamps() -> impl Strategy<Value = Vec<u64>> {
    let stamp = prop_oneof![
        4 => (0u64..40).prop_map(|n| START + n * SECOND),
        1 => Just(BUSY),
        1 => Just(0),
        1 => Just(START + 15 * SECOND + 1),
        1 => any::<u64>(),
    ];
    prop::collection::vec(stamp, SLOTS as usize)
}

/// Section 6, as slowly as can be.
fn expected(stamps: &[u64], value: impl Fn(u64) -> PointValue, t: u64) -> SlotValue {
    let index = t / SECOND % SLOTS;
    match stamps[index as usize] {
        _ if t < LAST - (SLOTS - 1) * SECOND => SlotValue::Overwritten,
        BUSY => SlotValue::Torn,
        stamp if stamp == t => SlotValue::Present(value(index)),
        stamp if stamp > t && stamp <= 1 << 63 && stamp % SECOND == 0 && stamp / SECOND % SLOTS == index => {
            SlotValue::Overwritten
        }
        _ => SlotValue::Absent,
    }
}

proptest! {
    #[test]
    fn each_slot_is_what_its_bytes_say(
        stamps in stamps(),
        first in 0u64..60 * SECOND,
        length in 0u64..60 * SECOND,
        is_aligned in any::<bool>(),
    ) {
        let places = common::places();
        let mut raw = Raw(common::sample_bytes());
        for (index, &stamp) in stamps.iter().enumerate() {
            for name in ["gauge", "counter"] {
                let at = common::series(&places.slab, name).slot_offset(index as u64);
                raw.put_u64(at, stamp);
                raw.put_u64(at + 8, (index as f64).to_bits());
            }
        }
        let bus = common::bus();
        let path = bus.path().join("x.slab");
        common::file(&path, &raw.0);
        let slab = common::open(&path);
        let view = slab.view().unwrap();
        prop_assert_eq!(view.window(), Some((LAST - (SLOTS - 1) * SECOND, LAST)));

        // Starts are what is asked for; of any other times, the intervals that start between them.
        let round = |time: u64| if is_aligned { time / SECOND * SECOND } else { time };
        let (first, last) = (round(START - 20 * SECOND + first), round(START - 20 * SECOND + first + length));
        let starts = (first.next_multiple_of(SECOND)..=last.min(LAST)).step_by(SECOND as usize);
        let starts: Vec<u64> = starts.collect();
        let read = |name: &str| {
            let mut seen = Vec::new();
            let visit = |t, value| seen.push((t, value));
            slab.each_slot(common::series(&slab, name), &view, first, last, visit).unwrap();
            seen
        };
        let wanted = |value: fn(u64) -> PointValue| -> Vec<_> {
            starts.iter().map(|&t| (t, expected(&stamps, value, t))).collect()
        };
        prop_assert_eq!(read("gauge"), wanted(|index| PointValue::Gauge(index as f64)));
        let bits = |index: u64| PointValue::Counter((index as f64).to_bits());
        prop_assert_eq!(read("counter"), wanted(bits));
    }
}

#[test]
fn slots_of_distributions_are_present_absent_or_torn() {
    let places = common::places();
    let mut raw = Raw(common::sample_bytes());
    let torn = places.slot("distribution", LAST - 2 * SECOND);
    raw.put_u64(torn, raw.u64(torn) | 1);
    let bus = common::bus();
    let path = bus.path().join("x.slab");
    common::file(&path, &raw.0);
    let slab = common::open(&path);
    let (view, series) = (slab.view().unwrap(), common::series(&slab, "distribution"));
    let mut seen = Vec::new();
    slab.each_slot(series, &view, LAST - 3 * SECOND, u64::MAX, |t, value| {
        seen.push((t, value));
    })
    .unwrap();
    // Second 16 had no sample, second 17 was torn, 18 had one, 19 had none.
    assert_eq!(seen[0], (LAST - 3 * SECOND, SlotValue::Absent));
    assert_eq!(seen[1], (LAST - 2 * SECOND, SlotValue::Torn));
    assert!(matches!(
        seen[2].1,
        SlotValue::Present(PointValue::Distribution {
            count: 13,
            last: Some(15.0),
            ..
        })
    ));
    assert_eq!(seen[3], (LAST, SlotValue::Absent));
    assert_eq!(seen.len(), 4);
}

/// Before the first sample there is no interval to ask for.
#[test]
fn a_slab_without_samples_has_no_slots_to_visit() {
    let places = common::places();
    let mut raw = Raw(common::sample_bytes());
    raw.put_u64(places.live(0), 0);
    raw.put_u64(places.live(8), 0);
    let bus = common::bus();
    let path = bus.path().join("x.slab");
    common::file(&path, &raw.0);
    let slab = common::open(&path);
    let view = slab.view().unwrap();
    assert_eq!(view.window(), None);
    for series in slab.series() {
        slab.each_slot(series, &view, 0, u64::MAX, |t, value| panic!("{t} {value:?}"))
            .unwrap();
    }
}
