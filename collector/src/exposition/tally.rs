//! A small histogram of what the collector itself does.

use super::family::Value;

/// Samples by upper boundary.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    boundaries: &'static [f64],
    /// Not cumulative; the last is for what lies beyond.
    counts: Vec<u64>,
    sum: f64,
}

impl Tally {
    /// Boundaries in seconds for what is quick: from 0.1 ms to 10 s.
    pub const SECONDS: &'static [f64] = &[
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ];

    /// Without samples. `boundaries` rise.
    pub fn new(boundaries: &'static [f64]) -> Self {
        Self {
            boundaries,
            counts: vec![0; boundaries.len() + 1],
            sum: 0.0,
        }
    }

    /// Takes a sample.
    pub fn observe(&mut self, sample: f64) {
        let index = self.boundaries.partition_point(|&boundary| boundary < sample);
        self.counts[index] += 1;
        self.sum += sample;
    }

    /// As a value of a histogram family.
    pub fn value(&self) -> Value {
        let cumulative = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        Value::Histogram {
            buckets: self.boundaries.iter().copied().zip(cumulative).collect(),
            count: self.counts.iter().sum(),
            sum: self.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_on_a_boundary_counts_below_it() {
        let mut tally = Tally::new(&[1.0, 2.0]);
        for sample in [0.5, 1.0, 1.5, 9.0] {
            tally.observe(sample);
        }
        let expected = Value::Histogram {
            buckets: vec![(1.0, 2), (2.0, 3)],
            count: 4,
            sum: 12.0,
        };
        assert_eq!(tally.value(), expected);
    }
}
