//! What stands where.

use super::error::ApiError;
use super::guard;
use super::limits::Limits;
use hyper::{Method, Request, StatusCode};

/// A page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Index,
    Query,
    Explain,
    Info,
    Health,
    Metrics,
    Machines,
    Healthy,
    Ready,
}

const ROUTES: [(&str, Route); 9] = [
    ("/", Route::Index),
    ("/metrics", Route::Metrics),
    ("/metrics/machines", Route::Machines),
    ("/metrics/query", Route::Query),
    ("/metrics/explain", Route::Explain),
    ("/metrics/info", Route::Info),
    ("/metrics/health", Route::Health),
    ("/-/healthy", Route::Healthy),
    ("/-/ready", Route::Ready),
];

pub(super) const INDEX: &str = r#"rondo collects what the machines of this host record in shared memory.

/metrics            the collector's own metrics, and totals of the host (rondo_host_*)
/metrics/machines   the newest values of the live machines, for Prometheus
                    match=SELECTOR, repeatable; names as the machines registered them;
                    the scrape job needs honor_labels: true, or `instance` becomes this address
/metrics/query      points of series as JSON
                    series=SELECTOR  such as exits_total{instance="vm-1"}, or {}
                    start, end       Unix seconds or RFC 3339; the end is now, unless it is given
                    range            instead of start: 30s, 10m, 1h30m, all; 1m unless it is given
                    tier             auto (the finest there is), 0, 1, 2
                    instance, schema of those only
                    quantile         of histograms: 0.5,0.99
/metrics/explain    what each tier has of them, and why there is nothing, with the same parameters
/metrics/info       schemas, tiers and usage as JSON
/metrics/health     whether collecting works: 200 or 503, with reasons
/-/healthy          200 while this server answers
/-/ready            200 once the collector has begun

curl -G --data-urlencode 'series=exits_total{vcpu="0"}' -d range=1m ADDRESS/metrics/query
"#;

/// Which page a request is for, unless it is to be refused.
pub(super) fn find<B: hyper::body::Body>(
    request: &Request<B>,
    is_loopback: bool,
    limits: &Limits,
) -> Result<Route, ApiError> {
    if is_loopback {
        guard::check(request)?;
    }
    let uri = request.uri();
    let uri_bytes = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if uri_bytes > limits.uri_bytes_max {
        let reason = format!(
            "path and query have {uri_bytes} bytes; at most {} are read",
            limits.uri_bytes_max
        );
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, reason));
    }
    let path = uri.path();
    let Some((_, route)) = ROUTES.iter().find(|(there, _)| *there == path) else {
        let likeness = |there: &str| (strsim::jaro_winkler(path, there) * 1_000.0) as u32;
        let nearest = ROUTES
            .iter()
            .map(|(there, _)| *there)
            .max_by_key(|there| likeness(there));
        let reason = format!("there is nothing here; the nearest is {}", nearest.unwrap_or("/"));
        return Err(ApiError::not_found(reason));
    };
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let reason = format!("{path} can only be read: GET or HEAD");
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, reason));
    }
    if !request.body().is_end_stream() {
        let reason = "no request has a body here; put parameters after a question mark";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    Ok(*route)
}
