//! Samples as a VMM has them: durations that spread over three decades.

/// A table of samples between 100 and 100,000, evenly over the logarithm, in an order that repeats
/// exactly but that no branch predictor learns.
pub struct Samples([f64; Self::COUNT]);

impl Samples {
    const COUNT: usize = 1024;

    /// The table.
    pub fn new() -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        Self(std::array::from_fn(|_| {
            // Xorshift (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            (100.0 * 1000.0_f64.powf(unit)).floor()
        }))
    }

    /// The i-th, over and over.
    #[inline(always)]
    pub fn get(&self, i: u64) -> f64 {
        self.0[i as usize % Self::COUNT]
    }
}

impl Default for Samples {
    fn default() -> Self {
        Self::new()
    }
}
