//! Which series a selector takes: its labels are those of the series, of the machine, and what identifies the slab.

use crate::selector::{Selector, value_of};
use crate::show;
use crate::store::{Layout, Source, StoredSeries};
use rondo_shm_layout::Labels;
use std::collections::HashMap;

/// Which series of a layout have a name that the selector takes; the machine does not matter for that.
#[derive(Default)]
pub(super) struct NameCache {
    of_layout: HashMap<*const StoredSeries, Vec<usize>>,
}

impl NameCache {
    pub(super) fn candidates(&mut self, selector: &Selector, layout: &Layout) -> &[usize] {
        // The pointer stays valid, and another's never is the same: the heads that are found keep their layouts.
        self.of_layout.entry(layout.series().as_ptr()).or_insert_with(|| {
            let takes = |series: &StoredSeries| {
                selector.matches_by(|label| (label == "__name__").then_some(series.name.as_str()))
            };
            let all = layout.series().iter().enumerate();
            all.filter(|(_, series)| takes(series))
                .map(|(index, _)| index)
                .collect()
        })
    }
}

/// What a label says of the machine as such, which no label of a series can.
fn of_machine<'s>(source: &'s Source, incarnation: &'s str, label: &str) -> Option<&'s str> {
    match label {
        "instance" => Some(&source.instance),
        "schema" => Some(&source.schema),
        "incarnation" => Some(incarnation),
        _ => None,
    }
}

/// Whether the selector can take a series of that machine.
pub(super) fn takes(selector: &Selector, source: &Source) -> bool {
    let incarnation = show::hex(&source.incarnation);
    selector.matches_by(|label| of_machine(source, &incarnation, label))
}

/// Whether the selector takes a series of a machine.
pub(super) fn takes_all(selector: &Selector, source: &Source, name: &str, labels: &Labels) -> bool {
    takes(selector, source) && takes_series(selector, source, name, labels)
}

/// The same, of a machine of which it was seen before.
pub(super) fn takes_series(selector: &Selector, source: &Source, name: &str, labels: &Labels) -> bool {
    selector.matches_by(|label| match label {
        "__name__" => Some(name),
        "instance" | "schema" | "incarnation" => None,
        label => Some(match value_of(labels, label) {
            "" => value_of(&source.labels, label),
            value => value,
        }),
    })
}
