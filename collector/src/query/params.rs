//! A query as a command line or an address gives it: `series=…&start=…&end=…&tier=…`.

use super::{Limits, Request, Tier};
use crate::selector::Selector;
use crate::span::Span;
use std::fmt;
use std::str::FromStr;

/// What was asked for, before the present is known.
#[derive(Debug, Clone)]
pub struct Params {
    /// Which series.
    pub selector: Selector,
    /// Nanoseconds since the Unix epoch.
    pub start: Option<i128>,
    /// Exclusive.
    pub end: Option<i128>,
    /// How far before the end, where no start is given.
    pub range: Span,
    /// From which tier.
    pub tier: Tier,
    /// Each 0 to 1.
    pub quantiles: Vec<f64>,
}

/// How far back a query reaches that does not say.
pub const DEFAULT_RANGE: Span = Span::Ns(60_000_000_000);

/// Most quantiles of one query.
const QUANTILES_MAX: usize = 16;

impl Params {
    /// The last minute of all series.
    pub fn new(selector: Selector) -> Self {
        Self {
            selector,
            start: None,
            end: None,
            range: DEFAULT_RANGE,
            tier: Tier::Auto,
            quantiles: Vec::new(),
        }
    }

    /// From pairs of names and values, decoded: `series` (a selector), `instance`, `schema`, `start` and `end` (see
    /// [`parse_time`]), `range` (a [`Span`]), `tier`, `quantile` (numbers with commas between them).
    ///
    /// # Errors
    /// Which parameter is wrong, and how.
    pub fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, String> {
        let mut params = Self::new(Selector::all());
        let mut and = Vec::new();
        for (name, value) in pairs {
            let wrong = |error: String| format!("{name}: {error}");
            match name {
                "series" => params.selector = value.parse().map_err(|error| format!("{name}: {error}"))?,
                "instance" | "schema" => and.push((name, value)),
                "start" => params.start = Some(parse_time(value).map_err(wrong)?),
                "end" => params.end = Some(parse_time(value).map_err(wrong)?),
                "range" => params.range = value.parse().map_err(wrong)?,
                "tier" => params.tier = value.parse().map_err(wrong)?,
                "quantile" => params.quantiles = parse_quantiles(value).map_err(wrong)?,
                other => {
                    return Err(format!(
                        "{other}: there is no such parameter; there are series, instance, schema, start, end, range, tier and quantile"
                    ));
                }
            }
        }
        for (label, value) in and {
            params.selector = params.selector.and(label, value);
        }
        Ok(params)
    }

    /// The request, if `present_ns` is where an open range ends for the reckoning of its start.
    pub fn request(&self, present_ns: i128, limits: Limits) -> Request {
        let end = self.end.unwrap_or(Request::ALL_TIME.end);
        let start = self.start.unwrap_or_else(|| match self.range {
            Span::All => Request::ALL_TIME.start,
            Span::Ns(ns) => self.end.unwrap_or(present_ns) - i128::from(ns),
        });
        Request {
            selector: self.selector.clone(),
            range: start..end,
            tier: self.tier,
            quantiles: self.quantiles.clone(),
            limits,
        }
    }
}

/// An instant by RFC 3339, or in seconds since the Unix epoch with up to nine decimals, as nanoseconds.
///
/// # Errors
/// That it is neither.
pub fn parse_time(text: &str) -> Result<i128, String> {
    let wrong = || format!("{text:?} is no time: write 2026-01-31T12:00:00Z, or seconds since 1970");
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_nanosecond());
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str, max: usize| {
        (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole, 11) || !is_number(decimals, 9) {
        return Err(wrong());
    }
    let seconds: i128 = whole.parse().map_err(|_| wrong())?;
    let fraction: i128 = format!("{decimals:0<9}").parse().map_err(|_| wrong())?;
    Ok(seconds * 1_000_000_000 + fraction)
}

/// `0.5,0.99`.
///
/// # Errors
/// What is no quantile, or that there are too many.
pub fn parse_quantiles(text: &str) -> Result<Vec<f64>, String> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > QUANTILES_MAX {
        return Err(format!("at most {QUANTILES_MAX} quantiles at once"));
    }
    parts.into_iter().map(parse_quantile).collect()
}

/// One quantile, 0 to 1.
///
/// # Errors
/// That it is none.
pub fn parse_quantile(text: &str) -> Result<f64, String> {
    let quantile = text
        .trim()
        .parse()
        .ok()
        .filter(|quantile| (0.0..=1.0).contains(quantile));
    quantile.ok_or_else(|| format!("{text:?} is no quantile: write a number from 0 to 1, such as 0.99"))
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<u8>()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(number @ 0..=7)) => Ok(Self::Number(number)),
            _ => Err(format!(
                "{text:?} is no tier: write auto, or a number from 0 (what slabs hold) to 7"
            )),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_seconds() {
        for (text, ns) in [
            ("1970-01-01T00:00:01Z", 1_000_000_000),
            ("1970-01-01T01:00:00+01:00", 0),
            ("12", 12_000_000_000),
            ("12.5", 12_500_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(parse_time(text), Ok(ns), "{text}");
        }
        for wrong in [
            "",
            "now",
            "-1",
            "1.",
            ".5",
            "1e3",
            "1.0000000001",
            "999999999999",
            "1970-01-01",
        ] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_become_a_request() {
        let pairs = [
            ("series", "a{b=\"c\"}"),
            ("instance", "vm-1"),
            ("end", "100"),
            ("range", "1m"),
            ("tier", "1"),
            ("quantile", "0.5,1"),
        ];
        let params = Params::from_pairs(pairs).unwrap();
        let request = params.request(5, Limits::default());
        assert_eq!(request.range, 40_000_000_000..100_000_000_000);
        assert_eq!(
            (request.tier, request.quantiles.as_slice()),
            (Tier::Number(1), &[0.5, 1.0][..])
        );
        assert_eq!(request.selector.exact("instance"), Some("vm-1"));
        let open = Params::from_pairs([("range", "1s")])
            .unwrap()
            .request(5_000_000_000, Limits::default());
        assert_eq!(open.range, 4_000_000_000..Request::ALL_TIME.end);
        for (name, value, message) in [
            ("series", "a{", "series: expected"),
            ("tier", "fine", "tier: \"fine\" is no tier"),
            ("quantile", "1.5", "from 0 to 1"),
            ("quantile", "NaN", "from 0 to 1"),
            ("start", "soon", "start: \"soon\" is no time"),
            ("step", "1", "step: there is no such parameter"),
        ] {
            let error = Params::from_pairs([(name, value)]).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
