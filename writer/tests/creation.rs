//! Making slabs where that cannot work: a clear error, and a directory as it was before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, START, bus, child, is_locked, listing, path, schema, simulated, skip, told};
use nix::sys::stat::Mode;
use nix::unistd::Uid;
use rondo_writer::{CreateError, SchemaConfig, TierConfig, Warning, Writer};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NOBODY: u32 = 65_534;

fn error(made: Result<Writer, CreateError>) -> CreateError {
    match made {
        Ok(writer) => panic!("made {:?}", writer.paths().collect::<Vec<_>>()),
        Err(error) => error,
    }
}

/// A slab in all its glory: locked, readable for the group, complete, and the only file there.
#[test]
fn a_new_slab_is_whole_locked_and_read_only() {
    let bus = bus();
    let writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
    let path = path(&writer);
    assert_eq!(listing(bus.path()), [path.file_name().unwrap().to_str().unwrap()]);
    let stat = path.metadata().unwrap();
    assert_eq!(stat.mode() & 0o7777, 0o440);
    assert!(stat.blocks() * 512 >= stat.len(), "no holes");
    assert!(is_locked(&path));
    let slab = Copy::of(&path);
    let identity = &slab.layout.identity;
    assert_eq!(
        (identity.pid, identity.uid),
        (std::process::id(), nix::unistd::geteuid().as_raw())
    );
    assert_eq!(identity.file_name(), path.file_name().unwrap().to_str().unwrap());
    assert_eq!(slab.refusals(), [0; 4]);
}

#[test]
fn a_bus_that_is_missing_or_no_directory_is_named() {
    let bus = bus();
    let missing = bus.path().join("missing");
    let failed = error(Writer::builder("vm-1").bus(&missing).create());
    assert!(matches!(&failed, CreateError::BusMissing(path) if *path == missing));
    assert!(
        failed.to_string().contains("does not exist; create it"),
        "{failed}"
    );
    let file = bus.path().join("file");
    File::create(&file).unwrap();
    let failed = error(Writer::builder("vm-1").bus(&file).create());
    assert!(
        failed.to_string().starts_with("cannot open bus directory"),
        "{failed}"
    );
    assert_eq!(listing(bus.path()), ["file"]);
}

