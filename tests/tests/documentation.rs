//! The documentation holds together: links lead somewhere, and blocks of code are pieces of files that are compiled or run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use rondo_tests::foreign::{root, wrong_diagrams};
use rondo_tests::pages::{Page, all};
use rondo_tests::skip::{has, skip};
use rondo_writer::Writer;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Links that lead nowhere, with what is wrong.
fn dead_links(pages: &[Page]) -> Vec<String> {
    let anchors: BTreeMap<&Path, _> = pages
        .iter()
        .map(|page| (page.path.as_path(), &page.anchors))
        .collect();
    let mut dead = Vec::new();
    for page in pages {
        for (line, link) in page.links.iter().filter(|(_, link)| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.path.clone(),
                file => plain(&page.path.parent().unwrap().join(file)),
            };
            let what = if !root().join(&target).exists() {
                "is not there"
            } else if !anchor.is_empty()
                && anchors
                    .get(target.as_path())
                    .is_none_or(|all| !all.contains(anchor))
            {
                "has no such heading"
            } else {
                continue;
            };
            dead.push(format!("{}:{line}: {link} {what}", page.path.display()));
        }
    }
    dead
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = all();
    let count: usize = pages.iter().map(|page| page.links.len()).sum();
    assert!(
        pages.len() > 20 && count > 100,
        "{} pages, {count} links",
        pages.len()
    );
    let dead = dead_links(&pages);
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn a_dead_link_is_found() {
    let path = Path::new("docs/faq.md");
    let text =
        "# A\n\n[a](#a) [b](#b) [c](none.md) [d](../README.md#nothing) ![e](/none.png) [f](#a-1)\n\n# A\n";
    let mut pages = all();
    pages.retain(|page| page.path != path);
    pages.push(Page::new(path, text));
    let mut dead = dead_links(&pages);
    dead.retain(|one| one.starts_with("docs/faq.md:3: "));
    assert_eq!(dead.len(), 4, "{dead:?}");
    assert!(dead[0].ends_with("#b has no such heading"), "{dead:?}");
}

/// Every file with the extension below the folders.
fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    fn walk(path: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path(), extension, found);
            }
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), extension, &mut found);
    }
    found
}

/// A text without white space, which formatters move about.
fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Blocks of a language that are a piece of none of the files.
fn strangers(language: &str, files: &[PathBuf]) -> (usize, Vec<String>) {
    assert!(!files.is_empty());
    let sources: Vec<String> = files
        .iter()
        .map(|file| solid(&std::fs::read_to_string(file).unwrap()))
        .collect();
    let (mut count, mut strangers) = (0, Vec::new());
    for page in all().iter().filter(|page| !page.path.starts_with("spec")) {
        for block in page.blocks.iter().filter(|block| block.language == language) {
            count += 1;
            let text = solid(&block.text);
            if !sources.iter().any(|source| source.contains(&text)) {
                strangers.push(format!("{}:{}:\n{}", page.path.display(), block.line, block.text));
            }
        }
    }
    (count, strangers)
}

/// Examples of `writer/` are compiled by its tests, and run by `documentation_commands.rs`; the readers in other languages by
/// `vectors.rs` and `the_shortest_reader_…` below.
#[test]
fn every_block_of_code_is_a_piece_of_a_file_that_is_compiled_or_run() {
    let of = [
        ("rust", files(&["writer/examples"], "rs"), 6),
        ("python", files(&["spec/python"], "py"), 6),
        ("c", files(&["spec"], "h"), 1),
    ];
    for (language, files, count_min) in of {
        let (count, strangers) = strangers(language, &files);
        assert!(count >= count_min, "{count} blocks of {language}");
        assert!(strangers.is_empty(), "{}", strangers.join("\n"));
    }
}

/// A block of another language would be looked at by nobody.
#[test]
fn every_block_is_of_a_language_that_a_test_knows() {
    const KNOWN: [&str; 9] = [
        "console", "rust", "python", "c", "toml", "yaml", "mermaid", "text", "",
    ];
    for page in all() {
        for block in &page.blocks {
            let known = KNOWN.contains(&block.language.as_str());
            assert!(
                known,
                "{}:{}: {}",
                page.path.display(),
                block.line,
                block.language
            );
        }
    }
}

/// A diagram with a mistake is shown as a red box, and nobody who edits the text sees that.
#[test]
fn every_diagram_is_one_that_mermaid_parses() {
    let pages = all();
    let blocks = pages.iter().flat_map(|page| &page.blocks);
    let mut diagrams: Vec<&str> = blocks
        .filter(|block| block.language == "mermaid")
        .map(|block| block.text.as_str())
        .collect();
    assert!(diagrams.len() > 3);
    diagrams.push("flowchart LR\n    a[x (y)] --> b\n");
    match wrong_diagrams(&diagrams) {
        Err(reason) => skip("every_diagram_is_one_that_mermaid_parses", &reason),
        Ok(wrong) => {
            let (made_wrong, ours) = wrong.split_last().unwrap();
            assert!(made_wrong.is_some(), "it finds nothing");
            assert!(ours.iter().all(Option::is_none), "{ours:?}");
        }
    }
}

