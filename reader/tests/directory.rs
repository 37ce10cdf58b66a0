//! What a bus lets in: names, limits, owners; and how writers' lives end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Raw;
use rondo_reader::{Bus, Error, Limits, Liveness, Rule, Slab};
use rondo_shm_layout::SectionKind;
use std::path::Path;

fn limits() -> Limits {
    Limits::default()
}

fn instances(bus: &Bus) -> Vec<&str> {
    bus.slabs()
        .map(|slab| slab.identity().instance.as_str())
        .collect()
}

#[test]
fn only_files_with_the_name_of_their_identity_are_let_in() {
    let bus = common::bus();
    let path = common::sample(bus.path());
    for name in ["other.slab", ".hidden.slab", "vm-1.vmm.slab.tmp"] {
        std::fs::copy(&path, bus.path().join(name)).unwrap();
    }
    let found = Bus::open(bus.path(), &limits()).unwrap();
    assert_eq!(instances(&found), ["vm-1"]);
    assert_eq!(
        found.refused_count(),
        1,
        "dot files and other names are not looked at"
    );
    assert!(found.refused()[0].path.ends_with("other.slab"));
    assert_eq!(found.refused()[0].error.rule(), Some(Rule::FileName));
    assert!(
        Slab::open(bus.path().join("other.slab"), &limits()).is_ok(),
        "by its path it may have any name"
    );
}

#[test]
fn slabs_come_and_go_with_their_files() {
    let bus = common::bus();
    let mut found = Bus::open(bus.path(), &limits()).unwrap();
    let first = common::writer(bus.path(), "a", 8);
    let second = common::writer(bus.path(), "b", 8);
    assert_eq!(found.rescan().unwrap().added.len(), 2);
    assert!(found.rescan().unwrap().added.is_empty());
    std::fs::remove_file(common::path(&first)).unwrap();
    let changes = found.rescan().unwrap();
    assert_eq!((changes.removed.len(), instances(&found)), (1, vec!["b"]));
    assert!(changes.removed[0].view().is_ok(), "it can still be read");

    // Another file under the same name is another slab.
    let path = common::path(&second);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    common::file(&path, &bytes);
    let changes = found.rescan().unwrap();
    assert_eq!((changes.added.len(), changes.removed.len()), (1, 1));
    assert_eq!(found.find("b").count(), 1);
}

#[test]
fn a_bus_that_is_not_there_is_an_error_that_says_what_to_do() {
    let error = Bus::open("/nonexistent/rondo", &limits()).unwrap_err();
    assert!(
        matches!(error, Error::BusMissing(_)) && error.to_string().contains("RONDO_BUS"),
        "{error}"
    );
}

#[test]
fn a_user_gets_as_many_slabs_bytes_and_series_as_the_limits_say() {
    let bus = common::bus();
    let writers: Vec<_> = (0..5)
        .map(|i| common::writer(bus.path(), &format!("vm-{i}"), 8))
        .collect();
    let size = std::fs::metadata(common::path(&writers[0])).unwrap().len();
    for (limits, what) in [
        (
            Limits {
                slabs_per_uid_max: 3,
                ..limits()
            },
            "slabs",
        ),
        (
            Limits {
                bytes_per_uid_max: 4 * size - 1,
                ..limits()
            },
            "bytes",
        ),
        (
            Limits {
                series_per_uid_max: 3 * 12 + 11,
                ..limits()
            },
            "series",
        ),
    ] {
        let mut found = Bus::open(bus.path(), &limits).unwrap();
        assert_eq!(found.slabs().len(), 3, "{what}");
        assert_eq!(found.refused_count(), 2, "{what}");
        let reason = found.refused()[0].error.to_string();
        assert!(reason.contains(&format!("{what} on the bus")), "{reason}");
        // As room becomes free, others are let in.
        let gone = found.slabs().next().unwrap().path().to_owned();
        let bytes = std::fs::read(&gone).unwrap();
        std::fs::remove_file(&gone).unwrap();
        found.rescan().unwrap();
        assert_eq!((found.slabs().len(), found.refused_count()), (3, 1), "{what}");
        common::file(&gone, &bytes);
    }
}

