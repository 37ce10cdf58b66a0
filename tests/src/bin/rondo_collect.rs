//! `rondo` as it is, for tests of this crate, which cannot name the binary of another.
#![allow(clippy::print_stderr, reason = "it is what the real one does")]

use clap::Parser;
use rondo_collector::Outcome;
use std::process::ExitCode;

fn main() -> ExitCode {
    match rondo_collector::run(&rondo_collector::cli::Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(error) => {
            eprintln!("rondo: {error:#}");
            ExitCode::from(2)
        }
    }
}
