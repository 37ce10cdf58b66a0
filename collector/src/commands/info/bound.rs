//! What a machine can take at most: its slab, and its stored rows for as long as its tiers ask for, even if nothing
//! compresses.

use crate::store::archive::{layout_bytes, run_bytes_max};
use crate::store::{ArchiveSettings, SLICE_SERIES_MAX, Source};
use crate::track::{Layouts, layouts_of, run_rows};
use rondo_reader::Slab;
use serde::Serialize;

/// The most that a machine can take as long as it lives.
///
/// Runs are as short as a collector makes them in its ordinary course; each restart of it adds a run a tier. Machines of
/// one kind share their layouts: one that no other is like adds its layouts to each extent that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineBound {
    /// Its slab's file.
    pub slab_bytes: u64,
    /// What is stored of it.
    pub tiers: Vec<TierBound>,
    /// All together.
    pub bytes_max: u64,
}

/// The most that the rows of a consolidated tier can take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierBound {
    /// Its number.
    pub tier: u8,
    /// Rows that the slab's schema asks for.
    pub rows: u64,
    /// Runs that they are stored in, at most.
    pub runs: u64,
    /// Their blocks and directory entries.
    pub run_bytes_max: u64,
    /// Their layout, once for each extent that they would fill.
    pub layout_bytes_max: u64,
}

impl MachineBound {
    /// That of the machine which has this slab, if all its series are registered.
    pub fn of(slab: &Slab) -> Self {
        let (source, tiers) = (Source::from(slab), &slab.layout().tiers);
        let points = slab.layout().axis.interval_ns();
        let mut layouts = Layouts::default();
        let slices: Vec<_> = slab
            .series()
            .chunks(SLICE_SERIES_MAX)
            .map(|series| layouts_of(slab, series, &mut layouts).1)
            .collect();
        let further = tiers.iter().enumerate().skip(1).map(|(number, tier)| {
            let (rows, run_rows) = (tier.slot_count.get(), run_rows(slab, number));
            let (full, rest) = (rows / run_rows as u64, (rows % run_rows as u64) as usize);
            let known_max = u32::try_from(tier.interval_ns.get() / points).unwrap_or(u32::MAX);
            let mut bound = TierBound {
                tier: number as u8,
                rows,
                // One is cut, as collectors do when memory runs short.
                runs: (full + u64::from(rest > 0) + 1).saturating_mul(slices.len() as u64),
                run_bytes_max: 0,
                layout_bytes_max: 0,
            };
            for slice in &slices {
                let layout = &slice[number - 1].0;
                let of_rows = |rows: usize| match rows {
                    0 => 0,
                    rows => run_bytes_max(&source, layout, rows, known_max),
                };
                let run_bytes = full
                    .saturating_mul(of_rows(run_rows))
                    .saturating_add(of_rows(rest))
                    .saturating_add(of_rows(1));
                let extents = run_bytes / u64::from(ArchiveSettings::default().extent_bytes) + 1;
                bound.run_bytes_max = bound.run_bytes_max.saturating_add(run_bytes);
                // A layout of a slab's series can always be written.
                let layout_bytes = layout_bytes(layout).unwrap_or(0).saturating_mul(extents);
                bound.layout_bytes_max = bound.layout_bytes_max.saturating_add(layout_bytes);
            }
            bound
        });
        let tiers: Vec<_> = further.collect();
        let bytes_max = tiers.iter().fold(slab.size_bytes(), |sum, tier| {
            sum.saturating_add(tier.run_bytes_max)
                .saturating_add(tier.layout_bytes_max)
        });
        Self {
            slab_bytes: slab.size_bytes(),
            tiers,
            bytes_max,
        }
    }

    /// In a line.
    pub(super) fn in_words(&self, series_count: usize) -> String {
        let tiers = self.tiers.iter().map(|tier| {
            let bytes = tier.run_bytes_max.saturating_add(tier.layout_bytes_max);
            format!(", {} rows of tier {} {bytes}", tier.rows, tier.tier)
        });
        format!(
            "{} bytes for {series_count} series, even if nothing compresses: slab {}{}",
            self.bytes_max,
            self.slab_bytes,
            tiers.collect::<String>()
        )
    }
}
