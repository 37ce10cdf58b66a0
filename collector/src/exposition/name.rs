//! The names under which series leave, and their scale.
//!
//! Prometheus wants base units, the unit at the end of the name, `_total` after it for counters, and the
//! endings of other kinds for nobody else. So, for a series of a known unit: an ending that says the unit
//! goes, the base unit comes, and values are scaled. Words that are no known unit change neither name nor
//! value. Colons are for recording rules and become underscores.

use super::family::FamilyKind;
use rondo_shm_layout::{Kind, Unit};
use std::borrow::Cow;

/// How a series leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// As [`super::Family::name`].
    pub name: String,
    /// What it is to Prometheus.
    pub kind: FamilyKind,
    /// The base unit; empty for none.
    pub unit: String,
    /// From the series' unit to the base unit.
    pub scale: Scale,
}

/// From a series' unit to its base unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Base units in one of the series' units.
    Times(f64),
    /// The series' units in one base unit: 10⁻⁹ is not a binary fraction, but 10⁹ is exact, so 1,500 ns
    /// divided by it is the number that `1.5e-6` stands for.
    Over(f64),
}

impl Scale {
    fn of(factor: f64) -> Self {
        if factor < 1.0 {
            Self::Over(factor.recip().round())
        } else {
            Self::Times(factor)
        }
    }

    /// The value in the base unit.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::Times(factor) => value * factor,
            Self::Over(divisor) => value / divisor,
        }
    }
}

/// Endings that say a unit, without their underscore.
const ENDINGS: [(Unit, &[&str]); 9] = [
    (
        Unit::Nanoseconds,
        &["nanoseconds", "nanosecond", "nanos", "nsec", "ns"],
    ),
    (
        Unit::Microseconds,
        &["microseconds", "microsecond", "micros", "usec", "us"],
    ),
    (
        Unit::Milliseconds,
        &["milliseconds", "millisecond", "millis", "msec", "ms"],
    ),
    (Unit::Seconds, &["seconds", "second", "secs", "sec", "s"]),
    (Unit::Bytes, &["bytes", "byte", "b"]),
    (Unit::Kibibytes, &["kibibytes", "kilobytes", "kib", "kb"]),
    (Unit::Mebibytes, &["mebibytes", "megabytes", "mib", "mb"]),
    (Unit::Ratio, &["ratio"]),
    (Unit::Percent, &["percent", "pct"]),
];

/// Endings that Prometheus keeps for certain kinds.
const RESERVED: [&str; 4] = ["total", "count", "sum", "bucket"];

/// How a series of that name, unit and kind leaves.
///
/// ```
/// use rondo_collector::exposition::exported;
/// use rondo_reader::{Kind, Unit};
///
/// let series = exported("vcpu_busy_ns_total", &Unit::Nanoseconds, Kind::Counter);
/// assert_eq!(series.name, "vcpu_busy_seconds_total");
/// assert_eq!(series.scale.apply(1_500.0), 1.5e-6);
/// ```
pub fn exported(name: &str, unit: &Unit, kind: Kind) -> Exported {
    let kind = match kind {
        Kind::Gauge => FamilyKind::Gauge,
        Kind::Counter => FamilyKind::Counter,
        Kind::Distribution => FamilyKind::Summary,
        Kind::Histogram => FamilyKind::Histogram,
    };
    let colonless = if name.contains(':') {
        Cow::Owned(name.replace(':', "_"))
    } else {
        Cow::Borrowed(name)
    };
    let reserved = match kind {
        FamilyKind::Counter => &RESERVED[..1],
        _ => &RESERVED[..],
    };
    let (base, factor) = unit.base().unwrap_or((unit.as_str(), 1.0));
    let mut stem = without_endings(&colonless, reserved);
    let endings = ENDINGS
        .iter()
        .find(|(of, _)| of == unit)
        .map(|(_, endings)| *endings);
    if let Some(endings) = endings {
        stem = endings
            .iter()
            .find_map(|ending| without(stem, ending))
            .unwrap_or(stem);
        stem = without_endings(stem, reserved);
    }
    let mut name = stem.to_owned();
    if endings.is_some() && without(stem, base).is_none() && stem != base {
        name = format!("{stem}_{base}");
    }
    if kind == FamilyKind::Counter {
        name.push_str("_total");
    }
    let unit = base.to_owned();
    let scale = Scale::of(factor);
    Exported {
        name,
        kind,
        unit,
        scale,
    }
}

