//! Where rows are pushed to, and how.

use super::{AggregateRule, RelabelRule};
use crate::export::Naming;
use rondo_shm_layout::Labels;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A server that takes remote write, and what it is to get.
///
/// As [`fmt::Debug`] it does not show the values of headers, nor a query of the URL: either may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    /// What it is called in logs, metrics and the name of its cursor: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where requests go: `http://` or `https://`, without user and password.
    pub url: String,
    /// Which version is spoken.
    pub protocol: Protocol,
    /// Which tier is sent.
    pub tier: u8,
    /// How old the rows may be with which a new destination begins.
    pub backlog: Duration,
    /// How old rows may be to be sent at all; `None` for all that the tier has.
    pub max_age: Option<Duration>,
    /// About how many samples a request has.
    pub batch_samples: usize,
    /// How long a request may take.
    pub deadline: Duration,
    /// How series are named.
    pub naming: Naming,
    /// Labels that all series get that do not have them.
    pub external_labels: Labels,
    /// Further headers; none of the protocol's own.
    pub headers: Vec<(String, String)>,
    /// Who asks.
    pub auth: Auth,
    /// How a server is trusted.
    pub tls: Tls,
    /// Applied to each series in turn.
    pub relabel: Vec<RelabelRule>,
    /// What is sent of many machines together.
    pub aggregate: Vec<AggregateRule>,
}

impl Destination {
    /// What may be sent in one request.
    pub const BATCH_SAMPLES: std::ops::RangeInclusive<usize> = 1..=50_000;

    /// What a request may be given.
    pub const DEADLINE: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(300);

    /// A destination of which nothing but name and URL is known.
    ///
    /// It gets tier 1 by the words of version 1.0, which every server takes. It begins with rows of up to 50 minutes,
    /// as Prometheus refuses older ones unless it is told otherwise: its head spans 2 hours, and takes what is in the
    /// newer half.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            protocol: Protocol::V1,
            tier: 1,
            backlog: Duration::from_secs(50 * 60),
            max_age: None,
            batch_samples: 2_000,
            deadline: Duration::from_secs(5),
            naming: Naming::default(),
            external_labels: Labels::new(),
            headers: Vec::new(),
            auth: Auth::None,
            tls: Tls::default(),
            relabel: Vec::new(),
            aggregate: Vec::new(),
        }
    }

    /// The URL without its query, which may be a secret: for logs.
    pub fn address(&self) -> &str {
        self.url.split_once('?').map_or(&self.url, |(address, _)| address)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Destination")
            .field("name", &self.name)
            .field("url", &self.address())
            .field("protocol", &self.protocol)
            .field("tier", &self.tier)
            .field("backlog", &self.backlog)
            .field("max_age", &self.max_age)
            .field("batch_samples", &self.batch_samples)
            .field("deadline", &self.deadline)
            .field("naming", &self.naming)
            .field("external_labels", &self.external_labels)
            .field("headers", &headers)
            .field("auth", &self.auth)
            .field("tls", &self.tls)
            .field("relabel", &self.relabel)
            .field("aggregate", &self.aggregate)
            .finish()
    }
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Remote write 1.0.
    V1,
    /// Remote write 2.0, for servers that prove that they understand it, otherwise 1.0.
    V2,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Nobody in particular.
    None,
    /// A user and a password, which is in a file that is read for each request.
    Basic {
        /// Name of the user.
        user: String,
        /// File of the password.
        password_file: PathBuf,
    },
    /// A token, in a file that is read for each request.
    Bearer {
        /// File of the token.
        token_file: PathBuf,
    },
}

/// How a server is trusted, and how it can trust us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates to trust, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, in PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM.
    pub key_file: Option<PathBuf>,
    /// Takes any certificate.
    pub insecure_skip_verify: bool,
}