/// `rondo doctor` names a check; who looks it up has to find it.
#[test]
fn every_check_of_the_doctor_is_in_the_documentation() {
    let page = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let bus = tempfile::tempdir().unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_rondo_collect"));
    doctor.args(["doctor", "-o", "json", "--bus"]).arg(bus.path());
    let output = doctor.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.len() > 5, "{report}");
    for finding in findings {
        let check = finding["check"].as_str().unwrap();
        assert!(page.contains(&format!("`{check}`")), "{check}");
    }
}

/// Configurations of Prometheus; settings of the collector are tried by `documentation_commands.rs`.
#[test]
fn prometheus_takes_every_block_of_yaml() {
    if !has("promtool") {
        return skip("prometheus_takes_every_block_of_yaml", "no promtool");
    }
    let pages = all();
    let blocks = pages.iter().flat_map(|page| &page.blocks);
    let configurations: Vec<_> = blocks.filter(|block| block.language == "yaml").collect();
    assert!(!configurations.is_empty());
    for configuration in configurations {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, &configuration.text).unwrap();
        let mut promtool = Command::new("promtool");
        let output = promtool.args(["check", "config"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// An operator looks for the words on the screen; words that no program says any more are of no use.
#[test]
fn every_error_that_is_explained_is_one_that_is_said() {
    let page = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let (_, section) = page.split_once("\n## What errors mean\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let errors: Vec<&str> = rows.map(|(error, _)| error).collect();
    assert!(errors.len() > 10, "{errors:?}");
    let sources: Vec<String> = files(&["writer/src", "reader/src", "collector/src", "vmm/src"], "rs")
        .iter()
        .map(|file| solid(&std::fs::read_to_string(file).unwrap()))
        .collect();
    let is_said = |error: &str| {
        // Between the words stands what differs from case to case.
        let parts = error.split(|c: char| c == '…' || c.is_ascii_digit()).map(solid);
        let parts: Vec<String> = parts.filter(|part| part.len() > 2).collect();
        let said = |source: &String| parts.iter().all(|part| source.contains(part));
        !parts.is_empty() && sources.iter().any(said)
    };
    assert!(!is_said("bus directory … is on holiday"));
    let unheard: Vec<&&str> = errors.iter().filter(|error| !is_said(error)).collect();
    assert!(unheard.is_empty(), "{unheard:?}");
}

/// What `docs/reading-slabs.md` builds finds what the golden JSON has as the newest value of each series. Values of shared ones are in
/// cells, and what is older than the window is left out: it says both.
#[test]
fn the_shortest_reader_is_right_in_what_it_prints() {
    if !has("python3") {
        return skip("the_shortest_reader_is_right_in_what_it_prints", "no python3");
    }
    let vectors = files(&["spec/vectors"], "slab");
    let mut count = 0;
    for slab in vectors.iter().filter(|slab| !slab.ends_with("shared.slab")) {
        let json = std::fs::read_to_string(slab.with_extension("json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let latest: Vec<(String, f64)> = json["series"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|series| {
                Some((
                    series["name"].as_str()?.to_owned(),
                    series["latest"]["value"].as_f64()?,
                ))
            })
            .collect();
        let reader = root().join("spec/python/shortest.py");
        let output = Command::new("python3")
            .arg("-B")
            .arg(reader)
            .arg(slab)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {output:?}", slab.display());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (name, value) = line.split_once(' ').unwrap();
            let printed = (name.to_owned(), value.parse::<f64>().unwrap());
            assert!(
                latest.contains(&printed),
                "{}: {printed:?} in {latest:?}",
                slab.display()
            );
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

/// The arithmetic of the operator's page, and what the writer makes.
#[test]
fn the_size_worked_out_in_the_documentation_is_that_of_a_slab() {
    let bus = tempfile::tempdir().unwrap();
    let writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
    let size = std::fs::metadata(writer.paths().next().unwrap()).unwrap().len();
    let page = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let (_, sizing) = page.split_once("## Sizing").unwrap();
    let (table, _) = sizing.split_once("**The bus**").unwrap();
    let cells = table
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once("| "));
    let numbers: Vec<u64> = cells
        .filter_map(|(_, cell)| cell.replace([',', '*'], "").parse().ok())
        .collect();
    let (total, parts) = numbers.split_last().unwrap();
    assert_eq!(*total, size);
    // What the parts lack is alignment: less than 128 for each of nine sections, and less than a page.
    let sum: u64 = parts.iter().sum();
    assert!((sum..sum + 9 * 128 + 4096).contains(&size), "{sum} {size}");
}
