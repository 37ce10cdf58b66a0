//! The documentation's commands, and how each of them is run.
//!
//! A command is a line of a `console` block after its prompt: `$`, or `#` for those that need root. It is run as it is typed, in a
//! place where it can do no harm; what is replaced stands in [`REPLACED`]. A command that no rule here is about fails the test: whoever
//! documents it has to say how it is tried.

use crate::pages::all;
use std::path::PathBuf;

/// How a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Until it ends, with exit code 0.
    Ends,
    /// The same, but 1 is as good: it looked, and found something.
    Looks,
    /// Until this shell command succeeds, in which `$OUTPUT` is what it has printed. Then it has to be there still, and stays until another
    /// of its kind comes or the page ends.
    Stays(&'static str),
    /// `make TARGET`: that target has to be there. What it does has tests of its own, or is this test.
    Makes,
    /// Not at all, for a reason.
    NotRun(&'static str),
}

use How::{Ends, Looks, Makes, NotRun, Stays};

/// What is put in place of what is typed: directories of the system, and twenty gibibytes. Ports, `/dev/shm` and the home directory
/// need no replacement, as the commands have their own.
pub const REPLACED: [(&str, &str); 5] = [
    ("/tmp/", "$HOUSE/tmp/"),
    ("/var/lib/", "$HOUSE/var/lib/"),
    ("/run/rondo", "$HOUSE/run/rondo"),
    ("/etc/rondo", "$HOUSE/etc/rondo"),
    ("20GiB", "32MiB"),
];

const ROOT: &str = "needs root, and would set up this machine";
const MATPLOTLIB: &str = "matplotlib is not among what tests install";

/// Commands that are not run.
const NOT_RUN: [(&str, &str); 13] = [
    ("# install -m 755 target/release/rondo /usr/bin/", ROOT),
    ("# cp -r target/manual/. /usr/share/", ROOT),
    ("# systemd-sysusers && systemctl daemon-reload", ROOT),
    (
        "# systemctl enable --now run-rondo.mount && systemd-tmpfiles --create rondo.conf",
        ROOT,
    ),
    ("# systemctl enable --now rondo-collector", ROOT),
    ("# usermod -aG rondo vmm", ROOT),
    (
        "# install -D -m 644 contrib/grafana/provisioning/datasources/prometheus.yaml /etc/grafana/provisioning/datasources/rondo.yaml",
        ROOT,
    ),
    (
        "# install -D -m 644 contrib/grafana/provisioning/dashboards/rondo.yaml /etc/grafana/provisioning/dashboards/rondo.yaml",
        ROOT,
    ),
    (
        "# install -D -m 644 -t /var/lib/grafana/dashboards/rondo contrib/grafana/*.json",
        ROOT,
    ),
    ("# systemctl restart grafana-server", ROOT),
    (
        "$ duckdb -c \"select name, labels->>'reason', max(value) from 'vm-1.csv' group by all\"",
        "duckdb is not in Debian",
    ),
    (
        "$ PYTHON=/path/to/a/python/with/matplotlib cargo test -p rondo-collector --test grafana -- --ignored pictures",
        MATPLOTLIB,
    ),
    (
        "$ contrib/grafana/phases.py target/demo-linux/rows.csv docs/images/linux-guest.png",
        MATPLOTLIB,
    ),
];

/// Commands that stay, by what is in them.
const STAYS: [(&str, &str); 6] = [
    ("0.99 --follow", "grep -q 'q0.99' \"$OUTPUT\""),
    ("--follow", "test -s \"$OUTPUT\""),
    ("rondo collect", "grep -q 'answering on' \"$OUTPUT\""),
    ("rondo-vmm", "grep -q 'toy guest' \"$OUTPUT\""),
    ("--example first_series", "rondo ls | grep -q first-vm"),
    (
        "prometheus --config.file",
        "grep -q 'Server is ready' \"$OUTPUT\"",
    ),
];

/// Programs whose commands end.
const ENDS: [&str; 5] = ["cc", "curl", "promtool", "python3", "rondo"];

/// A command of the documentation.
#[derive(Debug, Clone)]
pub struct Command {
    /// The page that it is on.
    pub page: PathBuf,
    /// Line of its block.
    pub line: usize,
    /// With its prompt, without a comment.
    pub text: String,
}

impl Command {
    /// What is typed.
    pub fn typed(&self) -> &str {
        self.text.get(2..).unwrap_or("")
    }

    /// How it is run; `None` if no rule is about it.
    pub fn how(&self) -> Option<How> {
        let typed = self.typed();
        if let Some((_, reason)) = NOT_RUN.iter().find(|(text, _)| *text == self.text) {
            return Some(NotRun(reason));
        }
        if !self.text.starts_with("$ ") {
            return None;
        }
        if let Some((_, until)) = STAYS.iter().find(|(part, _)| typed.contains(part)) {
            return Some(Stays(until));
        }
        match typed.split(' ').next()? {
            "make" => Some(Makes),
            _ if typed.contains("rondo doctor") => Some(Looks),
            program if ENDS.contains(&program) => Some(Ends),
            _ => None,
        }
    }

    /// Whether it is about a guest, which needs KVM.
    pub fn needs_kvm(&self) -> bool {
        self.text.contains("rondo-vmm") || self.text.contains("my-vm")
    }

    /// Those that stay and cannot be there twice have the same kind.
    pub fn kind(&self) -> &'static str {
        let part = STAYS.iter().find(|(part, _)| self.text.contains(part));
        part.map_or("", |(part, _)| part)
    }

    /// What a shell is given.
    pub fn script(&self) -> String {
        let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        REPLACED.iter().fold(self.typed().to_owned(), replace)
    }
}

/// The commands of a block, in order.
fn commands_of(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    let prompted = lines.filter(|line| line.starts_with("$ ") || line.starts_with("# "));
    prompted.map(|line| {
        let (prompt, typed) = line.split_at(2);
        let command = typed.split(" # ").next().unwrap_or("");
        format!("{prompt}{}", command.trim())
    })
}

/// All commands of README, CONTRIBUTING, `docs/` and `contrib/`, in the order of the pages.
pub fn documented() -> Vec<Command> {
    let pages = all();
    let pages = pages.iter().filter(|page| {
        page.path
            .parent()
            .is_some_and(|folder| !folder.starts_with("spec"))
    });
    let mut commands = Vec::new();
    for page in pages {
        let shells = page
            .blocks
            .iter()
            .filter(|block| ["console", "sh"].contains(&block.language.as_str()));
        for block in shells {
            commands.extend(commands_of(&block.text).map(|text| Command {
                page: page.path.clone(),
                line: block.line,
                text,
            }));
        }
    }
    commands
}

/// Commands that are listed as not run, and that no page has any more.
pub fn stale(commands: &[Command]) -> Vec<&'static str> {
    let texts = NOT_RUN.iter().map(|(text, _)| *text);
    texts
        .filter(|text| !commands.iter().any(|command| command.text == **text))
        .collect()
}
