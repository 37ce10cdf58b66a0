//! Machines of simulated time, a collector, and what it pushes to a server; and what the server has to have then, worked
//! out from the values alone.

use crate::simulation::{Host, Machine, START, pass, world};
use rondo_collector::collector::Collector;
use rondo_collector::export::remote_write::{Destination, STALE_BITS, Sender, Tally};
use rondo_writer::SchemaConfig;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// Labels, sorted.
pub type Labels = Vec<(String, String)>;

/// Stamps in milliseconds and the bits of values, by series, in order.
pub type Samples = BTreeMap<Labels, Vec<(i64, u64)>>;

/// When simulated time starts, in milliseconds.
pub const START_MS: i64 = (START / 1_000_000).cast_signed();

/// A host whose collector pushes.
pub struct Export {
    /// Where its slabs and its store are.
    pub host: Host,
    /// What makes passes.
    pub collector: Arc<RwLock<Collector>>,
    /// What pushes.
    pub sender: Option<Sender>,
    destination: Arc<Destination>,
}

/// A destination of machines whose time is long ago.
pub fn destination(url: &str) -> Destination {
    Destination {
        backlog: Duration::from_secs(50 * 365 * 86_400),
        deadline: Duration::from_secs(2),
        ..Destination::new("test", url)
    }
}

impl Export {
    /// Pushes to that destination.
    pub fn start(destination: Destination) -> Self {
        Self::start_with(Host::new(), Host::collector, destination)
    }

    /// Pushes what another collector of the host has.
    pub fn start_with(host: Host, open: impl Fn(&Host) -> Collector, destination: Destination) -> Self {
        let collector = Arc::new(RwLock::new(open(&host)));
        let mut export = Self {
            host,
            collector,
            sender: None,
            destination: Arc::new(destination),
        };
        export.push();
        export
    }

    /// Starts to push, from where it was left.
    pub fn push(&mut self) {
        self.sender = Some(self.another(&self.destination.clone()));
    }

    /// Starts to push with other settings, from where it was left.
    pub fn push_to(&mut self, destination: Destination) {
        self.destination = Arc::new(destination);
        self.push();
    }

    /// One more sender, to another destination of the same collector.
    pub fn another(&self, destination: &Arc<Destination>) -> Sender {
        Sender::start(destination.clone(), &self.exports(), self.collector.clone(), None)
    }

    /// Where the journals are.
    pub fn exports(&self) -> PathBuf {
        self.host.store.path().join("export")
    }

    /// The journal of the destination.
    pub fn journal(&self) -> PathBuf {
        self.exports().join(format!("{}.journal", self.destination.name))
    }

    /// Stops to push, and says what the destination has had.
    pub fn stop(&mut self) -> Tally {
        let Some(sender) = self.sender.take() else {
            return Tally::default();
        };
        let tallies = sender.tallies().clone();
        sender.tell_to_stop();
        sender.wait(Instant::now() + Duration::from_secs(10));
        tallies.get()
    }

    /// Another collector in the place of this one, which was told to stop.
    pub fn restart(&mut self, second: u64) {
        self.collector.write().unwrap().finish(self.host.at(second));
        self.kill();
    }

