//! Runs a benchmark that does not write pages itself, and puts what it prints into one. See [`rondo_host::printed`].
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use rondo_host::printed::Printed;
use rondo_tests::marked;
use std::path::PathBuf;

/// Run a benchmark, and put what it prints into a page
#[derive(Parser)]
struct Arguments {
    /// The page
    #[arg(long, value_name = "FILE")]
    into: PathBuf,
    /// Between which of its markers
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it prints is Markdown
    #[arg(long)]
    markdown: bool,
    /// The benchmark
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Not after all the time that it takes.
    marked::read(&arguments.into, &arguments.name)?;
    let printed = Printed::run(&arguments.command, &mut std::io::stdout())?;
    match printed.skipped() {
        Some(line) => eprintln!("{} stays as it is: {line}", arguments.into.display()),
        None => marked::write(
            &arguments.into,
            &arguments.name,
            &printed.part(arguments.markdown)?,
        )?,
    }
    Ok(())
}
