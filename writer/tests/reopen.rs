//! Going on with the slab of a machine that crashed, or refusing to, byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, SECOND, START, bus, is_locked, path, schema, simulated, skip};
use proptest::prelude::*;
use rondo_writer::{Builder, ReopenError, Writer};
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

const BUSY: u64 = u64::MAX;

/// What a kill leaves: no mark of a clean end, and no lock.
fn crash<T>(writer: Writer, handles: T) -> PathBuf {
    let path = path(&writer);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = (writer, handles);
        std::panic::resume_unwind(Box::new("a crash"));
    }));
    assert!(unwound.is_err() && !is_locked(&path));
    path
}

/// Changes a word in the file, past its mode.
fn poke(path: &Path, offset: u64, word: u64) {
    poke_bytes(path, offset, &word.to_le_bytes());
}

fn poke_bytes(path: &Path, offset: u64, bytes: &[u8]) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o440)).unwrap();
}

fn word(path: &Path, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    std::fs::File::open(path)
        .unwrap()
        .read_exact_at(&mut bytes, offset)
        .unwrap();
    u64::from_le_bytes(bytes)
}

/// A dead machine with one series of each kind, each with its newest sample at [`START`] + 2 s.
fn crashed(bus: &Path) -> PathBuf {
    let mut writer = simulated(bus).create().unwrap();
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    let mut counter = writer.counter("counter").owned().unwrap();
    let mut distribution = writer.distribution("distribution").owned().unwrap();
    let mut histogram = writer.histogram("histogram").owned().unwrap();
    let shared = writer.counter("shared").shared().unwrap();
    let held = writer.gauge("held").held().unwrap();
    let held_counter = writer.counter("held_counter").held().unwrap();
    for i in 0..3 {
        let now = START + i * SECOND;
        gauge.set_at(now, i as f64);
        counter.add_at(now, 5);
        shared.add(2);
        for sample in [1.0, 2.0] {
            distribution.record_at(now, sample);
            histogram.record_at(now, sample);
        }
        writer.record(held, i as f64, now);
        writer.record(held_counter, i as f64, now);
        writer.tick_at(now);
    }
    crash(writer, (gauge, counter, distribution, histogram, shared))
}

#[test]
fn everything_goes_on_where_it_stopped() {
    let bus = bus();
    let path = crashed(bus.path());
    let mut writer = Builder::reopen(&path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o440);
    assert!(is_locked(&path));
    let mut counter = writer.counter("counter").owned().unwrap();
    let mut distribution = writer.distribution("distribution").owned().unwrap();
    let mut histogram = writer.histogram("histogram").owned().unwrap();
    let shared = writer.counter("shared").shared().unwrap();
    let held = writer.counter("held_counter").held().unwrap();
    let now = START + 3 * SECOND;
    assert_eq!(counter.total(), 15);
    counter.add_at(now, 1);
    shared.add(1);
    distribution.record_at(now, 4.0);
    histogram.record_at(now, 4.0);
    writer.record(held, 1.0, now); // falls, from 2
    writer.record(held, 9.0, now);
    writer.tick_at(now);
    // And a series that was not there gets a place of its own.
    let mut new = writer.counter("new").help("Is new.").owned().unwrap();
    let more = writer.histogram("more").owned().unwrap();
    let new_shared = writer.counter("new_shared").shared().unwrap();
    new.add_at(now, 3);
    new_shared.add(1);
    let slab = Copy::of(&path);
    let newest: Vec<_> = [
        "counter",
        "shared",
        "distribution",
        "histogram",
        "held_counter",
        "new",
    ]
    .map(|n| slab.newest(n))
    .into();
    assert_eq!(newest, [16, 7, 7, 7, 9, 3]);
    assert_eq!(f64::from_bits(slab.slots("distribution")[&now][1]), 13.0);
    assert_eq!((slab.cell("shared"), slab.cell("new_shared")), (7, 1));
    assert_eq!(slab.slots("gauge").len(), 3, "history stays");
    slab.assert_buckets_add_up();
    assert_eq!(slab.refusals(), [0, 0, 0, 1]);
    let mut columns: Vec<_> = slab.series.iter().map(|series| series.column_offset).collect();
    columns.sort_unstable();
    columns.dedup();
    assert_eq!(columns.len(), 10);
    let live = slab.live();
    assert_eq!(
        live.writer_pid.load(Ordering::Relaxed),
        u64::from(std::process::id())
    );
    assert_eq!(
        (
            live.reopen_count.load(Ordering::Relaxed),
            live.closed_ns.load(Ordering::Relaxed)
        ),
        (1, 0)
    );
    drop((counter, distribution, histogram, shared, new, more, new_shared));
    writer.close();
    assert_eq!(
        Copy::of(&path).live().closed_ns.load(Ordering::Relaxed),
        now + SECOND
    );
}