    /// Another collector in the place of this one, which is gone without a word.
    pub fn kill(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.tell_to_stop();
            sender.wait(Instant::now());
        }
        // The store is another's only once it is free.
        let empty = tempfile::tempdir().unwrap();
        let mut settings = self.host.settings();
        (settings.bus, settings.store) = (empty.path().into(), empty.path().join("store"));
        let nobody = Collector::open(settings, self.host.start).unwrap();
        drop(std::mem::replace(&mut *self.collector.write().unwrap(), nobody));
        self.collector = Arc::new(RwLock::new(self.host.collector()));
    }

    /// A machine of the guide's tiers.
    pub fn machine(&self, instance: &str) -> Machine {
        Machine::start(&self.host, instance, SchemaConfig::default())
    }

    /// A pass at a second.
    pub fn pass(&self, second: u64) {
        pass(&mut self.collector.write().unwrap(), self.host.at(second));
        if let Some(sender) = &self.sender {
            sender.wake();
        }
    }

    /// Lets machines live for those seconds, with a pass after each.
    pub fn live(&self, machines: &mut [Machine], seconds: Range<u64>) {
        for second in seconds {
            machines.iter_mut().for_each(|machine| machine.live(second));
            self.pass(second);
        }
    }

    /// The machines are gone: passes until that is noticed.
    pub fn end(&self, machines: Vec<Machine>, second: u64) {
        drop(machines);
        self.pass(second);
        self.pass(second + 1);
    }

    /// Waits until the tally is as wanted, and says whether it got so in time.
    pub fn wait(&self, limit: Duration, wanted: impl Fn(&Tally) -> bool) -> bool {
        let end = Instant::now() + limit;
        while !wanted(&self.tally()) {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// What the destination has had.
    pub fn tally(&self) -> Tally {
        self.sender
            .as_ref()
            .map(|sender| sender.tallies().get())
            .unwrap_or_default()
    }
}

/// What a server has to have of a machine that lived for so many seconds from [`START`] on and is gone: tier 1.
pub fn expected(instance: &str, seconds: u64) -> Samples {
    let mut samples = Samples::new();
    let mut add = |name: &str, stamp_ms: i64, value: f64| {
        let labels = vec![
            ("__name__".to_owned(), name.to_owned()),
            ("instance".to_owned(), instance.to_owned()),
        ];
        samples
            .entry(labels)
            .or_default()
            .push((stamp_ms, value.to_bits()));
    };
    let start_ms = START_MS;
    for name in ["counter_total", "distribution_count", "distribution_sum"] {
        add(name, start_ms, 0.0);
    }
    let mut all: Vec<f64> = Vec::new();
    for window in 0..seconds.div_ceil(10) {
        let known = window * 10..((window + 1) * 10).min(seconds);
        let last = known.end - 1;
        // The last window ends with the second of the machine's last tick.
        let stamp_ms = start_ms + (known.end * 1_000).cast_signed();
        let values: Vec<f64> = known.clone().filter_map(world::gauge).collect();
        if !values.is_empty() {
            add(
                "gauge",
                stamp_ms,
                values.iter().sum::<f64>() / values.len() as f64,
            );
        }
        add("counter_total", stamp_ms, world::counter(last) as f64);
        all.extend(known.clone().flat_map(world::samples));
        add("distribution_count", stamp_ms, all.len() as f64);
        add("distribution_sum", stamp_ms, all.iter().sum());
        let own: Vec<f64> = known.flat_map(world::samples).collect();
        if let Some(least) = own.iter().copied().reduce(f64::min) {
            add("distribution_min", stamp_ms, least);
            add(
                "distribution_max",
                stamp_ms,
                own.iter().copied().fold(f64::MIN, f64::max),
            );
        }
    }
    samples
}

/// The same with the markers that end all series that had a value in the last run of rows.
pub fn expected_to_the_end(instance: &str, seconds: u64) -> Samples {
    let mut samples = expected(instance, seconds);
    let end_ms = START_MS + (seconds * 1_000).cast_signed();
    // A run has 30 rows at most.
    let run_ms = START_MS + ((seconds.div_ceil(10) - 1) / 30 * 300_000).cast_signed();
    for column in samples.values_mut() {
        if column.last().is_some_and(|(stamp_ms, _)| *stamp_ms > run_ms) {
            column.push((end_ms + 1, STALE_BITS));
        }
    }
    samples
}

/// The samples of a machine that was born so many seconds after [`START`].
pub fn born(birth: u64, samples: Samples) -> Samples {
    let mut samples = samples;
    for (stamp_ms, _) in samples.values_mut().flatten() {
        *stamp_ms += (birth * 1_000).cast_signed();
    }
    samples
}

/// How many samples there are.
pub fn count(samples: &Samples) -> usize {
    samples.values().map(Vec::len).sum()
}

/// The same of several machines that lived for as long.
pub fn expected_of(instances: &[&str], seconds: u64) -> Samples {
    let all = instances.iter();
    all.flat_map(|instance| expected_to_the_end(instance, seconds))
        .collect()
}

/// Fails with the first difference in sight.
#[track_caller]
pub fn assert_samples(found: &Samples, expected: &Samples) {
    for (labels, column) in expected {
        let other = found.get(labels).map_or(&[][..], Vec::as_slice);
        let show = |column: &[(i64, u64)]| -> Vec<(i64, f64)> {
            column
                .iter()
                .map(|(stamp, bits)| (*stamp, f64::from_bits(*bits)))
                .collect()
        };
        assert!(
            other == column.as_slice(),
            "{labels:?}\nfound    {:?}\nexpected {:?}",
            show(other),
            show(column)
        );
    }
    let more: Vec<&Labels> = found
        .keys()
        .filter(|labels| !expected.contains_key(*labels))
        .collect();
    assert!(more.is_empty(), "nobody expects {more:?}");
}