#[test]
fn the_environment_names_the_bus() {
    const NAME: &str = "the_environment_names_the_bus";
    if told().is_some() {
        Writer::builder("vm-1").create().unwrap().close();
        return;
    }
    let bus = bus();
    assert!(
        child(NAME, "go")
            .env("RONDO_BUS", bus.path())
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(listing(bus.path())[0].starts_with("vm-1.vmm."));
}

#[test]
fn names_labels_and_schemas_that_cannot_be_are_refused() {
    let bus = bus();
    for name in ["", ".vm", "a/b", "a b", "é", &"x".repeat(129)] {
        let failed = error(Writer::builder(name).bus(bus.path()).create());
        assert!(matches!(failed, CreateError::InstanceName(_)), "{failed}");
    }
    for (name, value) in [("job", "x"), ("a-b", "x"), ("a", ""), ("a", "\u{7f}")] {
        let failed = error(
            Writer::builder("vm-1")
                .label(name, value)
                .bus(bus.path())
                .create(),
        );
        assert!(matches!(failed, CreateError::Label(_)), "{failed}");
    }
    let tier = |ns, slots| TierConfig::new(Duration::from_nanos(ns), slots);
    let tiers = |tiers: &[TierConfig]| schema(8).tiers(tiers);
    let named = |name: &str| SchemaConfig {
        name: name.into(),
        ..schema(8)
    };
    let second = 1_000_000_000;
    let eight: Vec<_> = (0..8).map(|i| tier(second << i, 2)).collect();
    let nine: Vec<_> = (0..9).map(|i| tier(second << i, 2)).collect();
    let impossible = [
        named(""),
        named("a.b"),
        named(&"x".repeat(33)),
        tiers(&[]),
        tiers(&nine),
        tiers(&[tier(999_999, 10)]),
        tiers(&[tier(86_400 * second + 1, 10)]),
        tiers(&[tier(second, 1)]),
        tiers(&[tier(second, (1 << 20) + 1)]),
        tiers(&[tier(second, u64::MAX)]),
        tiers(&[tier(second, 10), tier(second * 3 / 2, 10)]),
        tiers(&[tier(second, 10), tier(second, 10)]),
        tiers(&[tier(second, 10), tier(2 * second, 0)]),
        tiers(&[TierConfig::new(Duration::MAX, 10)]),
        schema(8).capacity(0, 0),
        schema(8).capacity(65_536, 1),
        schema(8).capacity(u32::MAX, u32::MAX),
        SchemaConfig {
            strings_max: u32::MAX,
            ..schema(8)
        },
        SchemaConfig {
            strings_max: u32::MAX - 7,
            ..schema(8)
        },
    ];
    for schema in impossible {
        let text = format!("{schema:?}");
        let failed = error(Writer::builder("vm-1").schema(schema).bus(bus.path()).create());
        assert!(matches!(failed, CreateError::Schema { .. }), "{failed} of {text}");
    }
    let twice = Writer::builder("vm-1")
        .schema(schema(8))
        .schema(schema(9))
        .bus(bus.path());
    assert!(error(twice.create()).to_string().contains("given twice"));
    for start in [0, START / 1_000 - 1, 1 << 63] {
        let failed = error(simulated(bus.path()).simulated_time(start).create());
        assert!(failed.to_string().contains("simulated time starts"), "{failed}");
    }
    assert!(listing(bus.path()).is_empty());
    assert!(
        Writer::builder("vm-1")
            .schema(tiers(&eight))
            .bus(bus.path())
            .create()
            .is_ok()
    );
    assert!(
        Writer::builder(&"x".repeat(128))
            .schema(named(&"y".repeat(32)))
            .bus(bus.path())
            .create()
            .is_ok()
    );
}

/// Neither a living slab nor that of a dead machine is ever overwritten, and the slabs of schemas that
/// were made before the one that failed go again, also where the path is for messages only.
#[test]
fn a_slab_that_is_there_is_not_replaced() {
    let bus = bus();
    let other = SchemaConfig {
        name: "other".into(),
        ..schema(8)
    };
    let first = simulated(bus.path()).incarnation([1; 16]).create().unwrap();
    let before = (listing(bus.path()), std::fs::read(path(&first)).unwrap());
    let builder = || {
        Writer::builder("vm-1")
            .incarnation([1; 16])
            .schema(other.clone())
            .schema(schema(8))
    };
    let failed = error(builder().bus(bus.path()).create());
    assert!(
        matches!(&failed, CreateError::Exists(there) if *there == path(&first)),
        "{failed}"
    );
    let directory = File::open(bus.path()).unwrap();
    let failed = error(builder().create_in(directory.as_fd(), Path::new("/in/the/jail")));
    assert!(
        failed.to_string().starts_with("/in/the/jail/vm-1.vmm."),
        "{failed}"
    );
    assert_eq!(
        (listing(bus.path()), std::fs::read(path(&first)).unwrap()),
        before
    );
    assert!(is_locked(&path(&first)));

    let part = simulated(bus.path())
        .incarnation(first.incarnation())
        .part(1)
        .create()
        .unwrap();
    assert_eq!(Copy::of(path(&part)).layout.identity.part, 1);
}

#[test]
fn a_slab_can_be_made_in_an_open_directory() {
    let bus = bus();
    let directory = File::open(bus.path()).unwrap();
    let mut writer = Writer::builder("vm-1")
        .create_in(directory.as_fd(), Path::new("/jail/bus"))
        .unwrap();
    drop(directory);
    let found = listing(bus.path());
    assert_eq!(path(&writer), Path::new("/jail/bus").join(&found[0]));
    assert!(writer.gauge("g").owned().is_ok());
    assert_eq!(Copy::of(bus.path().join(&found[0])).series.len(), 1);
    assert!(is_locked(&bus.path().join(&found[0])));
}

fn read_write(path: &Path) -> OwnedFd {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap()
        .into()
}

/// For a jailed VMM that has a descriptor and nothing else.
#[test]
fn a_slab_can_be_made_in_an_open_empty_file_and_in_nothing_else() {
    let bus = bus();
    let at = |name: &str| bus.path().join(name);
    let make = |fd: OwnedFd| Writer::builder("vm-1").schema(schema(8)).create_on(fd);

    let mut writer = make(read_write(&at("good"))).unwrap();
    assert!(writer.gauge("g").owned().is_ok() && writer.paths().count() == 0);
    assert_eq!(Copy::of(at("good")).series.len(), 1);
    assert!(is_locked(&at("good")));
    writer.close();
    assert!(!is_locked(&at("good")));

    std::fs::write(at("full"), "x").unwrap();
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    File::create(at("read")).unwrap();
    let not_empty = [
        make(read_write(&at("full"))),
        make(read_write(&at("fifo"))),
        make(File::open(bus.path()).unwrap().into()),
        make(File::open(at("read")).unwrap().into()),
        make(File::create(at("write")).unwrap().into()),
        make(File::open("/dev/null").unwrap().into()),
    ];
    for made in not_empty {
        let failed = error(made);
        assert!(matches!(failed, CreateError::NotAnEmptyFile), "{failed}");
    }
    let two = Writer::builder("vm-1")
        .schema(schema(8))
        .schema(SchemaConfig::new("b"));
    assert!(matches!(
        error(two.create_on(read_write(&at("two")))),
        CreateError::OneSchema(2)
    ));

    // Another writer was given the same file and is about to fill it: it must stay of its size.
    let other = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(at("locked"))
        .unwrap();
    let held = make(read_write(&at("held"))).unwrap();
    assert!(matches!(
        error(make(read_write(&at("held")))),
        CreateError::Locked(_) | CreateError::NotAnEmptyFile
    ));
    lock(&other);
    assert!(matches!(
        error(make(read_write(&at("locked")))),
        CreateError::Locked(_)
    ));
    for (name, size) in [("full", 1), ("read", 0), ("write", 0), ("two", 0), ("locked", 0)] {
        assert_eq!(at(name).metadata().unwrap().len(), size, "{name}");
    }
    drop(held);
}

fn lock(file: &File) {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
}

/// A record may wait for the page cache of a disk there, which is worth a line in the log.
#[test]
fn a_bus_that_is_not_in_memory_is_worth_a_warning() {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    let (memory, disk) = (bus(), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let is_tmpfs = |path: &Path| statfs(path).unwrap().filesystem_type() == TMPFS_MAGIC;
    if is_tmpfs(disk.path()) || !is_tmpfs(memory.path()) {
        return skip(
            "a_bus_that_is_not_in_memory_is_worth_a_warning",
            "needs a tmpfs and a disk",
        );
    }
    let two = |bus: &Path| {
        let second = SchemaConfig {
            name: "second".into(),
            ..schema(8)
        };
        Writer::builder("vm-1")
            .schema(schema(8))
            .schema(second)
            .bus(bus)
            .create()
            .unwrap()
    };
    assert_eq!(two(memory.path()).warnings(), []);
    let writer = two(disk.path());
    assert_eq!(writer.warnings(), [Warning::NotTmpfs(disk.path().into())]);
    assert!(writer.warnings()[0].to_string().contains("is not on a tmpfs"));
}

#[test]
fn a_slab_that_readers_will_not_take_is_worth_a_warning() {
    let bus = bus();
    let large = schema(1 << 16).capacity(17, 0);
    let writer = Writer::builder("vm-1")
        .bus(bus.path())
        .schema(large)
        .create()
        .unwrap();
    let size = path(&writer).metadata().unwrap().len();
    assert!(
        writer
            .warnings()
            .contains(&Warning::Large(bus.path().into(), size))
    );
    assert!(
        writer
            .warnings()
            .iter()
            .any(|warning| warning.to_string().contains("readers take 16 MiB"))
    );
}

/// Runs the test `name` again as a user without rights; false if this one may not.
fn as_nobody(name: &str, bus: &Path) -> bool {
    if !Uid::effective().is_root() {
        skip(name, "not root, so it cannot become another user");
        return false;
    }
    let output = child(name, bus.to_str().unwrap()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    true
}

#[test]
fn a_bus_that_may_not_be_written_is_named_with_who_asked() {
    const NAME: &str = "a_bus_that_may_not_be_written_is_named_with_who_asked";
    if let Some(bus) = told() {
        nix::unistd::setuid(NOBODY.into()).unwrap();
        for at in [Path::new(&bus).to_owned(), Path::new(&bus).join("inside")] {
            let failed = error(Writer::builder("vm-1").bus(&at).create());
            let CreateError::BusNotWritable { path, uid } = failed else {
                panic!("{failed}")
            };
            assert_eq!((path, uid), (at, NOBODY));
        }
        return;
    }
    let bus = bus();
    std::fs::create_dir(bus.path().join("inside")).unwrap();
    std::fs::set_permissions(bus.path(), PermissionsExt::from_mode(0o744)).unwrap();
    if as_nobody(NAME, bus.path()) {
        assert_eq!(listing(bus.path()), ["inside"]);
        assert!(listing(&bus.path().join("inside")).is_empty());
    }
}

/// A bus where machines cannot see one another, and a file that belongs to who made the jail.
#[test]
fn writing_is_enough_neither_listing_nor_owning_is_needed() {
    const NAME: &str = "writing_is_enough_neither_listing_nor_owning_is_needed";
    if let Some(bus) = told() {
        nix::unistd::setuid(NOBODY.into()).unwrap();
        std::fs::read_dir(&bus).unwrap_err();
        Writer::builder("vm-1").bus(&bus).create().unwrap().close();
        let given = read_write(&Path::new(&bus).join("given"));
        Writer::builder("vm-2").create_on(given).unwrap().close();
        return;
    }
    let bus = bus();
    let given = bus.path().join("given");
    File::create(&given).unwrap();
    std::fs::set_permissions(&given, PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::set_permissions(bus.path(), PermissionsExt::from_mode(0o733)).unwrap();
    if as_nobody(NAME, bus.path()) {
        assert_eq!(Copy::of(&given).layout.identity.uid, NOBODY);
        assert_eq!(
            given.metadata().unwrap().mode() & 0o777,
            0o666,
            "its owner's to set"
        );
        let slab = listing(bus.path())
            .into_iter()
            .find(|name| name.ends_with(".slab"))
            .unwrap();
        assert_eq!(bus.path().join(slab).metadata().unwrap().mode() & 0o777, 0o440);
    }
}

/// Where `ftruncate` would do, the VMM would die of SIGBUS at its first record.
#[test]
fn a_full_bus_is_an_error_now_and_not_a_signal_later() {
    const NAME: &str = "a_full_bus_is_an_error_now_and_not_a_signal_later";
    if let Some(bus) = told() {
        let bus = Path::new(&bus);
        // 512 KiB: one slab of 400 KiB fits, and not another.
        let large = |name: &str| {
            Writer::builder(name)
                .bus(bus)
                .schema(schema(2_000).capacity(10, 0))
        };
        let is_full = |failed: CreateError| match failed {
            CreateError::BusFull { path, needed_bytes } => assert!(path == bus && needed_bytes > 300 << 10),
            other => panic!("{other}"),
        };
        let first = large("vm-1").create().unwrap();
        let before = listing(bus);
        is_full(error(large("vm-2").create()));
        // Nor is the slab of a schema left that still did fit.
        let small = SchemaConfig {
            name: "small".into(),
            ..schema(2)
        };
        let two = Writer::builder("vm-2")
            .bus(bus)
            .schema(small)
            .schema(schema(2_000).capacity(10, 0));
        is_full(error(two.create()));
        assert_eq!(listing(bus), before);
        let given = read_write(&bus.join("given"));
        let failed = error(
            Writer::builder("vm-3")
                .schema(schema(2_000).capacity(10, 0))
                .create_on(given),
        );
        assert!(matches!(failed, CreateError::BusFull { .. }), "{failed}");
        assert_eq!(bus.join("given").metadata().unwrap().len(), 0);
        // Not a matter of one moment: the slab that is there goes on, and its room can be used again.
        std::fs::remove_file(path(&first)).unwrap();
        drop(first);
        large("vm-4").create().unwrap().close();
        println!("full");
        return;
    }
    let bus = bus();
    let script = r#"mount -t tmpfs -o size=512k rondo "$RONDO_TEST_CHILD" || exit 77; exec "$@""#;
    let test = child(NAME, bus.path().to_str().unwrap());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command
        .arg(test.get_program())
        .args(test.get_args())
        .env("RONDO_TEST_CHILD", bus.path());
    match command.output() {
        Ok(output) => {
            let (said, why) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            if said.contains("running 1 test") {
                assert!(
                    output.status.success() && said.contains("full"),
                    "{}: {said}",
                    output.status
                );
            } else {
                skip(NAME, why.trim());
            }
        }
        Err(error) => skip(NAME, &format!("no unshare: {error}")),
    }
}
