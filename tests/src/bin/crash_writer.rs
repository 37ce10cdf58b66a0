//! crash_writer DIRECTORY: writes rows into a new slab until it is killed.
//! crash_writer SLAB ROW SAMPLE: reopens a slab, and goes on with that row and sample.
//!
//! Prints a line when it starts to write rows.

use rondo_tests::rows::{INTERVAL_NS, Rows, schema};
use rondo_writer::{Builder, Writer};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut writer, first_row, sample) = match arguments.as_slice() {
        [directory] => {
            let builder = Writer::builder("crash").schema(schema()).bus(directory);
            (builder.simulated_time(INTERVAL_NS).create()?, 1, 0)
        }
        [slab, row, sample] => {
            let (mut writer, row) = (Builder::reopen(slab)?, row.parse()?);
            // Simulated time stands where the last writer left it, which may be before its first tick.
            writer.tick_at(row * INTERVAL_NS);
            (writer, row, sample.parse()?)
        }
        _ => return Err("usage: crash_writer DIRECTORY | SLAB ROW SAMPLE".into()),
    };
    let mut rows = Rows::register(&mut writer, sample)?;
    println!("writing");
    for n in first_row.. {
        rows.write(&mut writer, n);
    }
    Ok(())
}
