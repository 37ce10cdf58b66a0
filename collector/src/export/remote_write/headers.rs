//! The headers of a request: the protocol's own, and a destination's further ones.

use super::Protocol;
use ureq::http::{HeaderName, HeaderValue};

/// What is posted is compressed with snappy, in any version.
pub(super) const CONTENT_ENCODING: &str = "snappy";

/// Who asks.
pub(super) const USER_AGENT: &str = concat!("rondo/", env!("CARGO_PKG_VERSION"));

/// Headers that say what a request is, who asks, and how the connection is to be used.
const RESERVED: [&str; 19] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-prometheus-remote-write-version",
];

/// Whether a destination must not set that header: "senders must not allow users to configure reserved headers".
///
/// `Authorization` is among them since a secret belongs in a file ([`super::Auth`]), not in settings that everyone reads.
pub fn reserved_header(name: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// A further header as it is sent, or what is wrong with it.
pub(super) fn custom(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    if reserved_header(name) {
        return Err("is the protocol's own");
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is no name of a header")?;
    let value =
        HeaderValue::from_str(value).map_err(|_| "has a value with characters that no header may have")?;
    Ok((name, value))
}

impl Protocol {
    /// `Content-Type`; without a parameter for 1.0, as its servers know none.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// `X-Prometheus-Remote-Write-Version`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_headers_are_reserved_however_they_are_written() {
        for name in [
            "Content-Type",
            "USER-AGENT",
            "x-prometheus-remote-write-version",
            "Authorization",
        ] {
            assert!(reserved_header(name), "{name}");
            assert!(custom(name, "x").is_err());
        }
        assert!(!reserved_header("X-Scope-OrgID"));
        assert!(custom("X-Scope-OrgID", "tenant 1").is_ok());
        assert!(custom("X Scope", "x").is_err());
        assert!(custom("X-Scope", "a\r\nHost: b").is_err());
    }
}
