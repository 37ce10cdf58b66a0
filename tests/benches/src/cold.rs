//! What a call costs that finds nothing in the caches: what a VMM sees that records now and then.

use crate::measure::Effort;
use crate::row::Row;
use anyhow::Result;
use rondo_host::figures::quantile;
use std::hint::black_box;
use std::time::Instant;

/// More than the last level of any cache that one core is given here.
const EVICTION_BYTES: usize = 64 << 20;

/// Rows that need no such care: the kernel's part outweighs what caches do.
const SYSTEM_CALLS: [&str; 2] = ["write", "statsd"];

/// One cold call of a row.
pub struct Cold {
    /// What a table says.
    pub title: &'static str,
    /// Nanoseconds, ascending; the clock's own share included.
    pub ns: Vec<f64>,
}

impl Cold {
    /// A quantile.
    pub fn quantile_ns(&self, q: f64) -> f64 {
        quantile(&self.ns, q)
    }
}

/// Times single calls, each after walking a buffer that takes the place of everything cached. The
/// first row is an empty call: what the clock itself costs then.
///
/// # Errors
/// A row cannot be set up.
pub fn measure(rows: &[Row], effort: Effort) -> Result<Vec<Cold>> {
    let empty = Row::new("empty", "nothing (the clock itself)", || Ok(Box::new(|_| {})));
    let mut buffer = vec![1_u64; EVICTION_BYTES / 8];
    let mut results = Vec::new();
    let mut runs = Vec::new();
    let rows = rows.iter().filter(|row| !SYSTEM_CALLS.contains(&row.name));
    for row in std::iter::once(&empty).chain(rows) {
        let mut run = row.make()?;
        run(1_000);
        runs.push(run);
        results.push(Cold {
            title: row.title,
            ns: Vec::new(),
        });
    }
    for _ in 0..effort.repetitions * 3 {
        for (run, result) in runs.iter_mut().zip(&mut results) {
            for line in buffer.iter_mut().step_by(8) {
                *line = line.wrapping_add(1);
            }
            black_box(&mut buffer);
            let start = Instant::now();
            run(1);
            result.ns.push(start.elapsed().as_nanos() as f64);
        }
    }
    for result in &mut results {
        result.ns.sort_by(f64::total_cmp);
    }
    Ok(results)
}
