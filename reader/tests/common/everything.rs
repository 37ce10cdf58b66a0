//! Everything that a slab can be asked, whatever its bytes are: also for `fuzz/`.

use rondo_reader::{Limits, Slab, audit};
use std::path::Path;

/// Asks it, and throws what is not an error of ours away.
pub fn use_everything(path: &Path) {
    let audited = audit(path, &Limits::default(), false).unwrap();
    let Ok(mut slab) = Slab::open(path, &Limits::default()) else {
        assert!(!audited.is_clean(), "what cannot be opened has a finding");
        return;
    };
    slab.refresh().unwrap();
    slab.live().unwrap();
    let view = slab.view().unwrap();
    let (first, last) = view.window().unwrap_or_default();
    for series in slab.series() {
        slab.latest(series, &view).unwrap();
        let points = slab.range(series, &view, 0, u64::MAX).unwrap();
        assert!(points.is_sorted_by(|a, b| a.t < b.t));
        assert!(points.iter().all(|point| (first..=last).contains(&point.t)));
        slab.range(series, &view, last, first).unwrap();
        let mut slots = 0u64;
        slab.each_slot(series, &view, first, u64::MAX, |_, _| slots += 1)
            .unwrap();
        assert!(slots <= slab.layout().axis.slot_count());
        slab.buckets(series, &view).unwrap();
        slab.ended_ns(series).unwrap();
    }
    let mut visited = 0u64;
    slab.scan(&view, 0, u64::MAX, |_, _| visited += 1).unwrap();
    assert!(visited <= slab.size_bytes() / 16, "no slot is visited twice");
    view.complete_ns();
}
