//! `rondo-vmm`: see the library.
#![forbid(unsafe_code)]

use clap::Parser;
use rondo_vmm::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(ending) => ending.exit_code().into(),
        Err(error) => {
            cli::say(format_args!("{:#}", anyhow::Error::from(error)));
            ExitCode::FAILURE
        }
    }
}