/// Otherwise a million files of junk would be opened at every scan.
#[test]
fn junk_counts_for_the_limit_of_its_owner() {
    let bus = common::bus();
    for i in 0..9 {
        std::fs::write(bus.path().join(format!("{i}.slab")), "junk").unwrap();
    }
    let found = Bus::open(
        bus.path(),
        &Limits {
            slabs_per_uid_max: 5,
            ..limits()
        },
    )
    .unwrap();
    let opened = found
        .refused()
        .iter()
        .filter(|refused| refused.error.rule().is_some())
        .count();
    assert_eq!((opened, found.refused_count()), (5, 9));
}

/// Gives a file to another user; false where that is not allowed.
fn give(path: &Path, uid: u32) -> bool {
    nix::unistd::chown(path, Some(nix::unistd::Uid::from_raw(uid)), None).is_ok()
}

/// Otherwise anyone could add series to the machine of another.
#[test]
fn an_instance_belongs_to_the_user_who_had_it_first() {
    let bus = common::bus();
    let first = common::writer(bus.path(), "vm-1", 8);
    let mut found = Bus::open(bus.path(), &limits()).unwrap();
    // The file system's clock moves with the kernel's tick.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let second = common::writer(bus.path(), "vm-1", 8);
    if !give(&common::path(&second), 12_345) {
        return; // needs root
    }
    found.rescan().unwrap();
    assert_eq!(found.slabs().len(), 1);
    let refused = &found.refused()[0].error;
    assert!(
        matches!(refused, Error::NameTaken { uid: 12_345, .. }),
        "{refused}"
    );
    // Also for those who come later and find both.
    let fresh = Bus::open_instance(bus.path(), "vm-1", &limits()).unwrap();
    assert_eq!(fresh.find("vm-1").next().unwrap().path(), common::path(&first));
    // Until the first one is gone.
    std::fs::remove_file(common::path(&first)).unwrap();
    found.rescan().unwrap();
    assert_eq!(found.slabs().next().unwrap().owner_uid(), 12_345);
}

#[test]
fn one_instance_is_found_without_looking_at_the_others() {
    let bus = common::bus();
    let _writers = ["a", "a.b", "ab"].map(|name| common::writer(bus.path(), name, 8));
    std::fs::write(bus.path().join("junk.slab"), "junk").unwrap();
    let found = Bus::open_instance(bus.path(), "a", &limits()).unwrap();
    assert_eq!(found.refused_count(), 0);
    assert_eq!(found.find("a").count(), 1);
    assert!(found.find("ab").next().is_none());
}

#[test]
fn lives_end_closed_or_dead() {
    let bus = common::bus();
    let writer = common::writer(bus.path(), "vm-1", 8);
    let path = common::path(&writer);
    let slab = common::open(&path);
    assert_eq!(slab.liveness().unwrap(), Liveness::Live);
    // A copy of a slab that was not closed has no lock: as if its writer had been killed.
    let mut raw = Raw(std::fs::read(&path).unwrap());
    let copy = bus.path().join("copy.slab");
    common::file(&copy, &raw.0);
    assert_eq!(common::open(&copy).liveness().unwrap(), Liveness::Dead);
    writer.close();
    assert_eq!(slab.liveness().unwrap(), Liveness::Closed);

    // Another boot changes nothing about a slab that was closed, but its clock tells nothing any more.
    raw = Raw(std::fs::read(&path).unwrap());
    let identity = slab.layout().section(SectionKind::Identity).offset;
    raw.put(identity + 16, &[7; 16]);
    let _ = std::fs::remove_file(&copy);
    common::file(&copy, &raw.0);
    let other = common::open(&copy);
    assert_eq!(other.liveness().unwrap(), Liveness::Closed);
    assert_eq!(other.view().unwrap().clock_offset_ns, 0);
}
