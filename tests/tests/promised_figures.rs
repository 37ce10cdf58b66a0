//! The figures of `docs/promises.md` are those that were measured last, or that follow from the code.
//!
//! A figure in the last column of its table is a clause, and clauses are apart by a semicolon:
//!
//! | clause | has to be so |
//! |---|---|
//! | `` `CPU` `0.29 %` in `host` `` | one line of the part `host` of `docs/benchmarks.md`, which a program wrote, has both |
//! | `` `447,488` bytes, computed `` | it is what [`computed`] makes of the test that holds the promise |
//!
//! A line that says that a target was missed needs a promise that says **Not met**. `rondo bench` compares with no target: of
//! `calls`, `collector` and `remote-write` whoever changes the figure has to say it.
//!
//! So whoever writes a part anew (`make bench-host`) is told which promise has to be looked at again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../vmm/tests/lines.rs"]
mod lines;

use rondo_collector::MachineBound;
use rondo_tests::foreign::root;
use rondo_tests::marked;
use rondo_tests::promises::{Promise, promises, quoted};
use rondo_tests::thirty::{default_slab_bytes, thirty};
use std::path::Path;

/// How a promise says that it is not kept.
const NOT_MET: &str = "**Not met**";

/// How a benchmark says it, if it compares with its target.
const MISSED: [&str; 2] = ["MISSED", "**not met**"];

