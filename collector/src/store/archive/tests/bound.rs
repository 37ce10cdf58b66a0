//! What promises of disk space stand on: no run takes more than its bound, and one takes as much.

use super::super::frame::ENTRY_BYTES;
use super::super::{run_block, run_bytes_max};
use super::samples::{any_run, layout, source};
use crate::store::{Run, Source};
use proptest::prelude::*;
use rondo_reader::Kind;
use rondo_shm_layout::SENTINEL;
use std::sync::Arc;

fn encoded_bytes(run: &Run) -> u64 {
    let mut block = Vec::new();
    run_block::encode(&mut block, run, 0..run.rows()).unwrap();
    (ENTRY_BYTES + block.len()) as u64
}

proptest! {
    #[test]
    fn no_run_takes_more_than_the_bound(run in any_run()) {
        let bound = run_bytes_max(&run.source, &run.layout, run.rows(), run.known.iter().copied().max().unwrap());
        prop_assert!(encoded_bytes(&run) <= bound, "{} of {bound}", encoded_bytes(&run));
    }
}

/// Nothing compresses, one value is unknown, and counts and times are as long as they can be: it is the bound, but for
/// what the least count of a column may take.
#[test]
fn the_worst_run_is_as_long_as_the_bound() {
    for (rows, known_max) in [(1, 127), (30, 10), (24, 127), (600, 3)] {
        let layout = layout(1, &[Kind::Gauge, Kind::Counter, Kind::Distribution]);
        let worst = Arc::new(Source {
            created_ns: u64::MAX,
            ..(*source(1)).clone()
        });
        let mut run = Run::new(worst, layout.clone(), 0, 0);
        run.ended_ns = u64::MAX;
        for row in 0..rows {
            let noise = |at: usize| {
                let mixed = ((row * 8 + at) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
            };
            let words: Vec<u64> = (0..layout.width())
                .map(|at| {
                    if rows == 600 && row == 7 {
                        SENTINEL
                    } else {
                        noise(at)
                    }
                })
                .collect();
            let known = [0, 1, 2].map(|series| if (row + series) % 2 == 0 { known_max } else { 0 });
            run.push(&known, &words, []);
        }
        let (bytes, bound) = (
            encoded_bytes(&run),
            run_bytes_max(&run.source, &layout, rows, known_max),
        );
        let counts = if rows == 1 { 3 } else { 0 };
        assert_eq!(bytes + counts, bound, "{rows} rows");
    }
}
