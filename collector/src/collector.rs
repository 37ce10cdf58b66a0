//! The collector: all slabs of a bus, what is made of them, and the archives it goes to.
//!
//! [`Collector::pass`] is called once a second. It never writes to a slab, and removes one only when its writer is
//! gone, everything in it is durable, and the time is over for which it was to be kept.

mod attached;
mod live;
mod totals;

pub use totals::{PassReport, States, Totals};

use crate::exposition::HostTotals;
use crate::show;
use crate::store::{ArchiveSettings, Archives, StoreError};
use crate::track::{Tracked, Workshop};
use attached::Attached;
use rondo_reader::{Bus, Limits, Slab};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long rows may wait in memory before they are made durable.
const SYNC_EVERY: Duration = Duration::from_secs(60);

/// From so many slabs on they take turns.
const TURNS_FROM: usize = 500;

/// Passes in which each slab has ended its runs once if memory runs short. Machines that were started together have runs of one
/// length: ended in one pass, it would take long, and they would stay together.
const EARLY_TURNS: u64 = 32;

/// Memory for rows that wait to be stored: at least so much, and so much for each series.
const WAITING_BYTES: usize = 8 << 20;
const WAITING_BYTES_PER_SERIES: usize = 400;

/// What a collector needs to know.
#[derive(Debug, Clone)]
pub struct CollectorSettings {
    /// Directory of the slabs.
    pub bus: PathBuf,
    /// Directory of the archives.
    pub store: PathBuf,
    /// Their size.
    pub archives: ArchiveSettings,
    /// How long the slab of an ended machine stays once it is stored.
    pub keep: Duration,
    /// What is let in.
    pub limits: Limits,
}

/// All slabs of a bus and the archives.
pub struct Collector {
    settings: CollectorSettings,
    /// `None` as long as the directory does not exist.
    bus: Option<Bus>,
    /// By file name, as the bus has its slabs: the two are walked together.
    attached: BTreeMap<String, Attached>,
    /// Slabs whose file is gone while the writer lives.
    orphans: Vec<(Slab, Attached)>,
    archives: Archives,
    workshop: Workshop,
    totals: Totals,
    last_sync: Instant,
    synced_pass: u64,
    /// Whether more rows wait in memory than should.
    is_short_of_memory: bool,
}

