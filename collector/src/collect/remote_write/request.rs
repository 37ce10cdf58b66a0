//! What requests carry: labels, headers, who asks, and how servers are trusted.

use crate::collect::file::FileError;
use crate::collect::section::Section;
use crate::export::remote_write::{Auth, Tls, is_label_name, reserved_header};
use rondo_shm_layout::{Labels, names};
use std::path::PathBuf;
use ureq::http::{HeaderName, HeaderValue};

/// Labels that all series get, sorted.
pub(super) fn external_labels(section: &Section<'_>) -> Result<Labels, FileError> {
    let Some(table) = section.section("external_labels")? else {
        return Ok(Labels::new());
    };
    let mut labels = Labels::new();
    for pair in table.pairs()? {
        let name = pair.name;
        if !is_label_name(&name) || name.starts_with("__") {
            return Err(table.wrong(
                &name,
                "it is not a label's name: letters, digits and _ are accepted, without __ in front",
            ));
        }
        if ["le", "quantile"].contains(&name.as_str()) {
            return Err(table.wrong(
                &name,
                "Prometheus keeps this label for the parts of a distribution",
            ));
        }
        if !names::is_label_value(&pair.value) {
            return Err(table.wrong(
                &name,
                "1 to 1024 bytes of text without control characters are accepted",
            ));
        }
        labels.push((name, pair.value));
    }
    labels.sort();
    Ok(labels)
}

/// Further headers.
pub(super) fn headers(section: &Section<'_>) -> Result<Vec<(String, String)>, FileError> {
    let Some(table) = section.section("headers")? else {
        return Ok(Vec::new());
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for pair in table.pairs()? {
        let wrong = |reason: &str| Err(table.wrong(&pair.name, reason));
        if reserved_header(&pair.name) {
            return wrong(if pair.name.eq_ignore_ascii_case("authorization") {
                "basic_auth and bearer_token_file set this header, from files that not everyone can read"
            } else {
                "rondo sets this header itself"
            });
        }
        if HeaderName::from_bytes(pair.name.as_bytes()).is_err() {
            return wrong("it is not a header's name");
        }
        // Not shown, as it may be a secret.
        if HeaderValue::from_str(&pair.value).is_err() {
            return wrong("its value has characters that a header cannot have");
        }
        if headers.iter().any(|(of, _)| of.eq_ignore_ascii_case(&pair.name)) {
            return wrong("it is there twice, as headers have no case");
        }
        headers.push((pair.name, pair.value));
    }
    Ok(headers)
}

/// Who asks.
pub(super) fn auth(section: &Section<'_>) -> Result<Auth, FileError> {
    let token_file = file(section, "bearer_token_file")?;
    let Some(basic) = section.section("basic_auth")? else {
        return Ok(token_file.map_or(Auth::None, |token_file| Auth::Bearer { token_file }));
    };
    if token_file.is_some() {
        return Err(section.wrong(
            "bearer_token_file",
            "there is a basic_auth, too; one of them is accepted",
        ));
    }
    for key in ["password", "username"] {
        if basic.has(key) {
            return Err(basic.wrong(
                key,
                "keys are user and password_file: no password is in the settings",
            ));
        }
    }
    basic.only(&["user", "password_file"])?;
    let user = basic.required("user", "a user's name")?;
    if user.contains(':') || !names::is_text(&user) {
        return Err(basic.wrong("user", "a name without colons and control characters is accepted"));
    }
    let Some(password_file) = file(&basic, "password_file")? else {
        return Err(basic.wrong(
            "password_file",
            "it is missing; the path of a file with the password is accepted",
        ));
    };
    Ok(Auth::Basic { user, password_file })
}

/// How the server is trusted.
pub(super) fn tls(section: &Section<'_>, url: &str) -> Result<Tls, FileError> {
    let Some(table) = section.section("tls")? else {
        return Ok(Tls::default());
    };
    table.only(&["ca_file", "cert_file", "key_file", "insecure_skip_verify"])?;
    let tls = Tls {
        ca_file: file(&table, "ca_file")?,
        cert_file: file(&table, "cert_file")?,
        key_file: file(&table, "key_file")?,
        insecure_skip_verify: table.boolean("insecure_skip_verify")?.unwrap_or_default(),
    };
    if !url
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    {
        return Err(section.wrong("tls", "the url is not https://, so nothing is encrypted"));
    }
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => Err(table.wrong("cert_file", "it needs a key_file")),
        (None, Some(_)) => Err(table.wrong("key_file", "it needs a cert_file")),
        _ => Ok(tls),
    }
}

/// An absolute path.
fn file(section: &Section<'_>, key: &str) -> Result<Option<PathBuf>, FileError> {
    section.parsed(key, |text| {
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            return Err(format!(
                "`{text}` is not an absolute path, such as /etc/rondo/{key}"
            ));
        }
        Ok(path)
    })
}
