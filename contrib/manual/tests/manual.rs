//! What is written is taken by what reads it: `groff`, which formats man pages, and shells.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../../../tests/src/skip.rs"]
mod skip;

use skip::{has, skip};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// What the program writes.
fn written() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::cargo_bin("rondo-manual").unwrap();
    command.arg(directory.path()).assert().success();
    directory
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn names(directory: &Path) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files(directory).into_iter().map(name).collect()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

/// Commands are added, and a page that nobody thought of is one that nobody finds: what `rondo --help` lists has one.
#[test]
fn every_command_of_the_help_has_a_page_and_no_other() {
    let share = written();
    let help = rondo_collector_help();
    let mut expected: Vec<String> = help.iter().map(|name| format!("rondo-{name}.1")).collect();
    expected.extend(["rondo-vmm.1".to_owned(), "rondo.1".to_owned()]);
    expected.sort();
    assert!(expected.contains(&"rondo-query.1".to_owned()), "{expected:?}");
    assert_eq!(names(&share.path().join("man/man1")), expected);
}

/// The subcommands as `--help` shows them.
fn rondo_collector_help() -> Vec<String> {
    use clap::CommandFactory;
    let help = rondo_collector::cli::Cli::command().render_help().to_string();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let first_words = list
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    first_words
        .filter(|word| !word.is_empty() && *word != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn groff_formats_every_page_without_a_warning() {
    if !has("groff") {
        return skip("groff_formats_every_page_without_a_warning", "no groff");
    }
    let share = written();
    for page in files(&share.path().join("man/man1")) {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-ww", "-Kutf8", "-Tutf8"]).arg(&page);
        let output = groff.output().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaints.is_empty(),
            "{}: {complaints}",
            page.display()
        );
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.lines().count() > 10, "{text}");
    }
}

/// Examples are copied from a page into a shell; lines that run into each other cannot be.
#[test]
fn examples_keep_their_lines() {
    let share = written();
    let page = std::fs::read_to_string(share.path().join("man/man1/rondo-gc.1")).unwrap();
    let (_, examples) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap();
    let (examples, _) = examples.split_once("\n.fi\n").unwrap();
    assert!(
        examples
            .lines()
            .any(|line| line.trim_end() == "rondo gc \\-\\-remove \\-\\-older\\-than 10m"),
        "{examples}"
    );
}

/// Completes a command line as the shell does, by the function that the file defines.
#[test]
fn bash_completes_commands_options_and_values() {
    let share = written();
    let completed = |command: &str, function: &str, words: &[&str]| {
        let file = share
            .path()
            .join(format!("bash-completion/completions/{command}.bash"));
        let last = words.len() - 1;
        let before = words[last.saturating_sub(1)];
        let script = format!(
            "set -eu; source '{}'; COMP_WORDS=({}); COMP_CWORD={last}; set +eu; {function} {command} '{}' '{before}'; \
             echo \"${{COMPREPLY[@]}}\"",
            file.display(),
            words.join(" "),
            words[last],
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &script])
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            said(&output)
        );
        said(&output).trim().to_owned()
    };
    assert_eq!(completed("rondo", "_rondo", &["rondo", "qu"]), "query");
    assert_eq!(
        completed("rondo", "_rondo", &["rondo", "query", "--foll"]),
        "--follow"
    );
    assert_eq!(
        completed("rondo", "_rondo", &["rondo", "query", "-o", "j"]),
        "json"
    );
    assert_eq!(
        completed("rondo-vmm", "_rondo__vmm", &["rondo-vmm", "--toy-r"]),
        "--toy-rounds"
    );
    // What only other commands of ours call is offered to nobody.
    assert_eq!(completed("rondo", "_rondo", &["rondo", "demo-"]), "");
    assert_eq!(completed("rondo", "_rondo", &["rondo", "bench-"]), "");
}

/// Where Debian's zsh does not look, nothing is completed.
#[test]
fn zsh_looks_where_its_completions_are() {
    if !has("zsh") || !Path::new("/etc/debian_version").exists() {
        return skip("zsh_looks_where_its_completions_are", "no zsh of Debian");
    }
    let output = Command::new("zsh")
        .args(["-fc", "print -l $fpath"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let folders: Vec<&str> = said.lines().collect();
    assert!(folders.contains(&"/usr/share/zsh/vendor-completions"), "{said}");
}

#[test]
fn zsh_and_fish_parse_their_completions() {
    let share = written();
    for (shell, folder) in [
        ("zsh", "zsh/vendor-completions"),
        ("fish", "fish/vendor_completions.d"),
    ] {
        if !has(shell) {
            skip("zsh_and_fish_parse_their_completions", &format!("no {shell}"));
            continue;
        }
        for file in files(&share.path().join(folder)) {
            let output = Command::new(shell).arg("-n").arg(&file).output().unwrap();
            assert!(output.status.success(), "{}: {}", file.display(), said(&output));
        }
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = assert_cmd::Command::cargo_bin("rondo-manual").unwrap();
    let output = command.arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cannot make"), "{}", said(&output));
}
