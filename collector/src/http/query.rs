//! The parameters of `/metrics/query` and `/metrics/explain`: those of a [`Params`], each at most once, and a selector in any case.

use super::error::ApiError;
use super::parameters::Parameters;
use crate::query::{Params, QueryError};

const KNOWN: [&str; 8] = [
    "series", "instance", "schema", "start", "end", "range", "tier", "quantile",
];

pub(super) fn parse(query: &str) -> Result<Params, ApiError> {
    let parameters = Parameters::parse(query, &KNOWN)?;
    let mut pairs = Vec::new();
    for name in KNOWN {
        pairs.extend(parameters.one(name)?.map(|value| (name, value)));
    }
    let has = |wanted: &str| pairs.iter().any(|(name, _)| *name == wanted);
    if !has("series") {
        let reason = "which series? For example series=exits_total{vcpu=\"0\"}, or series={} for all";
        return Err(ApiError::parameter("series", reason));
    }
    if has("start") && has("range") {
        return Err(ApiError::parameter(
            "range",
            "it is instead of start, not with it",
        ));
    }
    let params = Params::from_pairs(pairs).map_err(|error| match error.split_once(": ") {
        Some((name, reason)) => ApiError::parameter(name, reason),
        None => ApiError::parameter("series", error),
    })?;
    if let (Some(start), Some(end)) = (params.start, params.end)
        && start >= end
    {
        return Err(ApiError::parameter("end", "it is not after start"));
    }
    Ok(params)
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::too_much(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Tier;

    #[test]
    fn a_full_query() {
        let query = parse(
            "series=a&start=1700000000.25&end=2023-11-14T22:13:21Z&tier=1&instance=vm-1&quantile=0.5,0.999",
        );
        let query = query.unwrap();
        assert_eq!(query.start, Some(1_700_000_000_250_000_000));
        assert_eq!(query.end, Some(1_700_000_001_000_000_000));
        assert_eq!((query.tier, query.quantiles), (Tier::Number(1), vec![0.5, 0.999]));
        assert_eq!(query.selector.exact("instance"), Some("vm-1"));
    }

    #[test]
    fn what_is_wrong_names_its_parameter() {
        for (query, parameter) in [
            ("", "series"),
            ("series=", "series"),
            ("series=a{", "series"),
            ("series=a&series=b", "series"),
            ("series=a&start=yesterday", "start"),
            ("series=a&start=99999999999999999999", "start"),
            ("series=a&start=5&end=5", "end"),
            ("series=a&start=5&range=1h", "range"),
            ("series=a&range=1", "range"),
            ("series=a&tier=2x", "tier"),
            ("series=a&quantile=99", "quantile"),
            ("series=a&step=1", "step"),
        ] {
            let error = parse(query).unwrap_err();
            assert_eq!(error.parameter.as_deref(), Some(parameter), "{query}: {error}");
            assert!(!error.reason.starts_with(parameter), "{query}: {error}");
        }
    }
}
