//! Writing a family in either format.
//!
//! Both have one line for each value, `name{labels} value`, after comment lines that say what the name
//! means. OpenMetrics calls a counter by its name without `_total`, has `# UNIT` for names that end in
//! their unit, escapes quotes in the help, and ends the page with `# EOF`.

use super::family::{Family, Value};
use super::labels::escape_into;

/// Which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Exactly as Prometheus expects it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A number in the fewest digits that give it back, as Go's `ParseFloat` reads it.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// A boundary, in both formats exactly as Go's `FormatFloat(value, 'g', -1, 64)` has it, with a decimal for
/// whole numbers. It is part of a series' identity: Prometheus 3 turns all others into this form, and those
/// before take `1` and `1.0` for different series.
pub(crate) fn boundary(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        // With at least one decimal.
        format!("{value:?}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

/// Writes one family; nothing if it has no samples.
pub(super) fn write_family(out: &mut String, family: &Family, format: Format, is_ambiguous: bool) {
    if family.samples.is_empty() {
        return;
    }
    let (name, kind) = match format {
        Format::OpenMetrics if is_ambiguous => (family.name.as_str(), "unknown"),
        Format::OpenMetrics => (family.stem(), family.kind.as_str()),
        Format::Text => (family.name.as_str(), family.kind.as_str()),
    };
    write_head(out, name, kind, &family.unit, &family.help, format);
    for sample in &family.samples {
        write_sample(out, &family.name, sample.labels.as_str(), &sample.value);
    }
}

/// The comment lines before a family's samples.
pub(crate) fn write_head(out: &mut String, name: &str, kind: &str, unit: &str, help: &str, format: Format) {
    // The linter wants one, and so do people who wonder.
    let help = if help.is_empty() {
        "No help was registered."
    } else {
        help
    };
    push(out, &["# HELP ", name, " "]);
    escape_into(out, help, format == Format::OpenMetrics);
    push(out, &["\n# TYPE ", name, " ", kind, "\n"]);
    let has_unit = name
        .strip_suffix(unit)
        .is_some_and(|rest| !unit.is_empty() && rest.ends_with('_'));
    if format == Format::OpenMetrics && has_unit {
        push(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
}

fn write_sample(out: &mut String, name: &str, labels: &str, value: &Value) {
    match value {
        Value::Number(value) => line(out, name, "", labels, "", &number(*value)),
        Value::Summary { count, sum } => {
            line(out, name, "_count", labels, "", &count.to_string());
            line(out, name, "_sum", labels, "", &number(*sum));
        }
        Value::Histogram { buckets, count, sum } => {
            let finite = buckets.iter().filter(|(upper, _)| upper.is_finite());
            for (upper, samples) in finite {
                line(
                    out,
                    name,
                    "_bucket",
                    labels,
                    &boundary(*upper),
                    &samples.to_string(),
                );
            }
            let count = count.to_string();
            line(out, name, "_bucket", labels, "+Inf", &count);
            line(out, name, "_count", labels, "", &count);
            line(out, name, "_sum", labels, "", &number(*sum));
        }
    }
}

/// `name suffix {labels,le="…"} value`.
fn line(out: &mut String, name: &str, suffix: &str, labels: &str, le: &str, value: &str) {
    push(out, &[name, suffix]);
    if !labels.is_empty() || !le.is_empty() {
        push(out, &["{", labels]);
        if !le.is_empty() {
            let comma = if labels.is_empty() { "" } else { "," };
            push(out, &[comma, "le=\"", le, "\""]);
        }
        out.push('}');
    }
    push(out, &[" ", value, "\n"]);
}

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_boundaries_are_gos() {
        for (value, shown, as_boundary) in [
            (0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (0.25, "0.25", "0.25"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-5", "1e-05"),
            (2.56e-7, "2.56e-7", "2.56e-07"),
            (100_000.0, "100000", "100000.0"),
            (1_000_000.0, "1000000", "1e+06"),
            (1_048_576.0, "1048576", "1.048576e+06"),
            (1e100, "1e100", "1e+100"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        ] {
            assert_eq!(
                (number(value).as_str(), boundary(value).as_str()),
                (shown, as_boundary)
            );
        }
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16, 5e-324].map(number);
        assert_eq!(odd, ["NaN", "+Inf", "-Inf", "1e16", "5e-324"]);
    }
}
