//! What can be typed: [`cli`] says it, [`run`] does it.
//!
//! Each command has a file of its own and is a function from its arguments to what is printed. What they share: `target`
//! finds the slab that is meant, `output` prints tables, `json` is the JSON of `spec/json.md`.

mod age;
pub mod bench;
pub mod cli;
pub mod demo;
mod doctor;
mod export;
mod gc;
mod info;
mod json;
mod ls;
mod output;
mod query;
mod target;
mod verify;

pub(crate) use info::StoreFacts;
pub use info::{MachineBound, TierBound};
pub use json::slab_json;

use crate::collect;
use cli::{Cli, Command};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How a command ended, if not with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was something to print, or nothing to find.
    Done,
    /// `verify` has findings, nothing matched, or a check of `doctor` failed.
    Found,
}

/// Runs a command. Prints results on standard output, and on standard error what else is worth knowing.
///
/// # Errors
/// Whatever kept it from its end, for people to read. Output into a closed pipe is an error of the
/// kind [`std::io::ErrorKind::BrokenPipe`].
pub fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    raise_open_files();
    match &cli.command {
        Command::Ls(args) => ls::run(args),
        Command::Info(args) => info::run(args),
        Command::Query(args) => query::run(args),
        Command::Explain(args) => query::run_explain(args),
        Command::Export(args) => export::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Collect(args) => collect::command(args),
        Command::Gc(args) => gc::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Bench(args) => bench::command(args),
        Command::Demo(args) => demo::command(args),
        Command::DemoMachine(args) => demo::machine::run(&args.bus, &args.instance, args.seconds),
        Command::DemoChild(args) => demo::child::run(args),
        Command::BenchMachines(args) => bench::machines(args),
        Command::BenchStore(args) => bench::fill_store(args),
        Command::BenchCase(args) => bench::case(args),
        Command::BenchPush(args) => bench::remote_write::case(args),
        Command::BenchReceiver => bench::remote_write::receive(),
    }
}

/// Every slab takes a descriptor, and the usual soft limit is 1,024. Without the permission, big buses
/// end in an error that says so.
fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
