//! Each promise of `docs/promises.md` is held by something that exists: a test that runs, a file, a make target, a command.
//!
//! What stands in back quotes in the third column of its table is looked up, by what it looks like:
//!
//! | looks like | has to be |
//! |---|---|
//! | `make demo` | a target of the Makefile |
//! | `rondo bench` | a command of `rondo` |
//! | `vmm/tests/`, `vmm/tests/toy.rs` | a directory or file; with tests in it, if it is Rust and no benchmark |
//! | `crash.rs` | the same, beside the one named before |
//! | `a_name` | a test that is not ignored, in one of the files that the same promise names |
//!
//! At least one of them is something that runs and can fail: a test, a file of tests, or a command that [`MEASURES`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clap::CommandFactory;
use rondo_collector::cli::Cli;
use rondo_tests::foreign::root;
use rondo_tests::promises::{Promise, promises, quoted};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn is_path(text: &str) -> bool {
    let is_file = Path::new(text).extension().is_some();
    (text.contains('/') || is_file) && !text.contains(' ')
}

fn is_name(text: &str) -> bool {
    text.contains('_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// How commands begin that say whether something is so.
const MEASURES: [&str; 3] = ["bench", "demo", "test"];

/// Whether a source has a test of that name that runs without being asked.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declaration = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        let above = || {
            let lines = lines[..at].iter().rev();
            lines.take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        };
        line.starts_with(&declaration)
            && above().any(|line| *line == "#[test]")
            && !above().any(|line| line.starts_with("#[ignore"))
    })
}

/// Whether a source has a test that runs without being asked.
fn has_any_test(source: &str) -> bool {
    let name = |line: &'_ str| {
        line.trim()
            .strip_prefix("fn ")?
            .split('(')
            .next()
            .map(str::to_owned)
    };
    source
        .lines()
        .filter_map(name)
        .any(|name| has_test(source, &name))
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn is_benchmark(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with("benches"))
}

/// Whether something that exists has tests, or is no place for any: a benchmark, a page, a program in another language.
fn proves(path: &Path) -> bool {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        let mut rust = files.iter().filter(|file| is_rust(file)).peekable();
        return rust.peek().is_none() || rust.any(|file| proves(file));
    }
    !is_rust(path) || is_benchmark(path) || has_any_test(&std::fs::read_to_string(path).unwrap())
}

/// A promise's files so far, and what is wrong with the promise.
#[derive(Default)]
struct Check {
    files: Vec<PathBuf>,
    /// Whether one of them, or a command, or a test by its name, does something that can fail.
    runs: bool,
    wrong: Vec<String>,
}

impl Check {
    fn path(&mut self, text: &str) {
        let beside = self.files.last().map(|last| match last.is_dir() {
            true => last.join(text),
            false => last.with_file_name(text),
        });
        let candidates = [Some(root().join(text)), beside];
        let Some(path) = candidates.into_iter().flatten().find(|path| path.exists()) else {
            return self.wrong.push(format!("there is no {text}"));
        };
        if !proves(&path) {
            self.wrong.push(format!("there is no test in {text}"));
        }
        self.runs |= path.is_file() && is_rust(&path) && !is_benchmark(&path);
        self.files.push(path);
    }

    fn command(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
        let rondo = Cli::command();
        let exists = match words[..] {
            ["make", target, ..] => {
                self.runs |= MEASURES.iter().any(|start| target.starts_with(start));
                makefile
                    .lines()
                    .any(|line| line.starts_with(&format!("{target}:")))
            }
            ["rondo", command, ..] => {
                self.runs |= MEASURES.contains(&command);
                rondo.find_subcommand(command).is_some()
            }
            _ => {
                return self
                    .wrong
                    .push(format!("{text} is neither test, file, make target nor command"));
            }
        };
        if !exists {
            self.wrong.push(format!("there is no {text}"));
        }
    }

