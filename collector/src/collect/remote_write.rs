//! The settings of servers that rows are pushed to: URLs from flags and the environment, tables from the file.
//!
//! No secret is a setting: passwords and tokens are in files, which are named here and read when a request is made.
//! So settings can be shown and logged. Paths are absolute, as a service has no working directory worth the name.

mod request;
mod rules;
mod url;

use crate::collect::file::FileError;
use crate::collect::section::Section;
use crate::collect::settings::length;
use crate::export::remote_write::{Destination, Protocol};
use crate::export::{Histograms, Naming};
use std::collections::HashSet;
use std::time::Duration;

/// Each has a thread of its own.
const DESTINATIONS_MAX: usize = 32;

const KEYS: [&str; 17] = [
    "name",
    "url",
    "protocol",
    "tier",
    "backlog",
    "max_age",
    "batch_samples",
    "deadline",
    "base_units",
    "histograms",
    "external_labels",
    "headers",
    "basic_auth",
    "bearer_token_file",
    "tls",
    "relabel",
    "aggregate",
];

/// Destinations of which nothing but the URL is known.
///
/// # Errors
/// What is wrong with the first that is.
pub(super) fn from_urls<'u>(urls: impl IntoIterator<Item = &'u str>) -> Result<Vec<Destination>, String> {
    let mut destinations = Vec::new();
    for url in urls {
        url::check(url)?;
        destinations.push(Destination::new("", url));
    }
    name_all(&mut destinations).map_err(|(_, reason)| reason)?;
    Ok(destinations)
}

/// Destinations of the tables `[[remote_write]]`.
pub(super) fn from_sections(sections: &[Section<'_>]) -> Result<Vec<Destination>, FileError> {
    let mut destinations = sections.iter().map(destination).collect::<Result<Vec<_>, _>>()?;
    name_all(&mut destinations).map_err(|(at, reason)| sections[at].wrong("name", reason))?;
    Ok(destinations)
}

/// One; its name is empty where none is given.
fn destination(section: &Section<'_>) -> Result<Destination, FileError> {
    section.only(&KEYS)?;
    let url = section.required("url", "a URL such as http://127.0.0.1:9090/api/v1/write")?;
    url::check(&url).map_err(|reason| section.wrong("url", reason))?;
    let name = section.parsed("name", |text| check_name(text).map(|()| text.to_owned()))?;
    let defaults = Destination::new(name.unwrap_or_default(), url);
    let auth = request::auth(section)?;
    let base_units = section.boolean("base_units")?;
    Ok(Destination {
        protocol: section.parsed("protocol", protocol)?.unwrap_or(defaults.protocol),
        tier: section.number("tier", &(0..=7))?.unwrap_or(defaults.tier),
        backlog: section.parsed("backlog", length)?.unwrap_or(defaults.backlog),
        max_age: section.parsed("max_age", max_age)?.or(defaults.max_age),
        batch_samples: section
            .number("batch_samples", &Destination::BATCH_SAMPLES)?
            .unwrap_or(defaults.batch_samples),
        deadline: section.parsed("deadline", deadline)?.unwrap_or(defaults.deadline),
        naming: Naming {
            base_units: base_units.unwrap_or(defaults.naming.base_units),
            histograms: section
                .parsed("histograms", histograms)?
                .unwrap_or(defaults.naming.histograms),
        },
        external_labels: request::external_labels(section)?,
        headers: request::headers(section)?,
        auth,
        tls: request::tls(section, &defaults.url)?,
        relabel: rules::relabel(section)?,
        aggregate: rules::aggregate(section)?,
        ..defaults
    })
}

/// Names those that have no name by their URLs, and checks that no two have the same. An error says which is wrong.
///
/// The name of a destination is that of its cursor, so it depends on nothing but the URL, unless two would have the
/// same.
fn name_all(destinations: &mut [Destination]) -> Result<(), (usize, String)> {
    if destinations.len() > DESTINATIONS_MAX {
        let reason = format!(
            "there are {} destinations; at most {DESTINATIONS_MAX} are accepted",
            destinations.len()
        );
        return Err((DESTINATIONS_MAX, reason));
    }
    let (mut names, mut urls) = (HashSet::new(), HashSet::new());
    for (at, destination) in destinations.iter().enumerate() {
        if !destination.name.is_empty() && !names.insert(destination.name.clone()) {
            return Err((
                at,
                format!("`{}` is another destination's name, too", destination.name),
            ));
        }
        if destination.name.is_empty() && !urls.insert(destination.url.clone()) {
            let reason = "another destination has the same URL; in the file, each may have a name of its own";
            return Err((at, reason.to_owned()));
        }
    }
    for destination in destinations
        .iter_mut()
        .filter(|destination| destination.name.is_empty())
    {
        let stem = url::name(&destination.url);
        let more = (2..).map(|number| format!("{stem}-{number}"));
        let mut free = std::iter::once(stem.clone()).chain(more);
        destination.name = free.find(|name| !names.contains(name)).unwrap_or_default();
        names.insert(destination.name.clone());
    }
    Ok(())
}

fn histograms(text: &str) -> Result<Histograms, String> {
    match text {
        "classic" => Ok(Histograms::Classic),
        "native" => Ok(Histograms::Native),
        "both" => Ok(Histograms::Both),
        _ => Err(format!(
            "`{text}` is no form of histograms; classic, native and both are accepted"
        )),
    }
}

/// It becomes the name of a file.
fn check_name(name: &str) -> Result<(), String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=url::NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(is_letter)
    {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a name; 1 to {} letters, digits, `_`, `.` and `-` are accepted, with no dot in front",
        url::NAME_BYTES_MAX
    ))
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "1.0" => Ok(Protocol::V1),
        "2.0" => Ok(Protocol::V2),
        _ => Err(format!(
            "`{text}` is not a version; \"1.0\" and \"2.0\" are accepted"
        )),
    }
}

fn max_age(text: &str) -> Result<Duration, String> {
    let age = length(text)?;
    if age.is_zero() {
        return Err(
            "nothing is younger than 0s; a time is accepted, or no max_age for all that the tier has".into(),
        );
    }
    Ok(age)
}

fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = length(text)?;
    if !Destination::DEADLINE.contains(&deadline) {
        return Err(format!("`{text}` is not a time from 100ms to 5m"));
    }
    Ok(deadline)
}

#[cfg(test)]
mod tests;
