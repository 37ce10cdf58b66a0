//! Numbers by chance that can be had again.
//!
//! `RONDO_SEED` repeats a run's numbers, `RONDO_SOAK=n` makes a test of chance `n` times as long.

use std::time::UNIX_EPOCH;

/// xorshift: any numbers will do, as long as they can be had again.
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn of(seed: u64) -> Self {
        // From 0 there would be nothing but zeros.
        Self(if seed == 0 { 1 } else { seed })
    }

    /// The numbers of [`seed`].
    #[allow(dead_code, reason = "not every test that takes this file in asks")]
    pub fn of_this_run() -> Self {
        Self::of(seed())
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }
}

/// What `RONDO_SEED` says, or another one in each run; printed, so that a run that fails can be repeated.
pub fn seed() -> u64 {
    let now = UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos() as u64;
    let seed = number("RONDO_SEED").unwrap_or(now);
    println!("RONDO_SEED={seed}");
    seed
}

/// How many times as long a test of chance shall be.
pub fn soak() -> u64 {
    number("RONDO_SOAK").unwrap_or(1)
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}
