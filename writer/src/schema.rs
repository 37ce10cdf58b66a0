//! What a slab has room for and how a collector shall keep it.

use rondo_shm_layout::{Capacity, Functions, Tier, buckets, names};
use std::time::Duration;

/// How a tier makes one value of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConsolidationFn {
    /// Mean, weighted by the number of samples.
    Average,
    /// Least.
    Min,
    /// Greatest.
    Max,
    /// Newest.
    Last,
    /// Sum.
    Sum,
    /// How many there were.
    Count,
}

impl ConsolidationFn {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// One resolution: an interval and how many of them are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierConfig {
    /// Length of an interval.
    pub interval: Duration,
    /// Intervals kept.
    pub slots: u64,
    /// What is kept of each; empty for the default of each kind: gauges average, counters last,
    /// distributions their exact merge.
    pub functions: Vec<ConsolidationFn>,
}

impl TierConfig {
    /// `slots` intervals of this length, consolidated by the default of each kind.
    pub fn new(interval: Duration, slots: u64) -> Self {
        Self {
            interval,
            slots,
            functions: Vec::new(),
        }
    }

    /// Consolidated by these functions.
    #[must_use]
    pub fn with(mut self, functions: &[ConsolidationFn]) -> Self {
        self.functions = functions.to_vec();
        self
    }

    pub(crate) fn record(&self) -> Option<Tier> {
        let functions = self
            .functions
            .iter()
            .fold(Functions::default(), |set, f| Functions(set.0 | f.bit()));
        Some(Tier {
            interval_ns: u64::try_from(self.interval.as_nanos()).ok()?.into(),
            slot_count: self.slots.into(),
            functions: functions.0.into(),
            reserved: 0.into(),
            reserved_tail: 0.into(),
        })
    }
}

/// Which series a schema takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelMatcher {
    /// Series of this name.
    Name(String),
    /// Series whose name starts so.
    NamePrefix(String),
    /// Series with this label.
    Label(String, String),
}

impl LabelMatcher {
    /// Whether a series of this name and labels fits.
    pub fn matches(&self, name: &str, labels: &[(String, String)]) -> bool {
        match self {
            Self::Name(wanted) => name == wanted,
            Self::NamePrefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Label(key, value) => labels.iter().any(|(k, v)| k == key && v == value),
        }
    }
}

/// A schema: one slab of each machine. The first schema whose matchers all fit takes a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConfig {
    /// `[A-Za-z0-9_-]{1,32}`.
    pub name: String,
    /// The slab itself, then what a collector makes of it. Each interval is a multiple of the one before.
    pub tiers: Vec<TierConfig>,
    /// All must fit; none fits everything.
    pub matchers: Vec<LabelMatcher>,
    /// Room for gauges and counters: 16 bytes a slot each.
    pub series_max: u32,
    /// Room for distributions and histograms: 64 bytes a slot each.
    pub distribution_max: u32,
    /// How many of `series_max` may be shared: 128 bytes each.
    pub shared_max: u32,
    /// Histogram buckets, 8 bytes each, of all histograms together.
    pub buckets_max: u32,
    /// Bytes for names, units, helps and labels. Equal ones are stored once.
    pub strings_max: u32,
}

impl SchemaConfig {
    /// A schema of that name, otherwise as by default.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// With these tiers.
    #[must_use]
    pub fn tiers(mut self, tiers: &[TierConfig]) -> Self {
        self.tiers = tiers.to_vec();
        self
    }

    /// With room for that many gauges and counters, and distributions and histograms; the rooms for
    /// texts and buckets follow.
    #[must_use]
    pub fn capacity(mut self, series_max: u32, distribution_max: u32) -> Self {
        self.series_max = series_max;
        self.distribution_max = distribution_max;
        self.strings_max = strings_for(series_max.saturating_add(distribution_max));
        self.buckets_max = distribution_max.saturating_mul(buckets::count_for(1 << 36, 3));
        self
    }

    /// Takes only series that fit this matcher, and all others given.
    #[must_use]
    pub fn matching(mut self, matcher: LabelMatcher) -> Self {
        self.matchers.push(matcher);
        self
    }

    pub(crate) fn takes(&self, name: &str, labels: &[(String, String)]) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(name, labels))
    }

    /// Whether a time lies in one of its slab's intervals.
    pub(crate) fn can_start_at(&self, time_ns: u64) -> bool {
        let interval_ns = self.tiers.first().map_or(0, |tier| tier.interval.as_nanos());
        u128::from(time_ns) >= interval_ns && time_ns < 1 << 63
    }

    /// What a slab of this schema has room for, or why there can be none.
    pub(crate) fn plan(&self) -> Result<(Capacity, Vec<Tier>), String> {
        if !names::is_schema(&self.name) {
            return Err("its name is not of [A-Za-z0-9_-]{1,32}".into());
        }
        let records: Option<Vec<Tier>> = self.tiers.iter().map(TierConfig::record).collect();
        let records = records.ok_or("an interval is too long")?;
        let slot_count = self
            .tiers
            .first()
            .and_then(|tier| u32::try_from(tier.slots).ok())
            .unwrap_or(0);
        let mut shorter = None;
        for (i, tier) in records.iter().enumerate() {
            let interval = tier.interval_ns.get();
            if shorter.is_some_and(|s| interval <= s || !interval.is_multiple_of(s))
                || interval == 0
                || tier.slot_count == 0
            {
                return Err(format!(
                    "the interval of tier {i} is not a multiple of the one before, or it has no slots"
                ));
            }
            shorter = Some(interval);
        }
        if !records
            .first()
            .is_some_and(|tier| (1_000_000..=86_400_000_000_000).contains(&tier.interval_ns.get()))
        {
            return Err("the first tier's interval is not between 1 ms and 1 day".into());
        }
        let capacity = Capacity {
            slot_count,
            series_max: self.series_max,
            distribution_max: self.distribution_max,
            shared_max: self.shared_max,
            buckets_max: self.buckets_max,
            strings_max: self.strings_max,
            tiers: u32::try_from(self.tiers.len()).unwrap_or(u32::MAX),
        };
        Ok((capacity, records))
    }
}

fn strings_for(series: u32) -> u32 {
    series.saturating_mul(160).saturating_add(1024)
}

impl Default for SchemaConfig {
    /// Schema `vmm`: 10 minutes of seconds, 6 hours of 10 s, 7 days of 5 minutes; 24 gauges and
    /// counters and 6 distributions, in less than 512 KiB.
    fn default() -> Self {
        let tier = |seconds, slots| TierConfig::new(Duration::from_secs(seconds), slots);
        Self {
            name: "vmm".into(),
            tiers: vec![tier(1, 600), tier(10, 2_160), tier(300, 2_016)],
            matchers: Vec::new(),
            series_max: 0,
            distribution_max: 0,
            shared_max: 8,
            buckets_max: 0,
            strings_max: 0,
        }
        .capacity(24, 6)
    }
}
