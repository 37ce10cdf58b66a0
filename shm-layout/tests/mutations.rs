//! Whether the models of `loom.rs` are sharp: each ordering of the protocol, taken away alone, must
//! make the model that is about it fail.
//!
//! Orderings that nobody needs on the machine at hand are lost without a sound: x86-64 forgives most
//! of these mutants, and a seqlock with the first of them has been published more than once. So this
//! copies the crate once for each mutant, changes the text of one function, builds all copies
//! with `--cfg loom`, and runs on each the models that shall catch it. Texts to replace must be there
//! exactly once, so that this page cannot fall behind the code.
//!
//! No mutant drops the busy stamp within `DistributionSlot::open`: readers go by the sequence and
//! cannot tell; it is for whoever reopens the slab after a crash.
#![allow(clippy::unwrap_used, reason = "in tests, also outside of the test functions")]
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs, thread};

/// One change that must not go unnoticed.
struct Mutant {
    name: &'static str,
    file: &'static str,
    function: &'static str,
    /// Text, and what to put in its place.
    edits: &'static [(&'static str, &'static str)],
    /// Models that have to fail, each of them.
    caught_by: &'static [&'static str],
}

const STAMPED: [&str; 2] = [
    "stamped_value_is_never_torn_nor_of_another_interval",
    "stamped_slot_as_found_is_never_torn",
];
const SEQLOCK: [&str; 3] = [
    "seqlock_words_are_never_torn",
    "distribution_is_never_torn_nor_of_another_interval",
    "distribution_sample_is_seen_whole",
];

