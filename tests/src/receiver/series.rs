//! Rules for the series of one request.

use super::message::{Histogram, Series};
use rondo_shm_layout::Labels;
use std::collections::HashSet;

/// Stamps before and after are in other units than milliseconds, or nonsense: September 2001, and the year 2100.
const STAMPS_MS: std::ops::Range<i64> = 1_000_000_000_000..4_102_444_800_000;

/// A sentence for each rule that the series break.
pub fn check(all: &[Series]) -> Vec<String> {
    let mut broken = Vec::new();
    if all.is_empty() {
        broken.push("a request without series".into());
    }
    let mut seen = HashSet::new();
    for series in all {
        let name = display(&series.labels);
        let mut say = |rule: String| broken.push(format!("{name}: {rule}"));
        check_labels(&series.labels, &mut say);
        if !seen.insert(&series.labels) {
            say("two samples of it in one request".into());
        }
        match (series.samples.len(), series.histograms.len()) {
            (1, 0) | (0, 1) => {}
            (samples, histograms) => say(format!(
                "{samples} samples and {histograms} histograms in one request"
            )),
        }
        let of_histograms = series.histograms.iter().map(|histogram| histogram.timestamp_ms);
        for stamp in series.samples.iter().map(|sample| sample.0).chain(of_histograms) {
            if !STAMPS_MS.contains(&stamp) {
                say(format!("{stamp} is no stamp in milliseconds of our time"));
            }
        }
        for (start, (stamp, _)) in series.starts_ms.iter().zip(&series.samples) {
            if *start != 0 && (!STAMPS_MS.contains(start) || start > stamp) {
                say(format!("it began at {start}, and the sample is of {stamp}"));
            }
        }
        for histogram in &series.histograms {
            check_histogram(histogram, &mut say);
        }
    }
    broken
}

fn check_labels(labels: &Labels, say: &mut impl FnMut(String)) {
    for pair in labels.windows(2) {
        if pair[0].0.as_bytes() >= pair[1].0.as_bytes() {
            say(format!("label {:?} stands before {:?}", pair[0].0, pair[1].0));
        }
    }
    let mut named = false;
    for (name, value) in labels {
        if value.is_empty() {
            say(format!("label {name:?} is empty"));
        }
        if name == "__name__" {
            named = true;
            if !is_name(value, true) {
                say("its name is no name of a metric".into());
            }
        } else if !is_name(name, false) {
            say(format!("{name:?} is no name of a label"));
        } else if name.starts_with("__") {
            say(format!("label {name:?} is reserved"));
        }
    }
    if !named {
        say("it has no name".into());
    }
}

fn is_name(text: &str, colons: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    text.chars().all(allowed) && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty()
}

fn check_histogram(histogram: &Histogram, say: &mut impl FnMut(String)) {
    let spanned: u64 = histogram.positive_spans.iter().map(|span| span.1).sum();
    if spanned != histogram.positive_deltas.len() as u64 {
        let deltas = histogram.positive_deltas.len();
        say(format!("spans of {spanned} buckets, and {deltas} deltas"));
    }
    if histogram.positive_spans.iter().skip(1).any(|span| span.0 < 0) {
        say("a span begins before the one before it ends".into());
    }
    let (mut bucket, mut all) = (0i64, i128::from(histogram.zero_count));
    for delta in &histogram.positive_deltas {
        bucket = bucket.wrapping_add(*delta);
        if bucket < 0 {
            say("a bucket has less than nothing".into());
        }
        all += i128::from(bucket);
    }
    if all != i128::from(histogram.count) {
        say(format!(
            "its buckets have {all} samples, and it says {}",
            histogram.count
        ));
    }
    if !(-4..=8).contains(&histogram.schema) {
        say(format!("schema {} is not one", histogram.schema));
    }
}

/// As Prometheus writes it.
pub fn display(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
