//! Asking a collector: `http://HOST:PORT`, or `unix:PATH` for its socket.

use super::json::AnswerJson;
use crate::show;
use anyhow::{Context, bail};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Longest that a whole answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer that is taken.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A collector that answers.
pub(super) struct Remote {
    agent: ureq::Agent,
    /// As it was typed.
    name: String,
    /// Without a path.
    base: String,
}

impl Remote {
    /// `text`, if it is an address of a collector.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let config = Config::builder()
            .http_status_as_error(false)
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
    pub(super) fn get(&self, path: &str, pairs: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
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
    let reason = json
        .as_ref()
        .and_then(|json| json.get("error").or(json.get("reason"))?.as_str());
    let text = match reason {
        Some(reason) => reason.to_owned(),
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

/// Connects to a Unix socket, whatever the address says.
#[derive(Debug)]
struct Socket(PathBuf);

/// Needs no address.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // The standard one finds `localhost` without a network; what it finds is not used.
        DefaultResolver::default()
            .resolve(uri, config, timeout)
            .or_else(|_| Ok(self.empty()))
    }
}

impl<In: Transport> Connector<In> for Socket {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<Connection>, ureq::Error> {
        let (input, output) = (
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Connection {
            stream: connect(&self.0)?,
            buffers: LazyBuffers::new(input, output),
        }))
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// One connection.
struct Connection {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.stream).finish()
    }
}

/// Zero would mean to wait for ever.
fn timeout(next: NextTimeout) -> Option<Duration> {
    (!next.after.is_not_happening()).then(|| (*next.after).max(Duration::from_millis(1)))
}

fn late(error: io::Error, next: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(next.reason),
        _ => error.into(),
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, next: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(timeout(next))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| late(error, next))
    }

    fn await_input(&mut self, next: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.set_read_timeout(timeout(next))?;
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(|error| late(error, next))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Each connection serves one request.
    fn is_open(&mut self) -> bool {
        false
    }
}