const RELEASE_FENCE: &str = "fence(Ordering::Release);";
const ACQUIRE_FENCE: &str = "fence(Ordering::Acquire);";

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "open-stores-busy-with-release-instead-of-a-fence",
        file: "stamped.rs",
        function: "open",
        edits: &[
            (
                "self.stamp.store(BUSY, Ordering::Relaxed);",
                "self.stamp.store(BUSY, Ordering::Release);",
            ),
            (RELEASE_FENCE, ""),
        ],
        caught_by: &STAMPED,
    },
    Mutant {
        name: "open-without-fence",
        file: "stamped.rs",
        function: "open",
        edits: &[(RELEASE_FENCE, "")],
        caught_by: &[STAMPED[0], STAMPED[1], "stamped_slot_is_cleared_in_one_step"],
    },
    Mutant {
        name: "open-never-busy",
        file: "stamped.rs",
        function: "open",
        edits: &[("self.stamp.store(BUSY, Ordering::Relaxed);", "")],
        caught_by: &STAMPED,
    },
    Mutant {
        name: "open-publishes-relaxed",
        file: "stamped.rs",
        function: "open",
        edits: &[(
            "self.stamp.store(stamp, Ordering::Release);",
            "self.stamp.store(stamp, Ordering::Relaxed);",
        )],
        caught_by: &STAMPED,
    },
    Mutant {
        name: "attempt-first-look-relaxed",
        file: "stamped.rs",
        function: "attempt",
        edits: &[("load_acquire(&self.stamp)", "self.stamp.load(Ordering::Relaxed)")],
        caught_by: &STAMPED,
    },
    Mutant {
        name: "attempt-without-fence",
        file: "stamped.rs",
        function: "attempt",
        edits: &[(ACQUIRE_FENCE, "")],
        caught_by: &STAMPED,
    },
    Mutant {
        name: "attempt-looks-once",
        file: "stamped.rs",
        function: "attempt",
        edits: &[("(before == after).then_some", "true.then_some")],
        caught_by: &STAMPED,
    },
    Mutant {
        name: "attempt-believes-busy",
        file: "stamped.rs",
        function: "attempt",
        edits: &[("before == BUSY", "false")],
        caught_by: &[
            STAMPED[1],
            "stamped_slot_of_a_dead_writer_is_torn_until_it_is_cleared",
        ],
    },
    Mutant {
        name: "update-stores-odd-with-release-instead-of-a-fence",
        file: "seqlock.rs",
        function: "update",
        edits: &[
            (
                "self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);",
                "self.sequence.store(sequence.wrapping_add(1), Ordering::Release);",
            ),
            (RELEASE_FENCE, ""),
        ],
        caught_by: &SEQLOCK,
    },
    Mutant {
        name: "update-without-fence",
        file: "seqlock.rs",
        function: "update",
        edits: &[(RELEASE_FENCE, "")],
        caught_by: &[
            SEQLOCK[0],
            SEQLOCK[1],
            SEQLOCK[2],
            "bucket_of_a_slot_that_stood_still_is_as_of_its_count",
        ],
    },
    Mutant {
        name: "update-never-odd",
        file: "seqlock.rs",
        function: "update",
        edits: &[(
            "self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);",
            "",
        )],
        caught_by: &SEQLOCK,
    },
    Mutant {
        name: "update-publishes-relaxed",
        file: "seqlock.rs",
        function: "update",
        edits: &[(
            "self.sequence.store(sequence.wrapping_add(2), Ordering::Release);",
            "self.sequence.store(sequence.wrapping_add(2), Ordering::Relaxed);",
        )],
        caught_by: &[
            SEQLOCK[0],
            SEQLOCK[1],
            SEQLOCK[2],
            "bucket_is_never_behind_a_count_read_before_it",
        ],
    },
    Mutant {
        name: "update-starts-over",
        file: "seqlock.rs",
        function: "update",
        edits: &[("sequence.wrapping_add(2)", "0")],
        caught_by: &[SEQLOCK[0]],
    },
    Mutant {
        name: "read-first-look-relaxed",
        file: "seqlock.rs",
        function: "read",
        edits: &[(
            "load_acquire(&self.sequence)",
            "self.sequence.load(Ordering::Relaxed)",
        )],
        caught_by: &SEQLOCK,
    },
    Mutant {
        name: "sequence-relaxed",
        file: "seqlock.rs",
        function: "sequence",
        edits: &[(
            "load_acquire(&self.sequence)",
            "self.sequence.load(Ordering::Relaxed)",
        )],
        caught_by: &[
            "bucket_of_a_slot_that_stood_still_is_as_of_its_count",
        ],
    },
    Mutant {
        name: "is-still-without-fence",
        file: "seqlock.rs",
        function: "is_still",
        edits: &[(ACQUIRE_FENCE, "")],
        caught_by: &[
            SEQLOCK[0],
            SEQLOCK[1],
            SEQLOCK[2],
            "bucket_of_a_slot_that_stood_still_is_as_of_its_count",
        ],
    },
    Mutant {
        name: "is-still-believes-odd",
        file: "seqlock.rs",
        function: "is_still",
        edits: &[("sequence & 1 == 0 && ", "")],
        caught_by: &[
            SEQLOCK[0],
            "seqlock_of_a_dead_writer_is_torn_until_it_is_repaired",
            "bucket_of_a_slot_that_stood_still_is_as_of_its_count",
        ],
    },
    Mutant {
        name: "repair-without-fence",
        file: "seqlock.rs",
        function: "repair",
        edits: &[(RELEASE_FENCE, "")],
        caught_by: &["seqlock_is_repaired_in_one_step"],
    },
    Mutant {
        name: "repair-publishes-relaxed",
        file: "seqlock.rs",
        function: "repair",
        edits: &[(
            "self.sequence.store(sequence.wrapping_add(1), Ordering::Release);",
            "self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);",
        )],
        caught_by: &["seqlock_is_repaired_in_one_step"],
    },
    Mutant {
        name: "repair-never-odd",
        file: "seqlock.rs",
        function: "repair",
        edits: &[("self.sequence.store(sequence, Ordering::Relaxed);", "")],
        caught_by: &["seqlock_is_repaired_in_one_step"],
    },
    Mutant {
        name: "load-acquire-relaxed",
        file: "sync.rs",
        function: "load_acquire",
        edits: &[(ACQUIRE_FENCE, "")],
        caught_by: &[
            STAMPED[0],
            STAMPED[1],
            SEQLOCK[0],
            SEQLOCK[1],
            SEQLOCK[2],
            "published_record_is_written",
        ],
    },
    Mutant {
        name: "bucket-before-the-lock",
        file: "slot.rs",
        function: "add",
        edits: &[
            ("store(bucket, load(bucket).wrapping_add(1));", "let _ = bucket;"),
            (
                "self.lock.update(",
                "if let Some(bucket) = bucket { bucket.store(bucket.load(Ordering::Relaxed) + 1, Ordering::Relaxed); }
                 self.lock.update(",
            ),
        ],
        caught_by: &["bucket_of_a_slot_that_stood_still_is_as_of_its_count"],
    },
    Mutant {
        name: "bucket-after-the-lock",
        file: "slot.rs",
        function: "add",
        edits: &[
            ("store(bucket, load(bucket).wrapping_add(1));", "let _ = bucket;"),
            (
                "        });",
                "        });
                 if let Some(bucket) = bucket { bucket.store(bucket.load(Ordering::Relaxed) + 1, Ordering::Relaxed); }",
            ),
        ],
        caught_by: &[
            "bucket_of_a_slot_that_stood_still_is_as_of_its_count",
            "bucket_is_never_behind_a_count_read_before_it",
        ],
    },
    Mutant {
        name: "distribution-of-any-interval",
        file: "slot.rs",
        function: "read",
        edits: &[("if words[0] == stamp", "if true")],
        caught_by: &["distribution_is_never_torn_nor_of_another_interval"],
    },
    Mutant {
        name: "publish-relaxed",
        file: "directory.rs",
        function: "publish",
        edits: &[("Ordering::Release", "Ordering::Relaxed")],
        caught_by: &["published_record_is_written"],
    },
    Mutant {
        name: "published-relaxed",
        file: "directory.rs",
        function: "published",
        edits: &[("load_acquire(self.count)", "self.count.load(Ordering::Relaxed)")],
        caught_by: &["published_record_is_written"],
    },
    Mutant {
        name: "add-loads-and-stores",
        file: "shared.rs",
        function: "add",
        edits: &[(
            "self.value.fetch_add(increment, Ordering::Relaxed);",
            "self.value.store(self.value.load(Ordering::Relaxed) + increment, Ordering::Relaxed);",
        )],
        caught_by: &["shared_counter_loses_nothing_across_a_roll_over"],
    },
];

