//! Posts bodies to one destination, and says what became of them.
//!
//! One connection, kept open between requests; no redirects are followed, and no proxy is used whatever the environment
//! says: what was not set for a destination does not change where its samples go.

use super::headers::{CONTENT_ENCODING, USER_AGENT, custom};
use super::reply::{Reply, TEXT_BYTES_MAX, text};
use super::secret::authorization;
use super::trust::{self, TrustError};
use super::{Auth, Destination, Protocol};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::{HeaderName, HeaderValue, Uri};

/// How long a connection is kept without a request: less than the minute after which many servers close it, at which moment
/// a request would be lost in it.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// How much of an answer's body is read so that the connection can be used again; a longer one costs the connection.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// Posts to one destination.
pub struct Client {
    agent: ureq::Agent,
    url: Uri,
    host: String,
    auth: Auth,
    headers: Vec<(HeaderName, HeaderValue)>,
    deadline: Duration,
    /// Over TLS, and we have not said who we are.
    anonymous: bool,
    /// Whether there was ever an answer.
    answered: AtomicBool,
}

/// Why there can be no client for a destination.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No address of a server.
    #[error("{url:?} is no address to push to; one is like http://host:9090/api/v1/write")]
    Url {
        /// As it was set, without its query.
        url: String,
    },
    /// A secret where everyone sees it.
    #[error(
        "the `url` of a destination has no user and password; set `basic_auth`, whose password is in a file"
    )]
    UserInUrl,
    /// A further header that cannot be.
    #[error("header {name:?} {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// TLS.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Client {
    /// Reads the files of TLS; connects to nothing yet.
    ///
    /// # Errors
    /// If the address, a header or a file of TLS is unusable.
    pub fn new(destination: &Destination) -> Result<Self, ClientError> {
        let no_address = || ClientError::Url {
            url: destination.address().to_owned(),
        };
        let url: Uri = destination.url.parse().map_err(|_| no_address())?;
        let https = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(no_address()),
        };
        let authority = url.authority().ok_or_else(no_address)?;
        if authority.as_str().contains('@') {
            return Err(ClientError::UserInUrl);
        }
        let host = authority.host().to_owned();
        let mut headers = Vec::with_capacity(destination.headers.len());
        for (name, value) in &destination.headers {
            let header = custom(name, value).map_err(|reason| ClientError::Header {
                name: name.clone(),
                reason,
            })?;
            headers.push(header);
        }
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(USER_AGENT)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .timeout_global(Some(destination.deadline))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE_MAX)
            .tls_config(trust::config(&destination.tls, https)?)
            .build();
        Ok(Self {
            agent: ureq::Agent::new_with_config(config),
            url,
            host,
            auth: destination.auth.clone(),
            headers,
            deadline: destination.deadline,
            anonymous: https && destination.tls.cert_file.is_none(),
            answered: AtomicBool::new(false),
        })
    }

    /// Posts the body and waits for the answer, no longer than the destination's deadline.
    ///
    /// Never panics and never blocks for longer; all that can go wrong is a [`Reply`].
    pub fn send(&self, body: &[u8], protocol: Protocol) -> Reply {
        let authorization = match authorization(&self.auth) {
            Ok(header) => header,
            Err(why) => {
                return Reply::Retry {
                    status: None,
                    after: None,
                    why,
                };
            }
        };
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-encoding", CONTENT_ENCODING)
            .header("content-type", protocol.content_type())
            .header("x-prometheus-remote-write-version", protocol.version());
        for (name, value) in self.headers.iter().cloned() {
            request = request.header(name, value);
        }
        if let Some(header) = authorization {
            request = request.header("authorization", header);
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => {
                return Reply::Retry {
                    status: None,
                    after: None,
                    why: self.explain(&error),
                };
            }
        };
        self.answered.store(true, Ordering::Relaxed);
        // The head decides. Of the body, what arrives is only for people, and a part of it is better than nothing.
        let mut start = Vec::new();
        let reader = response.body_mut().with_config().limit(BODY_BYTES_MAX).reader();
        read_start(reader, &mut start);
        Reply::of(response.status(), response.headers(), &start, SystemTime::now())
    }

    /// What went wrong before there was an answer.
    fn explain(&self, error: &ureq::Error) -> String {
        let host = &self.host;
        let why = match error {
            ureq::Error::Timeout(_) => format!("{host} did not answer within {:?}", self.deadline),
            ureq::Error::HostNotFound => format!("no host is named {host}"),
            ureq::Error::Rustls(error) => trust::explain(error, host),
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(error) => trust::explain(error, host),
                // By TLS 1.3 a client has sent its request before the server turns it down, and what the server says is often
                // lost in the broken connection.
                None if self.anonymous && !self.answered.load(Ordering::Relaxed) && is_broken(error) => {
                    format!(
                        "{host} closes the connection: {error}; if it wants a client's certificate, set `cert_file` and `key_file`"
                    )
                }
                None => format!("{host}: {error}"),
            },
            ureq::Error::Protocol(error) => format!("{host} does not answer as HTTP wants it: {error}"),
            error => format!("{host}: {error}"),
        };
        text(why.as_bytes())
    }
}

fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// Reads to the end, or until it fails, and keeps the start.
fn read_start(mut reader: impl io::Read, start: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        let room = TEXT_BYTES_MAX - start.len();
        start.extend_from_slice(&buffer[..count.min(room)]);
    }
}
