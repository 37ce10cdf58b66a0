//! `rondo-vmm` as it is, for tests of this crate, which cannot name the binary of another.
#![allow(clippy::print_stderr, reason = "it is what the real one does")]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match rondo_vmm::cli::Cli::parse().run() {
        Ok(ending) => ending.exit_code().into(),
        Err(error) => {
            eprintln!("rondo-vmm: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