    /// After all paths of the promise: a test may stand before its file.
    fn test(&mut self, name: &str) {
        let files = self.files.iter().filter(|file| file.is_file());
        self.runs = true;
        let has = |file: &PathBuf| has_test(&std::fs::read_to_string(file).unwrap(), name);
        if !files.clone().any(has) {
            let files: Vec<_> = files.map(|file| file.strip_prefix(root()).unwrap()).collect();
            self.wrong
                .push(format!("there is no test {name} that runs in {files:?}"));
        }
    }
}

/// What is wrong with the promises of a page, each with its promise.
fn wrong(page: &str) -> Vec<String> {
    let mut numbers = HashSet::new();
    let mut all = Vec::new();
    for row in promises(page) {
        let Promise {
            number,
            promise,
            held_by,
            ..
        } = match row {
            Ok(row) => row,
            Err(wrong) => {
                all.push(wrong);
                continue;
            }
        };
        let mut check = Check::default();
        // The acceptance criteria S1 to S6 have several rows each.
        if number.starts_with('P') && !numbers.insert(number) {
            check.wrong.push(format!("two promises are called {number}"));
        }
        for text in quoted(held_by).filter(|text| !is_name(text)) {
            if is_path(text) {
                check.path(text);
            } else {
                check.command(text);
            }
        }
        quoted(held_by)
            .filter(|text| is_name(text))
            .for_each(|name| check.test(name));
        if !check.runs {
            check.wrong.push("nothing that runs holds it".into());
        }
        all.extend(
            check
                .wrong
                .iter()
                .map(|wrong| format!("{number} {promise}: {wrong}")),
        );
    }
    all
}

#[test]
fn every_promise_is_held_by_what_exists() {
    let page = std::fs::read_to_string(root().join("docs/promises.md")).unwrap();
    assert!(promises(&page).count() > 30, "the table is not where it was");
    let wrong = wrong(&page);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Or the test above would show nothing.
#[test]
fn a_promise_that_nothing_holds_is_found() {
    let page = |held_by: &str| {
        format!("| | promise | held by | last figure |\n|---|---|---|---|\n| P1 | a | {held_by} | |\n")
    };
    for right in [
        "`make demo`",
        "`rondo bench --machines 3`",
        "`vmm/tests/toy.rs`, `vmm/tests/`, `vmm/benches/exits.rs`, `spec/python`",
        "`exits_are_counted_exactly_by_reason` in `vmm/tests/toy.rs`",
        "`vmm/tests/toy.rs`; `after_kill_9_the_slab_is_whole_up_to_the_last_second` in `crash.rs`",
    ] {
        assert_eq!(wrong(&page(right)), [""; 0], "{right}");
    }
    for (held_by, says) in [
        ("`make demon`", "no make demon"),
        ("`rondo benches`", "no rondo benches"),
        ("`cargo test`", "neither test, file"),
        ("`vmm/tests/toys.rs`", "no vmm/tests/toys.rs"),
        ("`vmm/tests/toy.rs`; `crush.rs`", "no crush.rs"),
        ("`vmm/src/exit.rs`", "no test in vmm/src/exit.rs"),
        ("`tests/src/bin/`", "no test in tests/src/bin/"),
        (
            "`exits_are_counted` in `vmm/tests/toy.rs`",
            "no test exits_are_counted that runs in [\"vmm/tests/toy.rs\"]",
        ),
        (
            "`child_with_an_intruder` in `vmm/tests/seccomp.rs`",
            "no test child_with_an_intruder",
        ),
        ("`wait_until` in `tests/src/wait.rs`", "no test"),
        ("`exits_are_counted_exactly_by_reason`", "no test"),
        ("our word", "nothing that runs holds it"),
        ("pending: some day", "nothing that runs holds it"),
        ("`spec/python`; `writer/tests/`", "nothing that runs holds it"),
        ("`make build`; `rondo ls`", "nothing that runs holds it"),
        ("`vmm/benches/exits.rs`", "nothing that runs holds it"),
        ("`make demo` | and more", "not four columns"),
        (
            "`make demo` | |\n| P1 | b | `make demo`",
            "two promises are called P1",
        ),
    ] {
        let wrong = wrong(&page(held_by));
        assert!(
            wrong.iter().any(|wrong| wrong.contains(says)),
            "{held_by}: {wrong:?}"
        );
    }
}
