//! `make bench` runs every benchmark, and each finds its place in `docs/benchmarks.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::foreign::root;
use rondo_tests::marked;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Targets that are called `bench-…` and say in `make help` what they measure.
fn targets(makefile: &str) -> Vec<&str> {
    let rules = makefile
        .lines()
        .filter(|line| line.starts_with("bench-") && line.contains("## "));
    rules.filter_map(|line| Some(line.split_once(':')?.0)).collect()
}

#[test]
fn make_bench_runs_every_benchmark() {
    let makefile = read("Makefile");
    let list = makefile.lines().find_map(|line| line.strip_prefix("BENCHES := "));
    let mut listed: Vec<&str> = list.unwrap().split(' ').collect();
    let mut targets = targets(&makefile);
    assert!(targets.len() > 5, "{targets:?}");
    listed.sort_unstable();
    targets.sort_unstable();
    assert_eq!(listed, targets);
}

/// A name that is not on the page would be found out only after all that came before it.
#[test]
fn every_benchmark_has_its_part_of_the_page_and_none_is_empty() {
    let (makefile, page) = (read("Makefile"), read("docs/benchmarks.md"));
    let named = makefile.split("--name ").skip(1);
    let mut named: Vec<&str> = named.filter_map(|rest| rest.split(' ').next()).collect();
    assert!(named.len() > 5, "{named:?}");
    let marked = page.split("<!-- begin: ").skip(1);
    named.extend(marked.filter_map(|rest| rest.split(' ').next()));
    for name in named {
        let part = marked::read(&root().join("docs/benchmarks.md"), name).unwrap();
        assert!(!part.is_empty(), "{name}");
    }
}
