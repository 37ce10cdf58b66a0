//! The parameters of `/metrics/query`.

use super::error::ApiError;
use super::parameters::Parameters;
use crate::selector::Selector;
use crate::span::Span;
use jiff::Timestamp;
use rondo_shm_layout::names;
use std::time::Instant;

const KNOWN: [&str; 7] = ["series", "start", "end", "range", "tier", "instance", "quantile"];

/// Quantiles of one query.
const QUANTILES_MAX: usize = 8;

/// A query, as far as it can be checked without knowing what there is.
#[derive(Debug, Clone)]
pub struct QueryParameters {
    /// Which series, as it was written.
    pub series: String,
    /// Which series.
    pub selector: Selector,
    /// Start of the range by the wall clock in nanoseconds, less than `end_ns`. Not there if `range` is.
    pub start_ns: Option<u64>,
    /// End of the range, not included; now, if it is not there.
    pub end_ns: Option<u64>,
    /// How far back from the end.
    pub range: Option<Span>,
    /// From which tier.
    pub tier: Tier,
    /// Of which machine; of all, if it is not there.
    pub instance: Option<String>,
    /// Which quantiles of histograms, each from 0 to 1.
    pub quantiles: Vec<f64>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
}

/// Where points are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// The finest tier for each part of the range.
    #[default]
    Auto,
    /// That one, 0 being the slab's own interval.
    Number(u8),
}

impl QueryParameters {
    pub(super) fn parse(query: &str, deadline: Instant) -> Result<Self, ApiError> {
        let parameters = Parameters::parse(query, &KNOWN)?;
        let one = |name| parameters.one(name);
        let Some(series) = one("series")? else {
            let reason = "which series? For example series=exits_total{vcpu=\"0\"}, or series={} for all";
            return Err(ApiError::parameter("series", reason));
        };
        let wrong = |name: &'static str| move |reason: String| ApiError::parameter(name, reason);
        let instant = |name| one(name)?.map(instant).transpose().map_err(wrong(name));
        let (start_ns, end_ns) = (instant("start")?, instant("end")?);
        let range = one("range")?
            .map(str::parse)
            .transpose()
            .map_err(wrong("range"))?;
        if start_ns.is_some() && range.is_some() {
            return Err(ApiError::parameter(
                "range",
                "it is instead of start, not with it",
            ));
        }
        if let (Some(start), Some(end)) = (start_ns, end_ns)
            && start >= end
        {
            return Err(ApiError::parameter("end", "it is not after start"));
        }
        let instance = one("instance")?.map(str::to_owned);
        if let Some(name) = &instance
            && !names::is_instance(name)
        {
            return Err(ApiError::parameter(
                "instance",
                "this cannot be the name of an instance",
            ));
        }
        let quantiles: Result<Vec<f64>, String> = parameters.all("quantile").map(quantile).collect();
        let quantiles = quantiles.map_err(wrong("quantile"))?;
        if quantiles.len() > QUANTILES_MAX {
            return Err(ApiError::parameter(
                "quantile",
                format!("at most {QUANTILES_MAX} in one query"),
            ));
        }
        Ok(Self {
            selector: series.parse().map_err(|error| selector_error("series", &error))?,
            series: series.to_owned(),
            start_ns,
            end_ns,
            range,
            tier: one("tier")?.map_or(Ok(Tier::Auto), tier).map_err(wrong("tier"))?,
            instance,
            quantiles,
            deadline,
        })
    }
}

/// A selector that cannot be understood.
pub(super) fn selector_error(parameter: &str, error: &crate::SelectorError) -> ApiError {
    ApiError::parameter(parameter, error.to_string())
}

fn tier(text: &str) -> Result<Tier, String> {
    match text.parse() {
        Ok(number) => Ok(Tier::Number(number)),
        Err(_) if text == "auto" => Ok(Tier::Auto),
        Err(_) => Err("a tier is auto or a number from 0 on".into()),
    }
}

/// `0.99`, or `p99` in hundredths.
fn quantile(text: &str) -> Result<f64, String> {
    let value = match text.strip_prefix('p') {
        Some(hundredths) => format!("{hundredths}e-2").parse::<f64>(),
        None => text.parse(),
    };
    value
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| "a quantile is a number from 0 to 1, or p0 to p100".into())
}

/// Seconds since the Unix epoch with or without decimals, or RFC 3339; in nanoseconds.
fn instant(text: &str) -> Result<u64, String> {
    let wrong =
        || "an instant is in Unix seconds, such as 1700000000.5, or as 2023-11-14T22:13:20Z".to_owned();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let ns = if is_number {
        seconds(text).ok_or_else(wrong)?
    } else {
        let time: Timestamp = text.parse().map_err(|_| wrong())?;
        u64::try_from(time.as_nanosecond()).map_err(|_| "before 1970".to_owned())?
    };
    if ns > 1 << 63 {
        Err("too far ahead".into())
    } else {
        Ok(ns)
    }
}

/// Decimal seconds as nanoseconds, exactly; what is finer is cut off.
fn seconds(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = whole.parse().ok()?;
    let decimals = format!("{:0<9}", decimals.get(..9).unwrap_or(decimals));
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(decimals.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<QueryParameters, ApiError> {
        QueryParameters::parse(query, Instant::now())
    }

    #[test]
    fn a_full_query() {
        let query = parse("series=a&start=1700000000.25&end=2023-11-14T22:13:21Z&tier=1&instance=vm-1&quantile=0.5&quantile=p99.9").unwrap();
        assert_eq!(query.series, "a");
        assert_eq!(query.start_ns, Some(1_700_000_000_250_000_000));
        assert_eq!(query.end_ns, Some(1_700_000_001_000_000_000));
        assert_eq!((query.tier, query.quantiles), (Tier::Number(1), vec![0.5, 0.999]));
        let query = parse("series=%7B%7D&range=1h&tier=auto").unwrap();
        assert_eq!(query.range, Some(Span::Ns(3_600_000_000_000)));
        assert_eq!(
            (query.start_ns, query.tier, query.instance),
            (None, Tier::Auto, None)
        );
    }

    #[test]
    fn what_is_wrong_names_its_parameter() {
        for (query, parameter) in [
            ("", "series"),
            ("series=", "series"),
            ("series=a{", "series"),
            ("series=a&start=yesterday", "start"),
            ("series=a&start=1.2.3", "start"),
            ("series=a&start=.", "start"),
            ("series=a&start=-1", "start"),
            ("series=a&start=1969-01-01T00:00:00Z", "start"),
            ("series=a&start=99999999999999999999", "start"),
            ("series=a&start=5&end=5", "end"),
            ("series=a&start=5&range=1h", "range"),
            ("series=a&range=1", "range"),
            ("series=a&tier=2x", "tier"),
            ("series=a&tier=-1", "tier"),
            ("series=a&quantile=99", "quantile"),
            ("series=a&quantile=NaN", "quantile"),
            ("series=a&instance=a/b", "instance"),
        ] {
            let error = parse(query).unwrap_err();
            assert_eq!(error.parameter.as_deref(), Some(parameter), "{query}: {error}");
        }
    }

    #[test]
    fn decimals_of_seconds_are_exact() {
        for (text, ns) in [
            ("0", 0),
            ("1.", 1_000_000_000),
            ("1.5", 1_500_000_000),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("1.0000000019", 1_000_000_001),
        ] {
            assert_eq!(seconds(text), Some(ns), "{text}");
        }
    }
}
