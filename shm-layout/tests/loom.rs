//! The protocol under loom: every interleaving, and every stale value that the memory model allows,
//! of small models around the real types.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p rondo-shm-layout --release --test loom
//! ```
//!
//! A model that never gets to the interesting moment proves nothing, so each names the outcomes
//! that its reader must have met, and meets no others. That the models are sharp enough is shown by
//! `mutations.rs`: without any one of the orderings, one of them fails.
#![allow(clippy::unwrap_used, reason = "in tests, also outside of the test functions")]
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use rondo_shm_layout::{BUSY, Directory, DistributionSlot, Read, Seqlock, SharedCell, Stamped};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

type Outcomes = Mutex<BTreeSet<&'static str>>;

/// Runs `model` in every way there is, and fails unless that showed exactly the outcomes `expected`.
fn explore(expected: &[&'static str], model: impl Fn(&Outcomes) + Send + Sync + 'static) {
    let outcomes: &Outcomes = Box::leak(Box::default());
    let mut builder = loom::model::Builder::new();
    // More forced switches show nothing new between threads that make one or two calls each, and
    // take minutes. LOOM_MAX_PREEMPTIONS says otherwise.
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || model(outcomes));
    let seen = outcomes.lock().unwrap().clone();
    assert_eq!(
        seen,
        expected.iter().copied().collect(),
        "outcomes met and expected"
    );
}

/// One writer and one reader of what `new` makes; then `check` once both are done.
///
/// The writer is the thread that loom lets run first. Loom looks for races only against the last
/// access to a word, so a reader's load would be hidden behind the load of a writer that adds; the
/// writer's stores are hidden behind nothing.
fn race<T: Send + Sync + 'static>(
    expected: &[&'static str],
    new: fn() -> T,
    writer: fn(&T),
    reader: fn(&T) -> &'static str,
    check: fn(&T),
) {
    explore(expected, move |outcomes| {
        let shared = Arc::new(new());
        let reading = thread::spawn({
            let shared = shared.clone();
            move || reader(&shared)
        });
        writer(&shared);
        outcomes.lock().unwrap().insert(reading.join().unwrap());
        check(&shared);
    });
}

fn store(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Relaxed);
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// A slot of the interval 10.
fn slot_of_ten() -> Stamped<2> {
    Stamped::new(10, [10, 10])
}

/// Two new intervals, and a store within the first.
fn fill_two_intervals(slot: &Stamped<2>) {
    slot.open(20, [20, 20]);
    store(&slot.words()[0], 21);
    slot.open(30, [30, 30]);
}

/// Whether the words were in that slot together with the stamp.
fn belong(stamp: u64, words: [u64; 2]) -> bool {
    words == [stamp, stamp] || (stamp, words) == (20, [21, 20])
}

/// The promise of the whole format: what is present is true.
#[test]
fn stamped_value_is_never_torn_nor_of_another_interval() {
    race(
        &["present", "absent", "torn"],
        slot_of_ten,
        fill_two_intervals,
        |slot| match slot.read(20) {
            Read::Present(words) if belong(20, words) => "present",
            Read::Present(words) => panic!("{words:?} in interval 20"),
            Read::Absent => "absent",
            Read::Torn => "torn",
        },
        |slot| assert_eq!(slot.read(30), Read::Present([30, 30])),
    );
}

/// The same for readers who take whatever is there; a busy stamp is nothing that is there.
#[test]
fn stamped_slot_as_found_is_never_torn() {
    race(
        &["10", "20", "30", "torn"],
        slot_of_ten,
        fill_two_intervals,
        |slot| match slot.read_any() {
            Read::Present((stamp, words)) if belong(stamp, words) => match stamp {
                10 => "10",
                20 => "20",
                _ => "30",
            },
            Read::Torn => "torn",
            other => panic!("{other:?}"),
        },
        |_| (),
    );
}

/// Who reopens a slab empties slots while readers look.
#[test]
fn stamped_slot_is_cleared_in_one_step() {
    race(
        &["present", "absent", "torn"],
        slot_of_ten,
        |slot| slot.clear(0),
        |slot| match slot.read(10) {
            Read::Present([10, 10]) => "present",
            Read::Present(words) => panic!("{words:?} in interval 10"),
            Read::Absent => "absent",
            Read::Torn => "torn",
        },
        |slot| assert_eq!(slot.read_any(), Read::Absent),
    );
}

