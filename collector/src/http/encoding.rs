//! Which of the forms that there are a client wants: RFC 9110 section 12, as far as two formats and one
//! compression need it.

use crate::exposition::Format;

/// The format that `Accept` prefers; text where it says nothing, or only what there is not, as Prometheus's
/// own libraries do.
pub(super) fn format(accept: &str) -> Format {
    let text = quality(accept, |wanted, version| match wanted {
        "text/plain" if matches!(version, "" | "0.0.4") => Some(3),
        "text/*" => Some(2),
        "*/*" => Some(1),
        _ => None,
    });
    let openmetrics = quality(accept, |wanted, version| {
        // What only wildcards let in is not asked for.
        let is_known = matches!(version, "" | "0.0.1" | "1.0.0");
        (wanted == "application/openmetrics-text" && is_known).then_some(3)
    });
    if openmetrics > 0.0 && openmetrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Whether `Accept-Encoding` lets gzip in.
pub(super) fn takes_gzip(accept_encoding: &str) -> bool {
    let gzip = quality(accept_encoding, |wanted, _| match wanted {
        "gzip" | "x-gzip" => Some(2),
        "*" => Some(1),
        _ => None,
    });
    gzip > 0.0
}

/// The quality of the most specific element that fits, or the greatest of several such; 0 if none does.
/// `fit` says how specific an element of that name and version is.
fn quality(header: &str, fit: impl Fn(&str, &str) -> Option<u8>) -> f64 {
    let mut best = (0, 0.0);
    for element in header.split(',') {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0, "");
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "q" => {
                    quality = value
                        .parse::<f64>()
                        .ok()
                        .filter(|q| (0.0..=1.0).contains(q))
                        .unwrap_or(0.0);
                }
                "version" => version = value,
                _ => {}
            }
        }
        if let Some(specific) = fit(&name, version)
            && (specific, quality) > best
        {
            best = (specific, quality);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{OpenMetrics, Text};

    #[test]
    fn prometheus_gets_what_it_prefers() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let protobuf_first = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.5";
        for (accept, format_) in [
            (prometheus_2_42, OpenMetrics),
            (prometheus_3, OpenMetrics),
            (protobuf_first, Text),
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
            ("application/json", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0, text/plain", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=nonsense", Text),
            ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Text),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.4", OpenMetrics),
            (";;;=,,q=1", Text),
        ] {
            assert_eq!(format(accept), format_, "{accept}");
        }
    }

    #[test]
    fn gzip_only_where_it_is_wanted() {
        for (header, wanted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("*, gzip;q=0", false),
            ("gzip;q=0.0, *;q=1", false),
            ("br", false),
        ] {
            assert_eq!(takes_gzip(header), wanted, "{header}");
        }
    }
}
