//! What a slab alone has to export: the points of tier 0 that are still in it.

use super::slice::{Piece, Slice};
use super::stock::Stock;
use crate::consolidate::write_points;
use crate::query::RunHead;
use crate::selector::Selector;
use crate::store::{Layout, Run, Source, StoredSeries};
use rondo_reader::Slab;
use rondo_shm_layout::Functions;
use std::sync::Arc;

/// The series of a slab that the selector takes, read at once: a slab is small.
pub(super) fn stock(slab: &Slab, selector: &Selector) -> anyhow::Result<Stock> {
    let view = slab.view()?;
    let source = Arc::new(Source::from(slab));
    let mut stock = Stock::new(None, selector);
    let Some((first_ns, last_ns)) = view.window() else {
        return Ok(stock);
    };
    for (number, series) in slab.series().iter().enumerate() {
        let mut stored = StoredSeries::from(series);
        if !stock.takes(&source, &stored) {
            continue;
        }
        // It has them as they are now, and not as they were.
        stored.buckets = None;
        let interval_ns = slab.layout().axis.interval_ns();
        let layout = Layout::new(0, interval_ns, Functions::default(), &[], [stored].into());
        let mut run = Run::new(source.clone(), Arc::new(layout), 0, first_ns);
        run.clock_offset_ns = view.clock_offset_ns;
        slab.each_point(series, &view, first_ns, last_ns, |point| {
            // What is not there yet is not known. Open intervals are not over: they leave when they are.
            if point.partial || point.t < run.end_ns() {
                return;
            }
            while run.end_ns() < point.t {
                write_points(&mut run, [None]);
            }
            write_points(&mut run, [Some((point.value, point.filled))]);
        })?;
        let mut slice = Slice::new(&RunHead::from(&run), number);
        slice.push(Piece::Read(Box::new(run)), 0);
        stock.slices.push(slice);
    }
    stock.settle();
    Ok(stock)
}
