//! fast_writer DIRECTORY SECONDS: writes rows into a new slab as fast as it can, and prints the slab's
//! path once all slots have been written.

use rondo_tests::rows::{INTERVAL_NS, Rows, SLOT_COUNT, schema};
use rondo_writer::Writer;
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: fast_writer DIRECTORY SECONDS")?;
    let seconds = arguments
        .next()
        .ok_or("usage: fast_writer DIRECTORY SECONDS")?
        .parse()?;

    let builder = Writer::builder("fast").schema(schema()).bus(directory);
    let mut writer = builder.simulated_time(INTERVAL_NS).create()?;
    let mut rows = Rows::register(&mut writer, 0)?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut n = 1;
    while Instant::now() < until {
        rows.write(&mut writer, n);
        if n == SLOT_COUNT {
            writer.paths().for_each(|path| println!("{}", path.display()));
        }
        n += 1;
    }
    Ok(())
}
