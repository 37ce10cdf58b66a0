//! Runs one of rondo's loops and nothing else, for instruction counts: `hot-loops NAME ITERATIONS`.
//! Without arguments, lists the names.

use anyhow::{Context, Result};
use rondo_benches::rondo::{self, Place};

fn main() -> Result<()> {
    let mut rows = rondo::rows(Place::Private);
    rows.insert(0, rondo_benches::floor());
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    };
    let iterations = arguments.next().context("ITERATIONS is missing")?.parse()?;
    let row = rows.iter().find(|row| row.name == name).context("no such row")?;
    row.make()?(iterations);
    Ok(())
}
