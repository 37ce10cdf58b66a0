//! URLs that requests can be sent to, and the names that destinations have by them.

use ureq::http::Uri;

/// Bytes of a destination's name.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 2_048;

/// Whether requests can be sent there.
pub(super) fn check(url: &str) -> Result<(), String> {
    const ACCEPTED: &str = "a URL such as http://127.0.0.1:9090/api/v1/write is accepted";
    if url.len() > URL_BYTES_MAX {
        return Err(format!("a URL has at most {URL_BYTES_MAX} bytes"));
    }
    // First, so that no password is in the text of another error.
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let reason = "user and password do not belong into a URL, where logs show them; \
                      the file's basic_auth = {user = …, password_file = …} takes them";
        return Err(reason.into());
    }
    if url.contains('#') {
        return Err(format!("`{url}` has a fragment, which is never sent; {ACCEPTED}"));
    }
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("`{url}` is not a URL: {error}; {ACCEPTED}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("`{url}` is neither http:// nor https://; {ACCEPTED}"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(format!("`{url}` names no host; {ACCEPTED}"));
    }
    // What the parser leaves alone: `host:` and `host:99999`.
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    if let Some((_, port)) = port
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return Err(format!("`{port}` is not a port from 1 to 65535; {ACCEPTED}"));
    }
    Ok(())
}

/// The name of a destination that has none: host, port and path, with `-` for what a name cannot have. A longer one
/// is cut, and has a checksum of the URL at its end.
pub(super) fn name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('?').next().unwrap_or_default();
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let words = rest
        .split(|c: char| !is_letter(c))
        .filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let name = joined.trim_start_matches('.');
    match name.len() {
        0 => "destination".to_owned(),
        1..=NAME_BYTES_MAX => name.to_owned(),
        _ => format!(
            "{}-{:08x}",
            &name[..NAME_BYTES_MAX - 9],
            crc32c::crc32c(url.as_bytes())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_name;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_that_requests_can_be_sent_to() {
        for url in [
            "http://127.0.0.1:9090/api/v1/write",
            "https://mimir.example/api/v1/push?x=y",
            "HTTP://[::1]:9090",
            "http://[::1]/x",
            "http://localhost",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for (url, says) in [
            ("", "is not a URL"),
            ("127.0.0.1:9090", "neither http"),
            ("/api/v1/write", "neither http"),
            ("ftp://host/", "neither http"),
            ("http://", "is not a URL"),
            ("http:///path", "is not a URL"),
            ("http://host/#x", "fragment"),
            ("http://host:99999/", "`99999` is not a port"),
            ("http://host:0/", "`0` is not a port"),
            ("http://host:/", "`` is not a port"),
            ("http://[::1]:x/", "URL"),
            ("http://a b/", "is not a URL"),
        ] {
            let error = check(url).unwrap_err();
            assert!(error.contains(says), "{url}: {error}");
        }
        assert!(check(&format!("http://h/{}", "x".repeat(3_000))).is_err());
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        for url in [
            "http://me:secret@host/",
            "http://secret@host:1/#x",
            "ftp://me:secret@host",
            "me:secret@host",
        ] {
            let error = check(url).unwrap_err();
            assert!(
                error.contains("basic_auth") && !error.contains("secret"),
                "{error}"
            );
        }
        assert_eq!(check("http://host/@x"), Ok(()));
    }

    #[test]
    fn names_are_host_port_and_path() {
        for (url, expected) in [
            (
                "http://127.0.0.1:9090/api/v1/write",
                "127.0.0.1-9090-api-v1-write",
            ),
            ("https://mimir.example/", "mimir.example"),
            ("http://[::1]:8428/api/v1/write?token=x", "1-8428-api-v1-write"),
            ("http://../", "destination"),
        ] {
            assert_eq!(name(url), expected);
        }
        let long = format!("http://host/{}", "x".repeat(80));
        let other = format!("{long}y");
        assert!(name(&long) != name(&other) && name(&long).len() == NAME_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn whatever_a_url_is_its_name_can_be_a_file(url in r"(https?://)?[a-zA-Z0-9:/@?#\[\]._ä-]{0,90}") {
            let _ = check(&url);
            prop_assert_eq!(check_name(&name(&url)), Ok(()));
        }
    }
}
