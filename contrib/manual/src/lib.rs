//! Man pages and shell completions, made of what clap knows of the commands: whatever `--help` says is in them, and
//! nothing has to be written twice.
#![forbid(unsafe_code)]

mod page;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use page::Page;
use std::fs::{create_dir_all, write as write_file};
use std::path::Path;

/// Where shells of Debian look for completions below `/usr/share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Fish, "fish/vendor_completions.d"),
    (Shell::Zsh, "zsh/vendor-completions"),
];

/// Writes everything below `directory`, which is made if it is missing, as it stands below `/usr/share`: a man page for
/// each command and subcommand, and completions for three shells.
///
/// # Errors
/// What the file system refuses, with the path.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    let pages = directory.join("man/man1");
    make(&pages)?;
    for mut command in [rondo(), rondo_vmm::cli::Cli::command()] {
        for page in Page::all_of(command.clone()) {
            let path = pages.join(page.file_name());
            write_file(&path, page.render()?).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let name = command.get_name().to_owned();
        for (shell, folder) in COMPLETIONS {
            let folder = directory.join(folder);
            make(&folder)?;
            clap_complete::generate_to(shell, &mut command, &name, &folder)
                .with_context(|| format!("cannot write {}", folder.display()))?;
        }
    }
    Ok(())
}

fn make(directory: &Path) -> anyhow::Result<()> {
    create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

/// `rondo` without its hidden subcommands, which completions would offer all the same.
fn rondo() -> Command {
    let all = rondo_collector::cli::Cli::command();
    let shown = all.get_subcommands().filter(|one| !one.is_hide_set()).cloned();
    Command::new("rondo")
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .after_help(all.get_after_help().cloned().unwrap_or_default())
        .subcommand_required(true)
        .subcommands(shown)
}