/// After a crash or a clean end, any number of times, but by one writer at a time.
#[test]
fn a_slab_can_be_reopened_again_and_again() {
    let bus = bus();
    let path = crashed(bus.path());
    for life in 1..4u64 {
        let mut writer = Builder::reopen(&path).unwrap();
        assert!(matches!(Builder::reopen(&path), Err(ReopenError::Locked(_))));
        let mut counter = writer.counter("counter").owned().unwrap();
        let mut histogram = writer.histogram("histogram").owned().unwrap();
        counter.add_at(START + (2 + life) * SECOND, 1);
        histogram.record_at(START + (2 + life) * SECOND, 1.0);
        assert_eq!(counter.total(), 15 + life);
        if life == 2 {
            drop((counter, histogram));
            writer.close();
        } else {
            crash(writer, (counter, histogram));
        }
        let slab = Copy::of(&path);
        assert_eq!(slab.live().reopen_count.load(Ordering::Relaxed), life);
        assert_eq!(slab.live().closed_ns.load(Ordering::Relaxed) != 0, life == 2);
        assert_eq!(slab.newest("histogram"), 6 + life);
        slab.assert_buckets_add_up();
    }
}

/// A writer that died between the busy stamp and the next: a gauge's value is lost, but a total may not
/// fall, and the slot that was being opened may be all that still has it.
#[test]
fn a_torn_gauge_becomes_absent_and_a_torn_counter_keeps_its_total() {
    let bus = bus();
    let path = crashed(bus.path());
    let slab = Copy::of(&path);
    for name in ["gauge", "counter", "shared", "held", "held_counter"] {
        poke(&path, slab.slot_offset(name, START + 2 * SECOND), BUSY);
    }
    let mut writer = Builder::reopen(&path).unwrap();
    let slab = Copy::of(&path);
    let stamps = |name| slab.slots(name).into_keys().collect::<Vec<_>>();
    for name in ["gauge", "held"] {
        assert_eq!(stamps(name), [START, START + SECOND], "{name}");
    }
    for name in ["counter", "shared", "held_counter"] {
        assert_eq!(
            stamps(name),
            [START, START + SECOND, START + 2 * SECOND],
            "{name}"
        );
    }
    let counter = writer.counter("counter").owned().unwrap();
    assert_eq!(counter.total(), 15);
    // The cell was never torn.
    let _shared = writer.counter("shared").shared().unwrap();
    writer.tick_at(START + 3 * SECOND);
    assert_eq!(Copy::of(&path).newest("shared"), 6);
}

/// Every slot of a counter torn: the new life writes a new zero, so that its first increase counts.
#[test]
fn a_counter_without_a_slot_starts_over_with_a_zero() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let counter = writer.counter("counter").owned().unwrap();
    let path = crash(writer, counter);
    poke(&path, Copy::of(&path).slot_offset("counter", START), BUSY);
    let mut writer = Builder::reopen(&path).unwrap();
    let mut counter = writer.counter("counter").owned().unwrap();
    assert_eq!((counter.total(), Copy::of(&path).newest("counter")), (0, 0));
    counter.add_at(START, 2);
    assert_eq!(Copy::of(&path).newest("counter"), 2);
}

/// Where a distribution's slot was torn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Torn {
    Nowhere,
    /// Within the interval: its totals are from before or after one sample.
    Adding,
    /// While the interval was opened: its totals may be of a lap before.
    Opening,
}

