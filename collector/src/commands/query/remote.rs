//! Asking a collector: `http://HOST:PORT`, or `unix:PATH` for its socket.

use super::socket::{Nowhere, Socket};
use crate::query::AnswerJson;
use crate::show;
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::time::Duration;
use ureq::config::Config;

/// Longest that a whole answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer that is taken.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A collector that answers.
pub(crate) struct Remote {
    agent: ureq::Agent,
    /// As it was typed.
    name: String,
    /// Without a path.
    base: String,
}

impl Remote {
    /// `text`, if it is an address of a collector.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let config = Config::builder()
            .http_status_as_error(false)
            // A collector sends nobody elsewhere, least of all to https, for which nothing is set up here.
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .build();
        let (agent, base) = if let Some(path) = text.strip_prefix("unix:") {
            let socket = Socket(PathBuf::from(path));
            // The host of a request over a socket says nothing.
            (
                ureq::Agent::with_parts(config, socket, Nowhere),
                "http://localhost".to_owned(),
            )
        } else if text.starts_with("http://") {
            (
                ureq::Agent::new_with_config(config),
                text.trim_end_matches('/').to_owned(),
            )
        } else {
            return None;
        };
        Some(Self {
            agent,
            name: text.to_owned(),
            base,
        })
    }

    /// The body of the answer to a query.
    pub(crate) fn get(&self, path: &str, pairs: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
        let asking = || format!("cannot ask the collector at {}", show::printable(&self.name));
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        let mut response = self
            .agent
            .get(format!("{}{path}", self.base))
            .query_pairs(pairs)
            .call()
            .map_err(plain)
            .with_context(asking)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(plain);
        let body = body.with_context(asking)?;
        if !response.status().is_success() {
            bail!(
                "{}: {}",
                show::printable(&self.name),
                refusal(response.status().as_u16(), &body)
            );
        }
        Ok(body)
    }

    /// The answer to a query.
    pub(super) fn answer(&self, pairs: &[(&str, String)]) -> anyhow::Result<AnswerJson> {
        let body = self.get("/metrics/query", pairs)?;
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "{} does not answer as a collector does",
                show::printable(&self.name)
            )
        })
    }
}

/// The reason that an error's JSON gives, or the start of whatever was sent.
fn refusal(status: u16, body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let of_error = |key| json.as_ref()?.get("error")?.get(key)?.as_str();
    let reason = of_error("reason").map(|reason| match of_error("parameter") {
        Some(parameter) => format!("{parameter}: {reason}"),
        None => reason.to_owned(),
    });
    let text = match reason {
        Some(reason) => reason,
        None => String::from_utf8_lossy(body).chars().take(200).collect(),
    };
    format!("status {status}: {}", show::printable(text.trim()))
}

/// An input or output error says enough by itself.
fn plain(error: ureq::Error) -> anyhow::Error {
    match error {
        ureq::Error::Io(error) => error.into(),
        error => error.into(),
    }
}
