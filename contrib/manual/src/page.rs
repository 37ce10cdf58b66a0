//! One man page.
//!
//! clap knows the name, the options and the subcommands; what follows them in `--help` is text, of which it makes one
//! paragraph called EXTRA. Here its examples stay as they are typed, and have the headings that readers of man pages look for.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::io;

/// A page of section 1.
pub struct Page {
    command: Command,
    /// Whose subcommand it is.
    parent: Option<String>,
}

impl Page {
    /// The page of a command, and those of its subcommands.
    pub fn all_of(command: Command) -> Vec<Self> {
        let mut command = command.disable_help_subcommand(true);
        // Gives each subcommand its full name, such as `rondo-query`.
        command.build();
        let name = command.get_name().to_owned();
        let subcommands: Vec<Self> = command
            .get_subcommands()
            .map(|one| Self {
                command: one.clone(),
                parent: Some(name.clone()),
            })
            .collect();
        let own = Self {
            command,
            parent: None,
        };
        std::iter::once(own).chain(subcommands).collect()
    }

    /// Such as `rondo-query.1`.
    pub fn file_name(&self) -> String {
        format!("{}.1", self.name())
    }

    fn name(&self) -> &str {
        self.command
            .get_display_name()
            .unwrap_or_else(|| self.command.get_name())
    }

    /// Its text, for `man`.
    ///
    /// # Errors
    /// Never in practice: it writes to memory.
    pub fn render(&self) -> io::Result<Vec<u8>> {
        let man = Man::new(self.command.clone())
            .source(format!("rondo {}", env!("CARGO_PKG_VERSION")))
            .manual("rondo");
        let mut text = Vec::new();
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if self.command.has_subcommands() {
            man.render_subcommands_section(&mut text)?;
        }
        self.what_follows().to_writer(&mut text)?;
        Ok(text)
    }

    /// The text after the options, and where to read on.
    fn what_follows(&self) -> Roff {
        let mut roff = Roff::new();
        let text = self
            .command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut has_notes = false;
        for paragraph in text.split("\n\n") {
            let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
            let heading = match first {
                "Examples:" => "EXAMPLES",
                "Exit codes:" => "EXIT STATUS",
                _ if paragraph.is_empty() => continue,
                _ => {
                    roff.control(
                        if has_notes { "PP" } else { "SH" },
                        (!has_notes).then_some("NOTES"),
                    );
                    roff.text([roman(paragraph.replace('\n', " "))]);
                    has_notes = true;
                    continue;
                }
            };
            roff.control("SH", [heading]);
            roff.control("nf", []);
            for line in rest.lines() {
                roff.text([roman(line.trim_start())]);
            }
            roff.control("fi", []);
        }
        if let Some(parent) = &self.parent {
            roff.control("SH", ["SEE ALSO"]);
            roff.text([roman(format!("{parent}(1)"))]);
        }
        roff
    }
}