fn totals_after(torn: Torn, is_bucket_ahead: bool, late: &[f64], next: &[f64]) -> (Copy, (u64, f64)) {
    let bus = bus();
    let path = crashed(bus.path());
    let slab = Copy::of(&path);
    for name in ["distribution", "histogram"] {
        let at = slab.slot_offset(name, START + 2 * SECOND);
        match torn {
            Torn::Nowhere => {}
            // Count and sum of one more sample, 5, were stored, and the rest was not.
            Torn::Adding => {
                poke(&path, at + 16, 7);
                poke(&path, at + 24, 14f64.to_bits());
            }
            Torn::Opening => {
                poke(&path, at + 8, BUSY);
                poke(&path, at + 16, 1_000_000);
            }
        }
        if torn != Torn::Nowhere {
            poke(&path, at, word(&path, at) + 1);
        }
    }
    if is_bucket_ahead {
        let at = slab.find("histogram").buckets.unwrap().offset + 5 * 8;
        poke(&path, at, word(&path, at) + 1);
    }
    let mut writer = Builder::reopen(&path).unwrap();
    let mut distribution = writer.distribution("distribution").owned().unwrap();
    let mut histogram = writer.histogram("histogram").owned().unwrap();
    for (at, samples) in [(START + SECOND, late), (START + 3 * SECOND, next)] {
        for &sample in samples {
            distribution.record_at(at, sample);
            histogram.record_at(at, sample);
        }
    }
    let slab = Copy::of(&path);
    let newest = slab.slots("distribution").pop_last().unwrap().1;
    (slab, (newest[0], f64::from_bits(newest[1])))
}

#[test]
fn a_distribution_goes_on_from_the_totals_that_are_whole() {
    let (_, totals) = totals_after(Torn::Nowhere, false, &[], &[8.0]);
    assert_eq!(totals, (7, 17.0));
    let (slab, totals) = totals_after(Torn::Adding, true, &[], &[8.0]);
    assert_eq!(totals, (8, 22.0), "the torn slot's own");
    assert!(
        !slab.slots("distribution").contains_key(&(START + 2 * SECOND)),
        "absent from now on"
    );
    let (_, totals) = totals_after(Torn::Opening, true, &[], &[8.0]);
    assert_eq!(totals, (5, 14.0), "the newest whole slot's");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was torn, a histogram's buckets add up to its count again, late samples included.
    #[test]
    fn the_buckets_of_a_reopened_histogram_add_up(
        torn in prop::sample::select(vec![Torn::Nowhere, Torn::Adding, Torn::Opening]),
        is_bucket_ahead in any::<bool>(),
        late in prop::collection::vec(0.0..9.0f64, 0..3),
        next in prop::collection::vec(0.0..9.0f64, 1..4),
    ) {
        // The buckets of a slot that says nothing of its own cannot be behind it.
        let is_bucket_ahead = is_bucket_ahead && torn != Torn::Nowhere;
        let (slab, _) = totals_after(torn, is_bucket_ahead, &late, &next);
        slab.assert_buckets_add_up();
        // Late for the interval that is there, and in time where that one was torn.
        let taken = if torn == Torn::Nowhere { 0 } else { late.len() };
        let expected = 6 + u64::from(is_bucket_ahead) + (taken + next.len()) as u64;
        prop_assert_eq!(slab.newest("histogram"), expected);
    }
}

/// The shared hint of held series must know of slots from before: a late sample would go into an older
/// interval of a series that is ahead.
#[test]
fn a_late_sample_does_not_change_an_older_interval_of_a_reopened_held_series() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let [behind, ahead] = ["behind", "ahead"].map(|name| writer.gauge(name).held().unwrap());
    writer.record(behind, 1.0, START);
    for i in 0..4 {
        writer.record(ahead, 1.0, START + i * SECOND);
    }
    let path = crash(writer, ());
    let mut writer = Builder::reopen(&path).unwrap();
    let before = Copy::of(&path).slots("ahead");
    let [behind, ahead] = ["behind", "ahead"].map(|name| writer.gauge(name).held().unwrap());
    writer.record(behind, 2.0, START + SECOND);
    writer.record(ahead, 2.0, START + SECOND);
    let slab = Copy::of(&path);
    assert_eq!(slab.slots("ahead"), before);
    assert_eq!(slab.newest("behind"), 2f64.to_bits());
    assert_eq!(slab.refusals(), [0, 1, 0, 0]);
}