/// What tests that hold a promise compute, by their names.
fn computed() -> [(&'static str, u64); 3] {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let (_thirty, slab) = thirty(bus.path());
    [
        (
            "ten_minutes_of_thirty_series_take_less_than_512_kib",
            default_slab_bytes(),
        ),
        (
            "thirty_series_in_three_tiers_need_less_than_2_mb_even_if_nothing_compresses",
            MachineBound::of(&slab).bytes_max,
        ),
        (
            "rondo_takes_less_than_50_lines_of_the_hot_paths",
            lines::counts().map(|(_, count)| count as u64).iter().sum(),
        ),
    ]
}

/// Whether a text stands in a line, and not as a piece of a longer word or number.
fn stands_in(text: &str, line: &str) -> bool {
    let is_point = |c: char| matches!(c, '.' | ',');
    line.match_indices(text).any(|(at, _)| {
        let goes_on_before = line[..at].ends_with(|c: char| c.is_alphanumeric() || is_point(c));
        let after = &line[at + text.len()..];
        let goes_on = |text: &str| text.starts_with(char::is_alphanumeric);
        let goes_on_after = goes_on(after) || after.strip_prefix(is_point).is_some_and(goes_on);
        !goes_on_before && !goes_on_after
    })
}

/// What is wrong with a clause of a promise.
fn wrong_clause(
    clause: &str,
    promise: &Promise<'_>,
    page: &Path,
    computed: &[(&str, u64)],
) -> Option<String> {
    let held_by = promise.held_by;
    let mut texts: Vec<&str> = quoted(clause).collect();
    if clause.ends_with(", computed") {
        let tests: Vec<&str> = quoted(held_by).collect();
        let Some((name, value)) = computed.iter().find(|(name, _)| tests.contains(name)) else {
            return Some(format!("nothing computes it of {tests:?}"));
        };
        let figure: Option<u64> = texts.first().and_then(|text| text.replace(',', "").parse().ok());
        return (figure != Some(*value)).then(|| format!("{name} computes {value}"));
    }
    let part = texts.pop().filter(|_| clause.ends_with('`'));
    let (Some(part), false) = (part, texts.is_empty()) else {
        return Some("say in which part of the benchmarks' page it is, or that it is computed".to_owned());
    };
    let text = match marked::read(page, part) {
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    let has_all = |line: &str| texts.iter().all(|text| stands_in(text, line));
    let mut lines = text.lines().filter(|line| has_all(line)).peekable();
    if lines.peek().is_some() {
        let is_missed = lines.any(|line| MISSED.iter().any(|word| line.contains(word)));
        return (is_missed && !promise.promise.contains(NOT_MET))
            .then(|| format!("the page says that it is missed, and the promise does not say {NOT_MET}"));
    }
    let alike = text.lines().filter(|line| stands_in(texts[0], line));
    let alike: Vec<&str> = alike.map(str::trim).collect();
    Some(format!(
        "no line of {part} has all of {texts:?}; it has {alike:?}"
    ))
}

/// What is wrong with the figures of a page of promises, beside a page of benchmarks.
fn wrong(text: &str, page: &Path) -> Vec<String> {
    let computed = computed();
    let mut all = Vec::new();
    for promise in promises(text).filter_map(Result::ok) {
        let wrong = if promise.figures.is_empty() {
            let is_measured = |text: &str| text.starts_with("make bench") || text.starts_with("rondo bench");
            let is_computed = |text: &str| computed.iter().any(|(name, _)| *name == text);
            let measured = quoted(promise.held_by).find(|text| is_measured(text) || is_computed(text));
            measured
                .map(|by| format!("{by} has a figure for it"))
                .into_iter()
                .collect()
        } else {
            let clauses = promise.figures.split(';').map(str::trim);
            let wrong = clauses.filter_map(|clause| {
                let wrong = wrong_clause(clause, &promise, page, &computed)?;
                Some(format!("{clause}: {wrong}"))
            });
            wrong.collect::<Vec<_>>()
        };
        all.extend(
            wrong
                .iter()
                .map(|wrong| format!("{} {}: {wrong}", promise.number, promise.promise)),
        );
    }
    all
}

#[test]
fn every_figure_is_the_last_one() {
    let text = std::fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let figures = promises(&text).filter(|promise| promise.as_ref().is_ok_and(|one| !one.figures.is_empty()));
    assert!(figures.count() > 10, "the table is not where it was");
    let wrong = wrong(&text, &root().join("docs/benchmarks.md"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Or the test above would show nothing.
#[test]
fn a_figure_that_is_not_the_last_one_is_found() {
    let page = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        page.path(),
        "<!-- begin: host -->\n| CPU: 0.17 of 57.4 s | 0.29 % | met |\n| memory | 6.34 % |\n| disk | 11 % | MISSED |\n<!-- end: host -->\n",
    )
    .unwrap();
    let row = |held_by: &str, figures: &str| {
        format!(
            "| | promise | held by | last figure |\n|---|---|---|---|\n| P1 | a | {held_by} | {figures} |\n"
        )
    };
    let lines = "`rondo_takes_less_than_50_lines_of_the_hot_paths` in `vmm/tests/lines.rs`";
    let [.., (_, count)] = computed();
    let right = format!("`{count}` lines, computed");
    for (held_by, figures) in [
        ("`vmm/tests/`", ""),
        (
            "`make bench-host`",
            "`CPU` `0.29 %` in `host`; `memory` `6.34 %` in `host`",
        ),
        ("`make bench-host`", "`0.29 %` of the CPU time, `met`, in `host`"),
        (lines, &right),
    ] {
        assert_eq!(wrong(&row(held_by, figures), page.path()), [""; 0], "{figures}");
    }
    for (held_by, figures, says) in [
        ("`make bench-host`", "", "make bench-host has a figure"),
        ("`rondo bench`", "", "rondo bench has a figure"),
        (lines, "", "has a figure"),
        (lines, "`1` line, computed", "the_hot_paths computes"),
        (
            "`make bench-host`",
            "`CPU` `0.28 %` in `host`",
            "it has [\"| CPU: 0.17",
        ),
        ("`make bench-host`", "`CPU` `.29 %` in `host`", "no line of host"),
        ("`make bench-host`", "`CPU` `6.34 %` in `host`", "no line of host"),
        ("`make bench-host`", "`CPU` `0` in `host`", "no line of host"),
        ("`make bench-host`", "`CPU` `0.29 %` in `guest`", "begin: guest"),
        (
            "`make bench-host`",
            "`disk` `11 %` in `host`",
            "does not say **Not met**",
        ),
        ("`make bench-host`", "0.29 %", "say in which part"),
        ("`make bench-host`", "`0.29 %` it was", "say in which part"),
        (
            "`make bench-host`",
            "`CPU` `0.29 %` in `host`; `memory` `9 %` in `host`",
            "`memory` `9 %`",
        ),
        ("`make bench-host`", "`7` bytes, computed", "nothing computes"),
    ] {
        let wrong = wrong(&row(held_by, figures), page.path());
        assert!(
            wrong.iter().any(|wrong| wrong.contains(says)),
            "{figures}: {wrong:?}"
        );
    }
}
