//! `rondo-vmm` as it is, for tests of this crate, which cannot name the binary of another.

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