/// A stamp that cannot be would otherwise be a series' newest for ever, and refuse all that comes.
#[test]
fn stamps_that_cannot_be_count_as_never_written() {
    let bus = bus();
    let path = crashed(bus.path());
    let slab = Copy::of(&path);
    for (name, at) in [("gauge", 0), ("counter", 0), ("distribution", 8)] {
        for (stamp, wrong) in [
            (START, START + 1),
            (START + SECOND, 1 << 63 | 1 << 9),
            (START + 5 * SECOND, START),
        ] {
            poke(&path, slab.slot_offset(name, stamp) + at, wrong);
        }
    }
    let mut writer = Builder::reopen(&path).unwrap();
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    gauge.set_at(START + 3 * SECOND, 7.0);
    let slab = Copy::of(&path);
    for name in ["counter", "distribution"] {
        assert_eq!(
            slab.slots(name).into_keys().collect::<Vec<_>>(),
            [START + 2 * SECOND]
        );
    }
    assert_eq!(slab.newest("gauge"), 7f64.to_bits());
}

/// Reopens, which is refused, and nothing about the file may have changed.
fn refused(path: &Path) -> ReopenError {
    let look = || {
        let stat = path.symlink_metadata().unwrap();
        (std::fs::read(path).unwrap(), stat.mode(), stat.ino(), stat.len())
    };
    let before = look();
    let error = match Builder::reopen(path) {
        Ok(_) => panic!("{} was reopened", path.display()),
        Err(error) => error,
    };
    assert!(look() == before, "{error}, but the file changed");
    error
}

#[test]
fn a_living_slab_is_not_reopened() {
    let bus = bus();
    let writer = simulated(bus.path()).create().unwrap();
    let error = refused(&path(&writer));
    assert!(matches!(error, ReopenError::Locked(_)), "{error}");
    assert!(error.to_string().ends_with("is locked by a living writer"));
}

/// CLOCK_MONOTONIC starts over with each boot, and so would the slab's time.
#[test]
fn a_slab_of_another_boot_is_not_reopened() {
    let bus = bus();
    let mut writer = Writer::builder("vm-1")
        .bus(bus.path())
        .schema(schema(8))
        .create()
        .unwrap();
    let gauge = writer.gauge("gauge").owned().unwrap();
    let path = crash(writer, gauge);
    let slab = Copy::of(&path);
    let boot_id = slab
        .layout
        .section(rondo_shm_layout::SectionKind::Identity)
        .offset
        + 16;
    poke(&path, boot_id, word(&path, boot_id) ^ 1);
    let error = refused(&path);
    assert!(matches!(error, ReopenError::OtherBoot(_)), "{error}");
    poke(&path, boot_id, word(&path, boot_id) ^ 1);
    let mut writer = Builder::reopen(&path).unwrap();
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    gauge.set(1.0);
    writer.tick();
    assert_eq!(Copy::of(&path).newest("gauge"), 1f64.to_bits());
}

