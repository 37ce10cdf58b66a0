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

/// A boundary. Whole numbers have a decimal, in both formats: Prometheus before 3.0 takes `1` and `1.0`
/// for different series, and which format it gets is a matter of its settings.
fn boundary(value: f64) -> String {
    let text = number(value);
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        text + ".0"
    } else {
        text
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
    let help = if family.help.is_empty() {
        // The linter wants one, and so do people who wonder.
        "No help was registered."
    } else {
        &family.help
    };
    push(out, &["# HELP ", name, " "]);
    escape_into(out, help, format == Format::OpenMetrics);
    push(out, &["\n# TYPE ", name, " ", kind, "\n"]);
    let has_unit = name
        .strip_suffix(family.unit.as_str())
        .is_some_and(|rest| !family.unit.is_empty() && rest.ends_with('_'));
    if format == Format::OpenMetrics && has_unit {
        push(out, &["# UNIT ", name, " ", &family.unit, "\n"]);
    }
    for sample in &family.samples {
        write_sample(out, &family.name, sample.labels.as_str(), &sample.value);
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
