//! Writes man pages and shell completions of `rondo` and `rondo-vmm`, from what their `--help` is made of.
//!
//! `make manual` runs it. The files stand as they do below `/usr/share`, so that copying them installs them, and a
//! package takes them as they are.
#![forbid(unsafe_code)]

use rondo_manual::write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: rondo-manual DIRECTORY");
        return ExitCode::from(2);
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rondo-manual: {error:#}");
            ExitCode::FAILURE
        }
    }
}
