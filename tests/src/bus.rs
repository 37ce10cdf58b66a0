//! A bus with machines of any series, whose collector pushes to a receiver.

use crate::export::{Export, Labels, Samples, destination};
use crate::receiver::Receiver;
use crate::simulation::{S, START};
use rondo_collector::export::remote_write::{
    Destination, RelabelAction, RelabelConfig, RelabelRule, STALE_BITS, Tally,
};
use rondo_writer::{Builder, Writer};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The end of a second, in milliseconds.
pub fn ms(second: u64) -> i64 {
    ((START + second * S) / 1_000_000).cast_signed()
}

/// The start of a second, in nanoseconds.
pub fn now(second: u64) -> u64 {
    START + second * S
}

/// Labels, sorted.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    let mut all: Labels = pairs
        .iter()
        .map(|(name, value)| (String::from(*name), String::from(*value)))
        .collect();
    all.sort();
    all
}

/// Of `vm`, without further labels.
pub fn named(name: &str) -> Labels {
    labels(&[("__name__", name), ("instance", "vm")])
}

/// Bits as numbers.
pub fn values(samples: &[(i64, u64)]) -> Vec<(i64, f64)> {
    samples
        .iter()
        .map(|(stamp, bits)| (*stamp, f64::from_bits(*bits)))
        .collect()
}

/// A bus whose collector pushes to a receiver.
pub struct Bus {
    /// What it pushes to.
    pub receiver: Receiver,
    /// The host and its collector.
    pub export: Export,
}

impl Bus {
    /// With a destination that is set so.
    pub fn new(settings: impl FnOnce(&mut Destination)) -> Self {
        let receiver = Receiver::start();
        let mut destination = destination(&receiver.url());
        settings(&mut destination);
        Self {
            export: Export::start(destination),
            receiver,
        }
    }

    /// Of a machine whose time is simulated.
    pub fn builder(&self, instance: &str) -> Builder {
        Writer::builder(instance)
            .bus(self.export.host.bus.path())
            .simulated_time(START)
    }

    /// Lets a machine live for those seconds, in each of which `record` says what it does.
    pub fn live(&self, writer: &mut Writer, seconds: Range<u64>, mut record: impl FnMut(&mut Writer, u64)) {
        for second in seconds {
            record(writer, second);
            writer.tick_at(now(second));
            self.export.pass(second);
        }
    }

    /// One machine `vm` that says for so long what `record` does, up to its markers.
    pub fn one(
        mut self,
        mut writer: Writer,
        seconds: u64,
        record: impl FnMut(&mut Writer, u64),
    ) -> (Samples, Tally) {
        self.live(&mut writer, 0..seconds, record);
        self.end(vec![writer], seconds)
    }

    /// They are gone: all that arrived, each series with its marker, and no rule broken.
    #[track_caller]
    pub fn end(&mut self, writers: Vec<Writer>, second: u64) -> (Samples, Tally) {
        let machines = writers.len();
        drop(writers);
        self.export.pass(second);
        self.export.pass(second + 1);
        let have_ended = self.receiver.wait(PATIENCE, |journal| {
            let samples = journal.samples();
            let has_ended =
                |samples: &Vec<(i64, u64)>| samples.last().is_some_and(|last| last.1 == STALE_BITS);
            let who = |labels: &Labels| -> Labels {
                let is_who = |name: &str| name == "instance" || name == "incarnation";
                labels.iter().filter(|(name, _)| is_who(name)).cloned().collect()
            };
            let known: HashSet<Labels> = samples.keys().map(who).collect();
            known.len() >= machines && samples.values().all(has_ended)
        });
        let tally = self.export.stop();
        self.receiver.assert_clean();
        let mut samples = self.receiver.samples();
        assert!(have_ended, "{:?}", samples.keys());
        for (labels, samples) in &mut samples {
            let marker = samples.pop();
            assert_eq!(marker.map(|marker| marker.1), Some(STALE_BITS), "{labels:?}");
            assert!(samples.iter().all(|sample| sample.1 != STALE_BITS), "{labels:?}");
        }
        (samples, tally)
    }
}

/// The boundaries of a histogram with its newest counts, in order of the boundaries.
pub fn buckets(samples: &Samples, name: &str) -> Vec<(f64, f64)> {
    let of = |labels: &Labels, wanted: &str| {
        labels
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let all = samples
        .iter()
        .filter(|(labels, _)| of(labels, "__name__").as_deref() == Some(name));
    let mut all: Vec<(f64, f64)> = all
        .map(|(labels, samples)| {
            let boundary = of(labels, "le").unwrap();
            let boundary = if boundary == "+Inf" {
                f64::INFINITY
            } else {
                boundary.parse().unwrap()
            };
            (boundary, f64::from_bits(samples.last().unwrap().1))
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

/// A rule for labels.
pub fn rule(
    action: RelabelAction,
    sources: &[&str],
    regex: &str,
    target: Option<&str>,
    to: &str,
) -> RelabelRule {
    RelabelRule::new(RelabelConfig {
        action,
        source_labels: sources.iter().map(|label| (*label).into()).collect(),
        regex: regex.into(),
        target_label: target.map(Into::into),
        replacement: to.into(),
        ..RelabelConfig::default()
    })
    .unwrap()
}

/// Names of the series that arrive of a machine that has `a`, `b` and `c`.
pub fn names_after(rules: Vec<RelabelRule>) -> Vec<Labels> {
    let bus = Bus::new(|destination| destination.relabel = rules);
    let mut writer = bus.builder("vm").create().unwrap();
    let mut gauges = ["a", "b", "c"].map(|name| writer.gauge(name).owned().unwrap());
    let (samples, _) = bus.one(writer, 10, move |_, second| {
        gauges.iter_mut().for_each(|gauge| gauge.set_at(now(second), 1.0));
    });
    samples.into_keys().collect()
}
