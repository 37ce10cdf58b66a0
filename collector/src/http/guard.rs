//! Against DNS rebinding: a web page that makes its own name point to 127.0.0.1 makes the browser of
//! whoever looks at it read what listens there. The browser then still says the page's name.

use super::error::ApiError;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Refuses a request that was sent to a name, other than `localhost`. For servers on loopback, which have no other.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), ApiError> {
    let hosts = request.headers().get_all(HOST).iter();
    let hosts = hosts.map(|host| host.to_str().unwrap_or("?"));
    let authority = request.uri().authority().map(|authority| authority.as_str());
    match hosts.chain(authority).find(|host| !is_local(host)) {
        None => Ok(()),
        Some(host) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!(
                "this is a loopback address, and {host} is a name: requests by name are refused, so that no web page can \
                 read what is here (DNS rebinding); use the address, or localhost, or listen on another address"
            ),
        )),
    }
}

/// Whether a host, with or without a port, is an address or `localhost`.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_local_and_names_are_not() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9110",
            "localhost",
            "LocalHost:80",
            "[::1]",
            "[::1]:9110",
            "10.0.0.1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9110",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "[evil]",
            "[::1",
            "a@localhost",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
