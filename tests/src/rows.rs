//! What the test writers write: one row for each interval, of one series of each kind, with values
//! that follow from the interval. So each can be checked by itself, in any language.
//!
//! Row n is written in [`ROUNDS`] rounds, each through the four series in the order of [`SERIES`].

use rondo_writer::{
    Counter, Distribution, Gauge, Histogram, RegisterError, SchemaConfig, TierConfig, Writer,
};
use std::time::Duration;

/// Length of an interval. Time is simulated, so it passes as fast as the writer writes.
pub const INTERVAL_NS: u64 = 1_000_000;
/// Slots of each column.
pub const SLOT_COUNT: u64 = 16;
/// Rounds of a row.
pub const ROUNDS: u64 = 4;
/// The series in the order in which they are written.
pub const SERIES: [&str; 4] = [
    "check_gauge",
    "check_counter",
    "check_distribution",
    "check_histogram",
];

/// The gauge in round `round` of row `n`.
pub fn gauge(n: u64, round: u64) -> f64 {
    (n * 1_000 + round) as f64
}

/// The counter in round `round` of row `n`.
pub fn counter(n: u64, round: u64) -> u64 {
    n * 1_000_000 + round
}

/// The `index`-th sample of a distribution or histogram since it was registered, from 0.
pub fn sample(index: u64) -> f64 {
    (index % 1_024) as f64
}

/// The sum of the samples before the `count`-th.
pub fn sum(count: u64) -> f64 {
    let (cycles, rest) = (count / 1_024, count % 1_024);
    (cycles * (1_023 * 1_024 / 2) + rest * rest.saturating_sub(1) / 2) as f64
}

/// The schema that the rows go into: as small as it can be.
pub fn schema() -> SchemaConfig {
    let schema = SchemaConfig::new("check").capacity(2, 2);
    schema.tiers(&[TierConfig::new(Duration::from_nanos(INTERVAL_NS), SLOT_COUNT)])
}

/// The handles of the series, and how far they are.
pub struct Rows {
    gauge: Gauge,
    counter: Counter,
    distribution: Distribution,
    histogram: Histogram,
    next_sample: u64,
}

impl Rows {
    /// Registers the series. The first sample to come is the `next_sample`-th.
    ///
    /// # Errors
    /// A series cannot be registered.
    pub fn register(writer: &mut Writer, next_sample: u64) -> Result<Self, RegisterError> {
        Ok(Self {
            gauge: writer.gauge(SERIES[0]).owned()?,
            counter: writer.counter(SERIES[1]).owned()?,
            distribution: writer.distribution(SERIES[2]).owned()?,
            histogram: writer.histogram(SERIES[3]).owned()?,
            next_sample,
        })
    }

    /// Writes row `n`, which is after all that were written.
    pub fn write(&mut self, writer: &mut Writer, n: u64) {
        let t = n * INTERVAL_NS;
        for round in 0..ROUNDS {
            self.gauge.set_at(t, gauge(n, round));
            self.counter.set_total_at(t, counter(n, round));
            self.distribution.record_at(t, sample(self.next_sample));
            self.histogram.record_at(t, sample(self.next_sample));
            self.next_sample += 1;
        }
        writer.tick_at(t);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_samples() {
        let mut expected = 0.0;
        for count in 0..5_000 {
            assert_eq!(sum(count), expected, "{count}");
            expected += sample(count);
        }
    }
}
