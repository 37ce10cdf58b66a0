//! `rondo`: reads what machines record, from shared memory.

use clap::Parser;
use rondo_collector::cli::Cli;
use rondo_collector::{Outcome, run};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // `eprintln!` would panic if nobody takes it.
            let _ = writeln!(io::stderr(), "rondo: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whoever read our output has seen enough, as in `rondo ls | head -1`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |kind: io::ErrorKind| kind == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| closed(error.kind()))
            || cause
                .downcast_ref::<serde_json::Error>()
                .and_then(|error| error.io_error_kind())
                .is_some_and(closed)
            || matches!(
                cause.downcast_ref::<csv::Error>().map(csv::Error::kind),
                Some(csv::ErrorKind::Io(error)) if closed(error.kind())
            )
    })
}