/// A writer that died between busy and stamp: the reader gives up, believes nothing, and the next
/// writer makes the slot whole under its eyes.
#[test]
fn stamped_slot_of_a_dead_writer_is_torn_until_it_is_cleared() {
    race(
        &["absent", "torn"],
        || {
            let slot = Stamped::new(BUSY, [10, 20]);
            assert_eq!(slot.read(10), Read::Torn);
            slot
        },
        |slot| slot.clear(0),
        |slot| match slot.read_any() {
            Read::Present(found) => panic!("{found:?} after a death"),
            Read::Absent => "absent",
            Read::Torn => "torn",
        },
        |slot| assert_eq!(slot.read(10), Read::Absent),
    );
}

/// Words that only make sense together are seen together.
#[test]
fn seqlock_words_are_never_torn() {
    race(
        &["present", "torn"],
        || Seqlock::new([1, 1]),
        |lock| {
            for value in [2, 3] {
                lock.update(|words| words.iter().for_each(|word| store(word, value)));
            }
        },
        |lock| match lock.read() {
            Read::Present([left, right]) if left == right => "present",
            Read::Torn => "torn",
            other => panic!("{other:?}"),
        },
        |lock| assert_eq!(lock.read(), Read::Present([3, 3])),
    );
}

/// Repair follows the protocol, also where the lock was at rest: that is how a slot is emptied.
#[test]
fn seqlock_is_repaired_in_one_step() {
    race(
        &["old", "new", "torn"],
        || Seqlock::new([1, 1]),
        |lock| lock.repair([2, 2]),
        |lock| match lock.read() {
            Read::Present([1, 1]) => "old",
            Read::Present([2, 2]) => "new",
            Read::Torn => "torn",
            other => panic!("{other:?}"),
        },
        |lock| assert_eq!(lock.read(), Read::Present([2, 2])),
    );
}

/// A writer that dies inside leaves a value, not a spin, and the next one makes the lock whole.
#[test]
fn seqlock_of_a_dead_writer_is_torn_until_it_is_repaired() {
    race(
        &["new", "torn"],
        || {
            let lock = Seqlock::new([1, 1]);
            let killed = catch_unwind(AssertUnwindSafe(|| {
                lock.update(|words| {
                    store(&words[0], 2);
                    resume_unwind(Box::new("killed")) // a panic without its message
                });
            }));
            assert!(killed.is_err());
            assert_eq!(lock.read(), Read::Torn);
            lock
        },
        |lock| lock.repair([3, 3]),
        |lock| match lock.read() {
            Read::Present([3, 3]) => "new",
            Read::Torn => "torn",
            other => panic!("{other:?}"),
        },
        |lock| assert_eq!(lock.read(), Read::Present([3, 3])),
    );
}

/// The slot as it is in slabs: all six words are of one moment and one interval.
#[test]
fn distribution_is_never_torn_nor_of_another_interval() {
    race(
        &["present", "absent", "torn"],
        || {
            let slot = DistributionSlot::new();
            slot.open(10, (0, 0.0), 1.0, None);
            slot
        },
        |slot| slot.open(20, slot.totals(), 2.0, None),
        |slot| match slot.read(20) {
            Read::Present(words) => {
                let all = (words.count, words.sum, words.min, words.max, words.last);
                assert_eq!(all, (2, 3.0, 2.0, 2.0, 2.0));
                "present"
            }
            Read::Absent => "absent",
            Read::Torn => "torn",
        },
        |_| (),
    );
}

/// The same within an interval: a sample is seen whole or not at all.
#[test]
fn distribution_sample_is_seen_whole() {
    race(
        &["before", "after", "torn"],
        || {
            let slot = DistributionSlot::new();
            slot.open(10, (0, 0.0), 1.0, None);
            slot
        },
        |slot| slot.add(2.0, None),
        |slot| match slot.read(10) {
            Read::Present(words) => match (words.count, words.sum, words.min, words.max, words.last) {
                (1, 1.0, 1.0, 1.0, 1.0) => "before",
                (2, 3.0, 1.0, 2.0, 2.0) => "after",
                other => panic!("{other:?}"),
            },
            Read::Absent => panic!("absent within its interval"),
            Read::Torn => "torn",
        },
        |_| (),
    );
}

