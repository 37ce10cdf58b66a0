//! Units of measure, as words in the slab, and the base units that Prometheus names want.

use core::fmt;

/// What a series counts or measures.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Unit {
    /// A plain number.
    #[default]
    None,
    /// Billionths of a second: what costs nothing in a hot path.
    Nanoseconds,
    /// Millionths of a second.
    Microseconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// 1,024 bytes.
    Kibibytes,
    /// 1,048,576 bytes.
    Mebibytes,
    /// A share, 1 being all.
    Ratio,
    /// A share, 100 being all.
    Percent,
    /// Any other word, passed on as it is.
    Other(String),
}

/// Name, base unit, and how much of the base unit one of it is.
const KNOWN: [(Unit, &str, &str, f64); 10] = [
    (Unit::None, "", "", 1.0),
    (Unit::Nanoseconds, "nanoseconds", "seconds", 1e-9),
    (Unit::Microseconds, "microseconds", "seconds", 1e-6),
    (Unit::Milliseconds, "milliseconds", "seconds", 1e-3),
    (Unit::Seconds, "seconds", "seconds", 1.0),
    (Unit::Bytes, "bytes", "bytes", 1.0),
    (Unit::Kibibytes, "kibibytes", "bytes", 1024.0),
    (Unit::Mebibytes, "mebibytes", "bytes", 1_048_576.0),
    (Unit::Ratio, "ratio", "ratio", 1.0),
    (Unit::Percent, "percent", "ratio", 0.01),
];

impl Unit {
    /// The word in the slab.
    pub fn as_str(&self) -> &str {
        match self {
            Unit::Other(word) => word,
            known => KNOWN.iter().find(|row| row.0 == *known).map_or("", |row| row.1),
        }
    }

    /// The base unit for exporters and what one of this unit is in it; `None` for unknown words.
    pub fn base(&self) -> Option<(&'static str, f64)> {
        KNOWN.iter().find(|row| row.0 == *self).map(|row| (row.2, row.3))
    }
}

impl From<&str> for Unit {
    fn from(word: &str) -> Self {
        KNOWN
            .iter()
            .find(|row| row.1 == word)
            .map_or_else(|| Unit::Other(word.to_owned()), |row| row.0.clone())
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_known_word_comes_back_and_others_are_kept() {
        for (unit, word, ..) in &KNOWN {
            assert_eq!(&Unit::from(*word), unit);
            assert_eq!(unit.as_str(), *word);
        }
        assert_eq!(Unit::from("packets"), Unit::Other("packets".into()));
        assert_eq!(Unit::from("packets").base(), None);
        assert_eq!(Unit::Nanoseconds.base(), Some(("seconds", 1e-9)));
    }
}
