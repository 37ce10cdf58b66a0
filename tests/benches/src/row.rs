//! One way to record, as a loop.

use anyhow::Result;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Series of each row: what a small VMM has.
pub const SERIES: usize = 30;

/// Records that many times, going on with the series after the last.
pub type Run = Box<dyn FnMut(u64)>;

/// A loop that records, and how to set it up.
pub struct Row {
    /// What to call it on the command line.
    pub name: &'static str,
    /// What a table says.
    pub title: &'static str,
    make: Box<dyn Fn() -> Result<Run>>,
}

impl Row {
    /// A row that `make` sets up.
    pub fn new(name: &'static str, title: &'static str, make: impl Fn() -> Result<Run> + 'static) -> Self {
        let make = Box::new(make);
        Self { name, title, make }
    }

    /// Sets the row up.
    ///
    /// # Errors
    /// What the library says.
    pub fn make(&self) -> Result<Run> {
        (self.make)()
    }
}

/// A loop that calls `record` with the next target and a number that counts up.
///
/// The same loop for all rows, with an index that wraps: what a row costs above the floor is its own.
pub fn round_robin<T: 'static>(mut targets: Vec<T>, mut record: impl FnMut(&mut T, u64) + 'static) -> Run {
    let mut next = 0;
    Box::new(move |iterations| {
        // In locals, so that the loop keeps them in registers.
        let (targets, mut at) = (targets.as_mut_slice(), next);
        for i in 0..black_box(iterations) {
            record(&mut targets[at], i);
            at += 1;
            if at == targets.len() {
                at = 0;
            }
        }
        next = at;
    })
}

/// One value alone on its cache line.
#[repr(align(64))]
struct Line(AtomicU64);

/// The floor: a relaxed store of a word, one line for each series. Nobody could read a time from it.
pub fn floor() -> Row {
    Row::new("floor", "floor: relaxed u64 store, 64 B stride", || {
        let lines = (0..SERIES).map(|_| Line(AtomicU64::new(0))).collect();
        Ok(round_robin(lines, |Line(word), i| {
            word.store(i, Ordering::Relaxed);
        }))
    })
}