#[test]
fn a_slab_of_another_user_is_not_reopened() {
    if !nix::unistd::Uid::effective().is_root() {
        return skip(
            "a_slab_of_another_user_is_not_reopened",
            "not root, so it cannot give a file away",
        );
    }
    let bus = bus();
    let path = crashed(bus.path());
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let error = refused(&path);
    assert!(
        matches!(
            error,
            ReopenError::OtherUser {
                owner: 65_534,
                uid: 0,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_is_no_slab_is_not_reopened() {
    let bus = bus();
    let at = |name: &str| bus.path().join(name);
    let error = refused_to_open(&at("missing"));
    assert!(error.to_string().starts_with("cannot open"), "{error}");
    std::fs::create_dir(at("directory")).unwrap();
    assert!(matches!(
        refused_to_open(&at("directory")),
        ReopenError::Invalid { .. }
    ));
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(
        refused_to_open(&at("fifo")),
        ReopenError::Invalid { .. }
    ));
    let path = crashed(bus.path());
    std::os::unix::fs::symlink(&path, at("link")).unwrap();
    assert!(matches!(refused_to_open(&at("link")), ReopenError::System { .. }));
    std::fs::write(at("short"), [0; 100]).unwrap();
    let sparse = std::fs::File::create(at("sparse")).unwrap();
    sparse.set_len(1 << 16).unwrap();
    for (name, rule) in [("short", "file-size"), ("sparse", "file-sparse")] {
        let ReopenError::Invalid { source, .. } = refused_to_open(&at(name)) else {
            panic!("{name}")
        };
        assert!(source.to_string().contains(rule), "{source}");
    }
}

fn refused_to_open(path: &Path) -> ReopenError {
    match Builder::reopen(path) {
        Ok(_) => panic!("{} was reopened", path.display()),
        Err(error) => error,
    }
}

/// A slab is a stranger's file, whoever owns it: each of these would make two handles write one place,
/// or none know what a slot means.
#[test]
fn a_slab_that_breaks_a_rule_is_not_reopened() {
    let bus = bus();
    let path = crashed(bus.path());
    let slab = Copy::of(&path);
    let descriptors = slab.layout.section(rondo_shm_layout::SectionKind::Series);
    let descriptor = |index| descriptors.record_offset(index).unwrap();
    let index = |name: &str| u64::from(slab.find(name).index);
    let copied = |from: u64, to: u64, length: usize| {
        let mut bytes = vec![0; length];
        std::fs::File::open(&path)
            .unwrap()
            .read_exact_at(&mut bytes, from)
            .unwrap();
        (to, bytes)
    };
    let (gauge, counter) = (descriptor(index("gauge")), descriptor(index("counter")));
    let (held, histogram) = (descriptor(index("held")), descriptor(index("histogram")));
    let cases: Vec<(&str, (u64, Vec<u8>))> = vec![
        ("magic", (0, b"RONDOSLC".to_vec())),
        ("version", (8, vec![2, 0])),
        ("incompat", (32, vec![1, 0, 0, 0])),
        ("schema-hash", (16, vec![0; 8])),
        (
            "series-count",
            (slab.live_offset() + 128, 65_537u64.to_le_bytes().to_vec()),
        ),
        ("series-name", copied(gauge + 64, gauge + 32, 16)),
        ("series-place", (counter + 8, vec![1; 8])),
        // One column for two series, and one name and labels, of one kind or two.
        ("column-shared", copied(gauge + 8, counter + 8, 8)),
        ("series-unique", copied(gauge + 32, held + 32, 16)),
        ("series-unique", copied(gauge + 32, counter + 32, 16)),
        ("series-place", (histogram + 112, vec![0; 4])),
    ];
    for (rule, (at, bytes)) in cases {
        let (_, before) = copied(at, at, bytes.len());
        poke_bytes(&path, at, &bytes);
        let error = refused(&path);
        let ReopenError::Invalid { source, .. } = &error else {
            panic!("{rule}: {error}")
        };
        assert!(source.to_string().contains(rule), "{source} instead of {rule}");
        poke_bytes(&path, at, &before);
    }
    // A later version's slab can be read, but not gone on with.
    for (at, byte) in [(10, 1), (36, 1), (gauge, 9)] {
        let (_, before) = copied(at, at, 1);
        poke_bytes(&path, at, &[byte]);
        let error = refused(&path);
        assert!(matches!(error, ReopenError::Newer(_)), "{at}: {error}");
        poke_bytes(&path, at, &before);
    }
    Builder::reopen(&path).unwrap().close();
}

/// Two files that take turns at one path, as when an operator moves slabs about: never may a writer go
/// on with a file that readers no longer find.
#[test]
fn a_slab_that_is_replaced_meanwhile_is_not_reopened() {
    let bus = bus();
    let path = crashed(bus.path());
    let aside = bus.path().join("aside");
    std::fs::copy(&path, &aside).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let replaced = std::thread::scope(|scope| {
        scope.spawn(|| {
            use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
            while !stop.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &aside, AT_FDCWD, &path, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        let start = std::time::Instant::now();
        let mut replaced = 0;
        while replaced < 10 && start.elapsed() < Duration::from_secs(5) {
            match Builder::reopen(&path) {
                Ok(writer) => drop(writer),
                Err(ReopenError::Replaced(_)) => replaced += 1,
                // Opened twice, on the way past the mode: the second may be the other file, or closed.
                Err(ReopenError::System { .. } | ReopenError::Locked(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        replaced
    });
    assert!(replaced > 0, "the files took turns");
}