/// `name` without `_ending`, if it ends so and something is left.
fn without<'n>(name: &'n str, ending: &str) -> Option<&'n str> {
    name.strip_suffix(ending)?
        .strip_suffix('_')
        .filter(|rest| !rest.is_empty())
}

fn without_endings<'n>(name: &'n str, endings: &[&str]) -> &'n str {
    let mut rest = name;
    while let Some(shorter) = endings.iter().find_map(|ending| without(rest, ending)) {
        rest = shorter;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_base_unit_and_kind() {
        use Kind::{Counter, Distribution, Gauge, Histogram};
        for (name, unit, kind, leaves) in [
            ("exits", Unit::None, Counter, "exits_total"),
            ("exits_total", Unit::None, Counter, "exits_total"),
            ("exit_count", Unit::None, Counter, "exit_count_total"),
            ("busy_ns_total", Unit::Nanoseconds, Counter, "busy_seconds_total"),
            ("busy_total_ns", Unit::Nanoseconds, Counter, "busy_seconds_total"),
            ("read_bytes", Unit::Bytes, Counter, "read_bytes_total"),
            (
                "exit_duration_ns",
                Unit::Nanoseconds,
                Histogram,
                "exit_duration_seconds",
            ),
            (
                "exit_duration",
                Unit::Microseconds,
                Distribution,
                "exit_duration_seconds",
            ),
            (
                "exit_duration_seconds",
                Unit::Seconds,
                Distribution,
                "exit_duration_seconds",
            ),
            (
                "exit_duration_seconds",
                Unit::Milliseconds,
                Distribution,
                "exit_duration_seconds",
            ),
            ("memory_mib", Unit::Mebibytes, Gauge, "memory_bytes"),
            ("memory", Unit::Kibibytes, Gauge, "memory_bytes"),
            ("cpu", Unit::Percent, Gauge, "cpu_ratio"),
            ("cpu_pct", Unit::Percent, Gauge, "cpu_ratio"),
            ("queue_total", Unit::None, Gauge, "queue"),
            ("vcpu_count", Unit::None, Gauge, "vcpu"),
            ("a:b", Unit::None, Gauge, "a_b"),
            ("packets", Unit::Other("packets".into()), Gauge, "packets"),
            ("total", Unit::None, Gauge, "total"),
            ("_total", Unit::None, Gauge, "_total"),
            ("ns", Unit::Nanoseconds, Gauge, "ns_seconds"),
            ("seconds", Unit::Seconds, Gauge, "seconds"),
        ] {
            assert_eq!(exported(name, &unit, kind).name, leaves, "{name} {unit} {kind:?}");
        }
    }

    /// 0.1 × 3 is not 0.3: a time of 300 ns must not leave as 3.0000000000000004e-7.
    #[test]
    fn scaled_decimals_are_exact() {
        let scale = |unit: Unit| exported("x", &unit, Kind::Gauge).scale;
        for ns in (0..10_000u32).chain([1_000_000_007, 4_000_000_001]) {
            let seconds = scale(Unit::Nanoseconds).apply(f64::from(ns));
            assert_eq!(seconds, format!("{ns}e-9").parse::<f64>().unwrap());
            let ratio = scale(Unit::Percent).apply(f64::from(ns));
            assert_eq!(ratio, format!("{ns}e-2").parse::<f64>().unwrap());
        }
        assert_eq!(scale(Unit::Mebibytes).apply(1.5), 1_572_864.0);
    }
}