/// Two slots of a column and the one bucket of its samples.
struct Histogram {
    slots: [DistributionSlot; 2],
    bucket: AtomicU64,
}

/// One sample, in the first slot.
fn histogram() -> Histogram {
    let histogram = Histogram {
        slots: [DistributionSlot::new(), DistributionSlot::new()],
        bucket: AtomicU64::new(0),
    };
    histogram.slots[0].open(10, (0, 0.0), 1.0, Some(&histogram.bucket));
    histogram
}

/// Buckets lie outside of the slot. Who finds its sequence unchanged around both has them as of its count.
#[test]
fn bucket_of_a_slot_that_stood_still_is_as_of_its_count() {
    race(
        &["still", "changed"],
        histogram,
        |Histogram {
             slots: [slot, _],
             bucket,
         }| {
            slot.add(2.0, Some(bucket));
            slot.add(3.0, Some(bucket));
        },
        |Histogram {
             slots: [slot, _],
             bucket,
         }| {
            let sequence = slot.sequence();
            let (count, bucket) = (slot.totals().0, load(bucket));
            if !slot.is_still(sequence) {
                return "changed";
            }
            assert_eq!(count, bucket);
            "still"
        },
        |_| (),
    );
}

/// A later sample may go to another slot, and a sequence says nothing of that. But buckets read
/// after a slot are never behind its count: so if they add up to it, they are as of it.
#[test]
fn bucket_is_never_behind_a_count_read_before_it() {
    race(
        &["equal", "ahead", "torn"],
        histogram,
        |Histogram {
             slots: [first, second],
             bucket,
         }| {
            first.add(2.0, Some(bucket));
            second.open(20, first.totals(), 3.0, Some(bucket));
        },
        |Histogram {
             slots: [slot, _],
             bucket,
         }| {
            let sequence = slot.sequence();
            let (count, _) = slot.totals();
            if !slot.is_still(sequence) {
                return "torn";
            }
            match load(bucket).checked_sub(count) {
                Some(0) => "equal",
                Some(_) => "ahead",
                None => panic!("fewer than {count}"),
            }
        },
        |Histogram { bucket, .. }| assert_eq!(load(bucket), 3),
    );
}

/// No add is lost, whichever interval it falls into, and what the slots say never falls.
#[test]
fn shared_counter_loses_nothing_across_a_roll_over() {
    explore(&["none", "some", "all"], |outcomes| {
        let cell = Arc::new(SharedCell::new(0));
        let adders = [1, 2].map(|increment| {
            let cell = cell.clone();
            thread::spawn(move || cell.add(increment))
        });
        let slots = [slot_of_ten(), slot_of_ten()];
        slots[0].open(20, [cell.get(), 0]);
        store(&slots[0].words()[0], cell.get()); // the next tick, still in the interval
        slots[1].open(30, [cell.get(), 0]);
        let [before, after] = [slots[0].read(20), slots[1].read(30)].map(|copy| match copy {
            Read::Present([total, _]) => total,
            other => panic!("{other:?} in the thread that wrote it"),
        });
        assert!(before <= after, "fell from {before} to {after}");
        outcomes.lock().unwrap().insert(match after {
            0 => "none",
            3 => "all",
            _ => "some",
        });
        for adder in adders {
            adder.join().unwrap();
        }
        slots[0].open(40, [cell.get(), 0]);
        assert_eq!(slots[0].read(40), Read::Present([3, 0]));
    });
}

/// Registration while readers scan: what is counted is written.
#[test]
fn published_record_is_written() {
    const RECORDS: usize = 2;
    struct Table {
        records: [[AtomicU64; 2]; RECORDS],
        count: AtomicU64,
    }
    race(
        &["0", "1", "2"],
        || Table {
            records: [[0, 0]; RECORDS].map(|record| record.map(AtomicU64::new)),
            count: AtomicU64::new(0),
        },
        |table| {
            for (count, record) in (1..).zip(&table.records) {
                record.iter().for_each(|word| store(word, count));
                Directory::new(&table.count).publish(count);
            }
        },
        |table| {
            let published = Directory::new(&table.count).published() as usize;
            for (count, record) in (1..).zip(&table.records[..published]) {
                assert_eq!(record.each_ref().map(load), [count, count], "of {published}");
            }
            ["0", "1", "2"][published]
        },
        |_| (),
    );
}
