//! How much of the hot paths is about rondo.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

const BEGIN: &str = "// rondo: begin";
const END: &str = "// rondo: end";

/// Files with hot paths: the vCPU's loop, the disk's handler, and what they call to record.
const HOT: [(&str, &str); 5] = [
    (
        "devices/block/server.rs",
        include_str!("../src/devices/block/server.rs"),
    ),
    ("metrics/block.rs", include_str!("../src/metrics/block.rs")),
    ("vcpu.rs", include_str!("../src/vcpu.rs")),
    ("metrics/vcpu.rs", include_str!("../src/metrics/vcpu.rs")),
    ("stopwatch.rs", include_str!("../src/stopwatch.rs")),
];

/// The lines of code between the marks, and those outside of them.
fn split(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut inside, mut outside, mut is_inside) = (Vec::new(), Vec::new(), false);
    for line in text.lines().map(str::trim) {
        match line {
            BEGIN => assert!(!std::mem::replace(&mut is_inside, true), "two begins"),
            END => assert!(std::mem::replace(&mut is_inside, false), "an end without a begin"),
            _ if line.is_empty() || line.starts_with("//") => {}
            _ if is_inside => inside.push(line),
            _ => outside.push(line),
        }
    }
    assert!(!is_inside, "a begin without an end");
    (inside, outside)
}

/// Lines about rondo, by file; `tests/tests/promised_figures.rs` takes them in for the page of promises.
pub fn counts() -> [(&'static str, usize); 5] {
    HOT.map(|(name, text)| (name, split(text).0.len()))
}

/// The promise to VMM authors: less than 50 lines of their hot paths, the recording functions included.
#[test]
fn rondo_takes_less_than_50_lines_of_the_hot_paths() {
    let counts = counts();
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    assert!(all < 50, "{all} lines: {counts:?}");
}

/// Or the count above would prove nothing.
#[test]
fn the_vcpus_loop_does_not_record_outside_of_the_marks() {
    let (_, outside) = split(include_str!("../src/vcpu.rs"));
    let body = outside.iter().skip_while(|line| !line.starts_with("impl Vcpu"));
    let stray: Vec<_> = body.filter(|line| line.contains("metrics")).collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[test]
fn the_disks_handler_does_not_record_outside_of_the_marks() {
    let (_, outside) = split(include_str!("../src/devices/block/server.rs"));
    let handler = outside.iter().skip_while(|line| !line.starts_with("pub fn run"));
    let stray: Vec<_> = handler
        .filter(|line| line.contains("metrics") || line.contains("Instant"))
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
}
