//! A sum of growth that loses nothing over the years.
//!
//! A double forgets units above 2⁵³, and fractions long before. So whole numbers are added up as such, exactly, and
//! only what is behind the point is a double that stays below 1: each addition of a fraction is off by at most 2⁻⁵³,
//! however large the sum.

/// What was added up; never less than 0, and always a number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amount {
    whole: u128,
    /// From 0 to below 1.
    part: f64,
}

impl Amount {
    /// One that was written down.
    pub(super) fn new(whole: u128, part: f64) -> Option<Self> {
        (0.0..1.0).contains(&part).then_some(Self { whole, part })
    }

    pub(super) fn whole(self) -> u128 {
        self.whole
    }

    pub(super) fn part(self) -> f64 {
        self.part
    }

    /// Adds growth, which is finite and not negative.
    pub(super) fn grow(&mut self, growth: f64) {
        let whole = growth.trunc();
        self.add(Self {
            whole: whole as u128,
            part: growth - whole,
        });
    }

    pub(super) fn add(&mut self, more: Self) {
        self.whole = self.whole.saturating_add(more.whole);
        self.part += more.part;
        if self.part >= 1.0 {
            self.part -= 1.0;
            self.whole = self.whole.saturating_add(1);
        }
    }

    /// The nearest double. It never falls when the amount grows.
    pub(super) fn value(self) -> f64 {
        self.whole as f64 + self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_exact_beyond_what_a_double_counts() {
        let mut amount = Amount::default();
        amount.grow(2f64.powi(53));
        for _ in 0..1_000 {
            amount.grow(1.0);
        }
        assert_eq!(amount.whole(), (1 << 53) + 1_000);
        assert_eq!(amount.value(), 2f64.powi(53) + 1_000.0);
    }

    /// A double that holds the sum would be off by thousands here.
    #[test]
    fn fractions_are_not_lost_in_a_large_sum() {
        let mut amount = Amount::default();
        amount.grow(1e15);
        for _ in 0..100_000 {
            amount.grow(0.1);
        }
        let grown = (amount.whole() - 1_000_000_000_000_000) as f64 + amount.part();
        assert!((grown - 10_000.0).abs() < 1e-7, "{grown}");
    }

    proptest! {
        #[test]
        fn the_value_never_falls(start in any::<u64>(), growths in prop::collection::vec(0.0..3.0f64, 1..50)) {
            let mut amount = Amount::new(u128::from(start), 0.0).unwrap();
            let mut before = amount.value();
            for growth in growths {
                amount.grow(growth);
                prop_assert!(amount.value() >= before);
                prop_assert!((0.0..1.0).contains(&amount.part()));
                before = amount.value();
            }
        }
    }
}
