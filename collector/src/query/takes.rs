//! Which series a selector takes: its labels are those of the series, of the machine, and what identifies the slab.

use crate::selector::{Selector, value_of};
use crate::show;
use crate::store::{Layout, Source, StoredSeries};
use rondo_shm_layout::Labels;
use std::collections::HashMap;
use std::sync::Arc;

/// Which series of a layout the selector can take; the machine does not matter for that.
#[derive(Default)]
pub(super) struct NameCache {
    /// With the series themselves, so that a pointer never comes to stand for others.
    of_layout: HashMap<*const StoredSeries, (Arc<[StoredSeries]>, Vec<usize>)>,
}

impl NameCache {
    pub(super) fn candidates(&mut self, selector: &Selector, layout: &Layout) -> &[usize] {
        let known = self.of_layout.entry(layout.series().as_ptr());
        let (_, candidates) = known.or_insert_with(|| {
            // A label that the series has not may be one of the machine.
            let takes = |series: &StoredSeries| {
                selector.matches_by(|label| match label {
                    "__name__" => Some(series.name.as_str()),
                    label => Some(value_of(&series.labels, label)).filter(|value| !value.is_empty()),
                })
            };
            let all = layout.series().iter().enumerate();
            let candidates = all.filter(|(_, series)| takes(series)).map(|(index, _)| index);
            (layout.series().clone(), candidates.collect())
        });
        candidates
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
#[cfg(feature = "cli")]
pub(crate) fn takes_all(selector: &Selector, source: &Source, name: &str, labels: &Labels) -> bool {
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
