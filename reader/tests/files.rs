//! What is not a slab is refused by name, at once, whatever it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use rondo_reader::{Error, Limits, Rule, Slab};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn rule_of(path: &Path) -> Option<Rule> {
    Slab::open(path, &Limits::default())
        .err()
        .and_then(|error| error.rule())
}

/// Opening a pipe would wait for its other end, and a link would lead out of the bus.
#[test]
fn neither_links_nor_pipes_nor_directories_nor_sockets_are_slabs() {
    let bus = common::bus();
    let good = common::sample(bus.path());
    let at = |name: &str| bus.path().join(name);
    std::os::unix::fs::symlink(&good, at("link.slab")).unwrap();
    nix::unistd::mkfifo(&at("pipe.slab"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(at("directory.slab")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.slab")).unwrap();
    for name in ["link.slab", "pipe.slab", "directory.slab", "socket.slab"] {
        assert_eq!(rule_of(&at(name)), Some(Rule::FileType), "{name}");
    }
    assert_eq!(rule_of(Path::new("/dev/null")), Some(Rule::FileType));
    assert_eq!(rule_of(&good), None);
}

#[test]
fn sizes_out_of_bounds_and_holes_are_refused() {
    let bus = common::bus();
    let path = bus.path().join("x.slab");
    for (bytes, rule) in [(0, Rule::FileSize), (4095, Rule::FileSize), (4096, Rule::Magic)] {
        common::file(&path, &vec![0; bytes]);
        assert_eq!(rule_of(&path), Some(rule), "{bytes} bytes");
    }
    let bytes = common::sample_bytes();
    common::file(&path, &bytes);
    let limits = Limits {
        slab_bytes_max: bytes.len() as u64 - 1,
        ..Limits::default()
    };
    assert_eq!(
        Slab::open(&path, &limits).unwrap_err().rule(),
        Some(Rule::FileSize)
    );

    // The same bytes, but for a page that was never written: it reads as zeros as well.
    let hole = bus.path().join("hole.slab");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&hole)
        .unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(&bytes[..bytes.len() - 8192], 0).unwrap();
    assert_eq!(rule_of(&hole), Some(Rule::FileSparse));
    File::create(&path).unwrap().set_len(1 << 50).unwrap();
    assert_eq!(rule_of(&path), Some(Rule::FileSize));
}

#[test]
fn what_is_not_there_says_so() {
    let error = Slab::open("/nonexistent.slab", &Limits::default()).unwrap_err();
    assert!(
        matches!(error, Error::NotFound(_)) && error.to_string().contains("rondo ls"),
        "{error}"
    );
}

/// A reader that runs out of descriptors must not take that for a bad slab.
#[test]
fn a_slab_gives_its_descriptor_and_its_mapping_back() {
    let bus = common::bus();
    let path = common::sample(bus.path());
    let count = |what: &str| {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .matches(what)
            .count()
    };
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    for _ in 0..3_000 {
        assert_eq!(common::open(&path).series().len(), 5);
    }
    assert_eq!(count(&name), 0);
}