/// The copy that must pass.
const UNCHANGED: &str = "unchanged";

#[test]
fn no_mutant_of_the_protocol_survives() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    write_copies(&home);
    let binaries = build(&home);

    let jobs = Mutex::new(MUTANTS.iter().map(Some).chain([None]));
    let complaints = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(job) = { jobs.lock().unwrap().next() } {
                    let complaint = match job {
                        Some(mutant) => survives(mutant, &binaries[mutant.name]),
                        None => fails_unchanged(&binaries[UNCHANGED]),
                    };
                    complaints.lock().unwrap().extend(complaint);
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Which of the models that shall catch the mutant do not.
fn survives(mutant: &Mutant, binary: &Path) -> Option<String> {
    let output = models(binary)
        .arg("--exact")
        .args(mutant.caught_by)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let survived: Vec<_> = mutant
        .caught_by
        .iter()
        .filter(|model| !output.contains(&format!("test {model} ... FAILED")))
        .collect();
    (!survived.is_empty()).then(|| format!("{} survives {survived:?}\n{output}", mutant.name))
}

fn fails_unchanged(binary: &Path) -> Option<String> {
    let output = models(binary).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Two forced switches suffice to catch every mutant; `loom.rs` itself goes further.
fn models(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env("LOOM_MAX_PREEMPTIONS", "2")
        .env("RUST_BACKTRACE", "0");
    command
}

/// A workspace of copies of the crate, one for each mutant, so that one run of cargo builds all of
/// them and builds loom once. Kept between runs.
fn write_copies(home: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("../Cargo.toml")).unwrap();
    let loom = manifest.lines().find(|line| line.starts_with("loom = ")).unwrap();
    let names: Vec<_> = MUTANTS
        .iter()
        .map(|mutant| mutant.name)
        .chain([UNCHANGED])
        .collect();
    write(
        &home.join("Cargo.toml"),
        &format!(
            "[workspace]\nresolver = \"3\"\nmembers = {names:?}\n[profile.release]\nopt-level = 0\n[profile.release.package.\"*\"]\nopt-level = 2\n"
        ),
    );
    // The same versions as in the workspace; cargo drops what the copies do not need.
    fs::copy(root.join("../Cargo.lock"), home.join("Cargo.lock")).unwrap();
    let models = fs::read_to_string(root.join("tests/loom.rs")).unwrap();
    for name in names {
        let copy = home.join(name);
        write(
            &copy.join("Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\nname = \"rondo_shm_layout\"\n[dependencies]\n{loom}\n"
            ),
        );
        write(&copy.join("tests/loom.rs"), &models);
        for entry in fs::read_dir(root.join("src")).unwrap() {
            let (file, path) = {
                let entry = entry.unwrap();
                (entry.file_name(), entry.path())
            };
            let text = fs::read_to_string(path).unwrap();
            let mutant = MUTANTS.iter().find(|m| m.name == name && file == m.file);
            write(
                &copy.join("src").join(&file),
                &mutant.map_or(text.clone(), |mutant| mutate(&text, mutant)),
            );
        }
    }
}

/// Writes what is not there already, so that cargo builds again only what changed.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// `source` with the edits made in the one function of that name.
fn mutate(source: &str, mutant: &Mutant) -> String {
    let Mutant {
        name,
        file,
        function,
        edits,
        ..
    } = mutant;
    let start = source
        .find(&format!("fn {function}("))
        .unwrap_or_else(|| panic!("{name}: {file} has no function {function}"));
    let line = source[..start].rfind('\n').map_or(0, |end| end + 1);
    let indent = source[line..].len() - source[line..].trim_start().len();
    let end = start
        + source[start..]
            .find(&format!("\n{}}}\n", " ".repeat(indent)))
            .unwrap_or_else(|| panic!("{name}: {function} in {file} has no end"));
    let mut body = source[start..end].to_owned();
    for (from, to) in *edits {
        let times = body.matches(from).count();
        assert_eq!(times, 1, "{name}: times that {function} in {file} says {from:?}");
        body = body.replace(from, to);
    }
    format!("{}{body}{}", &source[..start], &source[end..])
}

/// The binaries of the models, by mutant.
fn build(home: &Path) -> BTreeMap<String, PathBuf> {
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["test", "--workspace", "--release", "--test", "loom", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(home)
        .env("RUSTFLAGS", "--cfg loom --cap-lints allow")
        .env("CARGO_TARGET_DIR", home.join("target"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the copies do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let field = |line: &str, key: &str| {
        let rest = line.split_once(&format!("\"{key}\":\""))?.1;
        Some(PathBuf::from(rest.split_once('"')?.0))
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let manifest = field(line, "manifest_path")?;
            let name = manifest.parent()?.file_name()?.to_str()?.to_owned();
            Some((name, field(line, "executable")?))
        })
        .collect()
}
