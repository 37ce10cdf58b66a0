//! How far back: `30s`, `1h30m`, `all`.

use std::fmt;
use std::str::FromStr;

/// A stretch of time before the newest interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All that is there.
    All,
    /// That many nanoseconds, at least 1.
    Ns(u64),
}

const UNITS: [(&str, u64); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl Span {
    /// Start of the first of the intervals that the span covers, of those that end with `last_ns`'s.
    /// A part of an interval counts as a whole one.
    pub fn first_ns(self, last_ns: u64, interval_ns: u64) -> u64 {
        match self {
            Self::All => 0,
            Self::Ns(ns) => {
                let intervals = ns.div_ceil(interval_ns.max(1)).max(1);
                last_ns.saturating_sub((intervals - 1).saturating_mul(interval_ns))
            }
        }
    }
}

impl fmt::Display for Span {
    /// In the greatest unit that gives it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Ns(ns) => {
                let (unit, unit_ns) = UNITS
                    .iter()
                    .rev()
                    .find(|(_, unit)| ns.is_multiple_of(*unit))
                    .unwrap_or(&UNITS[0]);
                write!(f, "{}{unit}", ns / unit_ns)
            }
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let wrong = || "a range is `all` or numbers with ms, s, m, h or d, such as 30s or 1h30m".to_owned();
        let (mut rest, mut sum) = (text, 0u64);
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
            let (unit, after) =
                after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
            let (_, ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let part = number.checked_mul(*ns).ok_or("a range is at most 584 years")?;
            sum = sum.checked_add(part).ok_or("a range is at most 584 years")?;
            rest = after;
        }
        if sum == 0 { Err(wrong()) } else { Ok(Self::Ns(sum)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, ns) in [
            ("30s", 30_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("250ms", 250_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Span::Ns(ns)));
            assert_eq!(Span::Ns(ns).to_string().parse(), Ok(Span::Ns(ns)));
        }
        assert_eq!("all".parse(), Ok(Span::All));
        assert_eq!(Span::All.to_string(), "all");
        assert_eq!(Span::Ns(5_400_000_000_000).to_string(), "90m");
        for wrong in [
            "",
            "0s",
            "s",
            "10",
            "10x",
            "-1s",
            "1.5h",
            "1 h",
            "99999999999999999999s",
            "9999999d",
            "ä",
        ] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    /// One minute of seconds is 60 intervals, the last one included.
    #[test]
    fn the_newest_interval_counts() {
        assert_eq!(Span::Ns(60).first_ns(1_000, 10), 950);
        assert_eq!(Span::Ns(1).first_ns(1_000, 10), 1_000);
        assert_eq!(Span::Ns(11).first_ns(1_000, 10), 990);
        assert_eq!(Span::Ns(u64::MAX).first_ns(1_000, 10), 0);
        assert_eq!(Span::All.first_ns(1_000, 10), 0);
    }
}
