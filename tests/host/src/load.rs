//! What else the machine did, since it is hardly ever alone.

use crate::figures::figure;
use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use procfs::{Current, CurrentSI, KernelStats, LoadAverage};
use std::fmt;
use std::time::Duration;

/// How busy the machine had been by some moment.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    all_s: f64,
    own: Duration,
}

impl Busy {
    /// Now.
    ///
    /// # Errors
    /// `/proc/stat` cannot be read.
    pub fn read() -> Result<Self> {
        let all = KernelStats::current()?.total;
        let ticks = all.user
            + all.nice
            + all.system
            + all.irq.unwrap_or_default()
            + all.softirq.unwrap_or_default()
            + all.steal.unwrap_or_default();
        Ok(Self {
            all_s: ticks as f64 / procfs::ticks_per_second() as f64,
            own: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into(),
        })
    }

    /// CPU seconds since `before` of everybody; counted by ticks, so a rough number.
    pub fn all_s(&self, before: &Self) -> f64 {
        self.all_s - before.all_s
    }

    /// CPU seconds since `before` that neither this process nor those used which used `measured_s`; counted by ticks, so a
    /// rough number. What a hypervisor gave to others counts.
    pub fn others_s(&self, before: &Self, measured_s: f64) -> f64 {
        let own_s = (self.own - before.own).as_secs_f64();
        (self.all_s(before) - own_s - measured_s).max(0.0)
    }
}

/// How many threads ran or wanted to, on average over the last minute.
///
/// # Errors
/// `/proc/loadavg` cannot be read.
pub fn average() -> Result<f64> {
    Ok(LoadAverage::current()?.one.into())
}

/// Between what the load was while something was measured.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    least: f64,
    most: f64,
}

impl Range {
    /// As it is now.
    ///
    /// # Errors
    /// `/proc/loadavg` cannot be read.
    pub fn begin() -> Result<Self> {
        let now = average()?;
        Ok(Self {
            least: now,
            most: now,
        })
    }

    /// Looks again.
    ///
    /// # Errors
    /// `/proc/loadavg` cannot be read.
    pub fn look(&mut self) -> Result<()> {
        self.add(average()?);
        Ok(())
    }

    fn add(&mut self, load: f64) {
        self.least = self.least.min(load);
        self.most = self.most.max(load);
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} to {}", figure(self.least), figure(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_and_what_measures_is_not_of_others() {
        let before = Busy {
            all_s: 10.0,
            own: Duration::from_secs(1),
        };
        let after = Busy {
            all_s: 15.0,
            own: Duration::from_secs(2),
        };
        assert_eq!(after.all_s(&before), 5.0);
        assert_eq!(after.others_s(&before, 1.5), 2.5);
        assert_eq!(after.others_s(&before, 10.0), 0.0);
        assert!(Busy::read().unwrap().all_s > 0.0);
    }

    #[test]
    fn a_range_has_the_least_and_the_most() {
        let mut range = Range::begin().unwrap();
        range.look().unwrap();
        (range.least, range.most) = (2.0, 2.0);
        [3.0, 1.5, 2.5].into_iter().for_each(|load| range.add(load));
        assert_eq!(range.to_string(), "1.50 to 3.00");
    }
}
