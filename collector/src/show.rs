//! Numbers, times, sizes and labels, as people read them.

use jiff::Timestamp;
use rondo_reader::{Labels, Series};

/// A number in the fewest digits that give it back; nothing for NaN.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        String::new()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// A number in six significant digits, and all that are before the point, for tables in which what is behind would only be noise.
pub(crate) fn brief(value: f64) -> String {
    if value.abs() >= 1e5 {
        number(value.round())
    } else if value.fract() == 0.0 {
        number(value)
    } else {
        number(format!("{value:.5e}").parse().unwrap_or(value))
    }
}

/// Text that may be a stranger's, such as the name of a file, without what drives a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// An instant in UTC by RFC 3339; the plain number where no calendar reaches.
pub(crate) fn time(ns: i128) -> String {
    Timestamp::from_nanosecond(ns).map_or_else(|_| format!("{ns} ns"), |time| time.to_string())
}

/// The present by the wall clock, in nanoseconds since the Unix epoch.
pub(crate) fn wall_now_ns() -> i128 {
    Timestamp::now().as_nanosecond()
}

/// A length of time in its two greatest units, or with a decimal.
pub(crate) fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let Some(greatest) = UNITS.iter().position(|(unit, _)| ns >= *unit) else {
        return if ns == 0 { "0s".into() } else { format!("{ns}ns") };
    };
    let (unit, name) = UNITS[greatest];
    let (whole, rest) = (ns / unit, ns % unit);
    if name == "s" && whole < 10 && rest >= unit / 10 {
        return format!("{whole}.{}s", rest / (unit / 10));
    }
    match UNITS.get(greatest + 1) {
        Some((next, next_name)) if rest >= *next && name != "s" => {
            format!("{whole}{name}{}{next_name}", rest / next)
        }
        _ => format!("{whole}{name}"),
    }
}

/// A size in bytes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

/// Labels as selectors and Prometheus write them; nothing for none.
pub(crate) fn labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// Name and labels of a series: a selector for it.
pub(crate) fn series(series: &Series) -> String {
    format!("{}{}", series.name, labels(&series.labels))
}

/// Hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_nan_does_not_show() {
        for (value, shown) in [
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1e300, "1e300"),
            (1.5e-9, "1.5e-9"),
            (0.0, "0"),
            (f64::NAN, ""),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn durations_have_two_units() {
        for (ns, shown) in [
            (0, "0s"),
            (999, "999ns"),
            (1_580_000_000, "1.5s"),
            (1_000_000_000, "1s"),
            (45_200_000_000, "45s"),
            (192_000_000_000, "3m12s"),
            (7_200_000_000_000, "2h"),
            (90_000_000_000_000, "1d1h"),
        ] {
            assert_eq!(duration(ns), shown);
        }
    }

    #[test]
    fn times_sizes_labels() {
        assert_eq!(time(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(time(i128::from(u64::MAX) * 100), "1844674407370955161500 ns");
        assert_eq!((size(512), size(316_416)), ("512 B".into(), "309.0 KiB".into()));
        assert_eq!(
            (brief(31_756.994_450_6), brief(446_464.0)),
            ("31757".into(), "446464".into())
        );
        assert_eq!(
            (brief(4.639_207_841), brief(123_456_788.7)),
            ("4.63921".into(), "123456789".into())
        );
        assert_eq!(labels(&vec![("a".into(), "x\"y".into())]), r#"{a="x\"y"}"#);
    }
}
