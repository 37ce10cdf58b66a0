//! `rondo-vmm`: see the library.
#![forbid(unsafe_code)]

use clap::Parser;
use rondo_vmm::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(ending) => ending.exit_code().into(),
        Err(error) => {
            eprintln!("rondo-vmm: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
