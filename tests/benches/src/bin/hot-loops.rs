//! Runs one of rondo's loops and nothing else, under valgrind: `hot-loops NAME ITERATIONS`.
//!
//! `hot-loops NAME` makes one call between two stores to a marked word, and prints where that word, the
//! loop's own state and the stack are: what else a trace of memory shows in between is rondo's. Without
//! arguments, lists the names.

use anyhow::{Context, Result};
use rondo_benches::rondo::{self, Place};
use std::sync::atomic::{AtomicU64, Ordering};

/// Alone on its line.
#[repr(align(64))]
struct Mark(AtomicU64);

static MARK: Mark = Mark(AtomicU64::new(0));

fn main() -> Result<()> {
    let mut rows = rondo::rows(Place::Private);
    rows.insert(0, rondo_benches::floor());
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    };
    let row = rows.iter().find(|row| row.name == name);
    let mut run = row.context("no such row")?.make()?;
    if let Some(iterations) = arguments.next() {
        run(iterations.parse()?);
        return Ok(());
    }
    // Twice around: everything has a value in this interval.
    run(60);
    let state = std::ptr::from_ref(&*run);
    let first = state.addr();
    print!("mark {} skip", line(std::ptr::from_ref(&MARK).addr()));
    for at in (first / 64 * 64..first + size_of_val(&*run)).step_by(64) {
        print!(" {}", line(at));
    }
    println!(" stack {:x}", std::ptr::from_ref(&state).addr() >> 16);
    MARK.0.store(1, Ordering::Relaxed);
    run(1);
    MARK.0.store(2, Ordering::Relaxed);
    Ok(())
}

/// The cache line of an address, in a form that a shell can make of hexadecimal digits: all but the
/// last two, and the upper two bits of those.
fn line(address: usize) -> String {
    format!("{:x}{}", address >> 8, address >> 6 & 3)
}