impl Collector {
    /// Opens the store, and the bus if it is there. `now` is when that happens.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(settings: CollectorSettings, now: Instant) -> Result<Self, StoreError> {
        let archives = Archives::open(&settings.store, &settings.archives)?;
        Ok(Self {
            settings,
            bus: None,
            attached: BTreeMap::new(),
            orphans: Vec::new(),
            archives,
            workshop: Workshop {
                started_ns: u64::try_from(show::wall_now_ns()).unwrap_or(0),
                ..Workshop::default()
            },
            totals: Totals::default(),
            last_sync: now,
            synced_pass: 0,
            is_short_of_memory: false,
        })
    }

    /// Takes over what can be changed while running.
    pub fn reconfigure(&mut self, keep: Duration, limits: Limits) {
        self.settings.keep = keep;
        if self.settings.limits != limits {
            self.settings.limits = limits;
            if let Some(bus) = &mut self.bus {
                bus.set_limits(&limits);
            }
        }
    }

    /// Looks at every slab once; at the directory only if `rescan` says that it may
    /// have changed.
    ///
    /// Nothing that goes wrong with one slab or with the disk keeps the rest from its turn: see the report.
    pub fn pass(&mut self, now: Instant, rescan: bool) -> PassReport {
        let mut report = PassReport::default();
        self.totals.passes += 1;
        if rescan {
            self.rescan(&mut report);
        }
        self.workshop.takes_turns = self.attached.len() >= TURNS_FROM;
        self.workshop.lag_ns = 0;
        self.look_at_slabs(now, &mut report);
        self.look_at_orphans(now, &mut report);
        self.sync_if_due(now, &mut report);
        self.remove_stored(now, &mut report);
        self.totals.tally = self.workshop.tally.clone();
        report
    }

    fn rescan(&mut self, report: &mut PassReport) {
        let changes = match &mut self.bus {
            Some(bus) => bus.rescan(),
            None => Bus::open(&self.settings.bus, &self.settings.limits).map(|bus| {
                let added = bus.file_names().map(str::to_owned).collect();
                self.bus = Some(bus);
                rondo_reader::Changes {
                    added,
                    removed: Vec::new(),
                }
            }),
        };
        let changes = match changes {
            Ok(changes) => changes,
            Err(error) => return report.errors.push(error.into()),
        };
        for slab in changes.removed {
            let name = slab.identity().file_name();
            let Some(attached) = self.attached.remove(&name) else {
                continue;
            };
            // Without a file, a writer that lives goes on writing all the same.
            if !attached.is_stored() {
                self.orphans.push((slab, attached));
            }
        }
        report.attached += changes.added.len();
        let added = changes.added.into_iter();
        self.attached
            .extend(added.map(|name| (name, Attached::default())));
    }

    /// Takes up the slabs that came since the last pass, so that they can be queried at once. Costs a look at the directory.
    pub fn discover(&mut self) -> PassReport {
        let mut report = PassReport::default();
        self.rescan(&mut report);
        let Some(bus) = &mut self.bus else { return report };
        for (slab, attached) in bus.slabs_mut().zip(self.attached.values_mut()) {
            if attached.tracked.is_none() && attached.ended.is_none() {
                match Tracked::attach(slab, &mut self.archives, &mut self.workshop.layouts) {
                    Ok(tracked) => attached.tracked = Some(tracked),
                    Err(error) => report.errors.push(error.into()),
                }
            }
        }
        report
    }

    fn look_at_slabs(&mut self, now: Instant, report: &mut PassReport) {
        let Some(bus) = &mut self.bus else { return };
        let (mut waiting_bytes, mut series) = (0, 0);
        let pass = self.totals.passes;
        for (slab, attached) in bus.slabs_mut().zip(self.attached.values_mut()) {
            series += slab.series().len();
            match attached.look(slab, &mut self.archives, &mut self.workshop, (now, pass)) {
                Ok(looked) => self.totals.count(looked, report),
                Err(error) => self.totals.complain(error, report),
            }
            if let Some(tracked) = &mut attached.tracked {
                if self.is_short_of_memory {
                    tracked.end_runs_in_turn(pass, EARLY_TURNS);
                }
                waiting_bytes += tracked.memory_bytes();
            }
        }
        let limit = WAITING_BYTES.max(WAITING_BYTES_PER_SERIES * series);
        self.is_short_of_memory = waiting_bytes > limit;
    }

    fn look_at_orphans(&mut self, now: Instant, report: &mut PassReport) {
        let pass = self.totals.passes;
        for (slab, attached) in &mut self.orphans {
            match attached.look(slab, &mut self.archives, &mut self.workshop, (now, pass)) {
                Ok(looked) => self.totals.count(looked, report),
                Err(error) => self.totals.complain(error, report),
            }
        }
        self.orphans.retain(|(_, attached)| !attached.is_stored());
    }

    /// Rows of machines that have ended are waited for; others are made durable in their turn.
    fn sync_if_due(&mut self, now: Instant, report: &mut PassReport) {
        let keep = self.settings.keep;
        let is_waited_for = |attached: &Attached| {
            attached.ended.is_some_and(|ended| {
                now >= ended.at + keep && ended.stored_in_pass.is_some_and(|pass| pass > self.synced_pass)
            })
        };
        if now < self.last_sync + SYNC_EVERY && !self.attached.values().any(is_waited_for) {
            return;
        }
        self.last_sync = now;
        self.forget_progress();
        match self.archives.sync() {
            Ok(()) => self.synced_pass = self.totals.passes,
            Err(error) => {
                self.totals.store_errors += 1;
                report.errors.push(error.into());
            }
        }
    }

    /// The archives remember how far each slab is stored; of those that are gone nobody will ask again.
    fn forget_progress(&mut self) {
        let on_bus = self.bus.iter().flat_map(Bus::slabs);
        let orphans = self.orphans.iter().map(|(slab, _)| slab);
        let present: HashSet<[u8; 16]> = on_bus
            .chain(orphans)
            .map(|slab| slab.identity().incarnation)
            .collect();
        self.archives
            .retain_progress(|key| present.contains(&key.incarnation));
    }

    fn remove_stored(&mut self, now: Instant, report: &mut PassReport) {
        let Some(bus) = &mut self.bus else { return };
        let (keep, synced) = (self.settings.keep, self.synced_pass);
        for (slab, attached) in bus.slabs_mut().zip(self.attached.values_mut()) {
            let Some(ended) = &mut attached.ended else {
                continue;
            };
            if ended.is_removed
                || now < ended.at + keep
                || ended.stored_in_pass.is_none_or(|pass| pass > synced)
            {
                continue;
            }
            match slab.remove() {
                Ok(true) => {
                    ended.is_removed = true;
                    report.unlinked += 1;
                }
                // Reopened, which `look` notices, or another file by now, which `rescan` does.
                Ok(false) => {}
                Err(error) => report.errors.push(error.into()),
            }
        }
        self.totals.unlinked += report.unlinked as u64;
    }

    /// Everything that is complete goes into the store. Windows that are open are made by whoever collects next.
    pub fn finish(&mut self, now: Instant) -> PassReport {
        let mut report = PassReport::default();
        self.workshop.takes_turns = false;
        // Once to make rows, and once more to store what ending the runs added.
        for _ in 0..2 {
            self.look_at_slabs(now, &mut report);
            self.look_at_orphans(now, &mut report);
            let orphans = self.orphans.iter_mut().map(|(_, attached)| attached);
            let tracked = self.attached.values_mut().chain(orphans);
            tracked
                .filter_map(|attached| attached.tracked.as_mut())
                .for_each(|tracked| tracked.end_runs(0));
        }
        if let Err(error) = self.archives.sync() {
            report.errors.push(error.into());
        }
        report
    }

    /// How many slabs there are of each state.
    pub fn states(&self) -> States {
        let mut states = States {
            refused: self.bus.as_ref().map_or(0, |bus| bus.refused_count() as u64),
            ..States::default()
        };
        for attached in self
            .attached
            .values()
            .chain(self.orphans.iter().map(|(_, attached)| attached))
        {
            match &attached.tracked {
                _ if attached.ended.is_some() => states.ended += 1,
                Some(tracked) if tracked.is_stuck() => states.stuck += 1,
                _ => states.live += 1,
            }
        }
        states
    }

    /// What happened since the start.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How far the slab that was furthest behind in the last pass was behind what it could be.
    pub fn lag(&self) -> Duration {
        Duration::from_nanos(self.workshop.lag_ns)
    }

    /// The totals of the host, as of the last pass.
    pub fn host_totals(&self) -> HostTotals {
        let mut totals = self.workshop.host.clone();
        totals.begin_gauges();
        self.slabs()
            .for_each(|(_, tracked)| tracked.tell_gauges(&mut totals));
        totals
    }

    /// The archives, to be queried.
    pub fn archives(&self) -> &Archives {
        &self.archives
    }

    /// Whether what is on the bus is known.
    pub(crate) fn has_seen_bus(&self) -> bool {
        self.bus.is_some() && self.totals.passes > 0
    }

    /// How many slabs have come to their ends, in whatever way.
    pub(crate) fn end_count(&self) -> u64 {
        self.totals.ended + self.totals.lost
    }

    /// The slabs that are attached, with what has been made of them.
    pub fn slabs(&self) -> impl Iterator<Item = (&Slab, &Tracked)> {
        let on_bus = self.bus.iter().flat_map(Bus::slabs).zip(self.attached.values());
        let orphans = self.orphans.iter().map(|(slab, attached)| (slab, attached));
        on_bus
            .chain(orphans)
            .filter_map(|(slab, attached)| Some((slab, attached.tracked.as_ref()?)))
    }
}
