//! Machines that never were: rows as ordinary ones leave them, to fill stores with.

use crate::store::{ArchiveSettings, Archives, Layout, Run, Source, StoreError, StoredSeries};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::Functions;
use std::path::Path;
use std::sync::Arc;

/// A second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// When all of it starts.
pub const START_NS: u64 = 1_700_000_000 * SECOND_NS;

/// Numbers that look random, always the same ones.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A layout of series of these kinds.
pub fn layout(tier: u8, interval_s: u64, kinds: &[Kind]) -> Arc<Layout> {
    let series = kinds.iter().enumerate().map(|(index, &kind)| StoredSeries {
        kind,
        unit: Unit::Bytes,
        name: format!("vmm_{}_number_{index}", kind.as_str()),
        help: "One sentence for people, as long as they mostly are.".to_owned(),
        labels: vec![("device".to_owned(), format!("vd{index}"))],
        buckets: None,
    });
    let series: Vec<_> = series.collect();
    Arc::new(Layout::new(
        tier,
        interval_s * SECOND_NS,
        Functions::default(),
        &[],
        series.into(),
    ))
}

/// A machine.
pub fn source(number: u64) -> Arc<Source> {
    let mut dice = Dice(number);
    let mut incarnation = [0; 16];
    incarnation
        .chunks_mut(8)
        .for_each(|half| half.copy_from_slice(&dice.roll().to_le_bytes()));
    Arc::new(Source {
        incarnation,
        boot_id: [1; 16],
        instance: format!("vm-{number:06}"),
        schema: "vmm".to_owned(),
        part: 0,
        uid: 1000,
        labels: vec![("tenant".to_owned(), "blue".to_owned())],
        created_ns: START_NS,
        interval_ns: SECOND_NS,
        simulated_time: false,
    })
}

/// The 30 series of the promises.
pub fn thirty() -> Vec<Kind> {
    [(Kind::Gauge, 20), (Kind::Counter, 6), (Kind::Distribution, 4)]
        .into_iter()
        .flat_map(|(kind, count)| std::iter::repeat_n(kind, count))
        .collect()
}

/// A run whose words are those of `word(row, index)`.
pub fn run_of(
    source: &Arc<Source>,
    layout: &Arc<Layout>,
    first_row: u64,
    rows: u64,
    mut word: impl FnMut(u64, usize) -> u64,
) -> Run {
    let mut run = Run::new(
        source.clone(),
        layout.clone(),
        0,
        START_NS + first_row * layout.interval_ns(),
    );
    let known = vec![if layout.tier() == 0 { 1 } else { 10 }; layout.series().len()];
    for row in first_row..first_row + rows {
        let words: Vec<u64> = (0..layout.width()).map(|index| word(row, index)).collect();
        run.push(&known, &words, []);
    }
    run
}

/// What machines mostly look like: a third constant, a third whole numbers that wander, a third decimals; counters
/// at nearly steady rates.
pub fn ordinary(layout: &Layout, dice: &mut Dice, row: u64, index: usize) -> u64 {
    let is_integer = (0..layout.series().len())
        .find(|&series| layout.words(series).contains(&index))
        .and_then(|series| {
            layout
                .columns(series)
                .iter()
                .nth(index - layout.words(series).start)
        })
        .is_some_and(|column| column.is_integer());
    if is_integer {
        return row * 1_000 * (1 + index as u64) + dice.roll() % 50;
    }
    match index % 3 {
        0 => 4_096.0f64,
        1 => 1_000_000.0 + (dice.roll() % 5_000) as f64,
        _ => (dice.roll() % 1_000) as f64 / 10.0,
    }
    .to_bits()
}

/// Fills a store of the default size until each ring has come round: short machines in tier 0, 200 machines that live for
/// days in the others. Returns how many points that took.
///
/// # Errors
/// Those of the store.
pub fn fill(dir: &Path) -> Result<f64, StoreError> {
    let mut archives = Archives::open(dir, &ArchiveSettings::default())?;
    let mut dice = Dice(7);
    let mut points = 0.0;
    let layouts = [(0, 1), (1, 10), (2, 300)].map(|(tier, interval_s)| layout(tier, interval_s, &thirty()));
    // The words of many runs, made once: it is not the dice that is measured.
    let templates: Vec<Vec<Run>> = layouts
        .iter()
        .zip([45, 30, 12])
        .map(|(layout, rows)| {
            let make = |n| {
                run_of(&source(n), layout, 0, rows, |row, index| {
                    ordinary(layout, &mut dice, row, index)
                })
            };
            (0..64).map(make).collect()
        })
        .collect();
    let full = |archives: &Archives, tier: usize| {
        let usage = &archives.usage()[tier];
        usage.used_extent_count == usage.extent_count
    };
    for (tier, frame_runs) in [(0usize, 100u64), (1, 40), (2, 40)] {
        let mut n = 0;
        // Once round, and then some.
        let mut more = 500;
        while more > 0 {
            let mut run = templates[tier][n as usize % 64].clone();
            let (machine, round) = if tier == 0 {
                (1_000 + n, n / 140)
            } else {
                (n % 200, n / 200)
            };
            run.source = source(machine);
            run.start_ns = START_NS + round * run.rows() as u64 * run.layout.interval_ns();
            points += (run.rows() * 30) as f64;
            archives.append(&run)?;
            n += 1;
            if n % frame_runs == 0 {
                archives.sync()?;
                more -= u64::from(full(&archives, tier));
            }
            // Nobody asks for it, and every frame's directory would repeat it.
            if n % 1_000 == 0 {
                archives.retain_progress(|_| false);
            }
        }
    }
    archives.sync()?;
    Ok(points)
}

/// Rows of tier 1 of a backlog of 50 minutes.
pub const BACKLOG_ROWS: u64 = 300;

/// Puts 50 minutes of tier 1 of so many machines into a store, in the order in which a collector would have stored them.
///
/// # Errors
/// Those of the store.
pub fn fill_backlog(dir: &Path, machines: u32) -> Result<(), StoreError> {
    const RUN_ROWS: u64 = 30;
    let mut archives = Archives::open(dir, &ArchiveSettings::default())?;
    let mut dice = Dice(7);
    let layout = layout(1, 10, &thirty());
    let sources: Vec<_> = (0..machines).map(|number| source(number.into())).collect();
    for first_row in (0..BACKLOG_ROWS).step_by(RUN_ROWS as usize) {
        for source in &sources {
            let run = run_of(source, &layout, first_row, RUN_ROWS, |row, index| {
                ordinary(&layout, &mut dice, row, index)
            });
            archives.append(&run)?;
        }
        archives.sync()?;
    }
    Ok(())
}
