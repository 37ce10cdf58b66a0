//! Where rows are pushed to, and how.

use super::{AggregateRule, RelabelRule};
use crate::export::Naming;
use rondo_shm_layout::Labels;
use std::path::PathBuf;
use std::time::Duration;

/// A server that takes remote write, and what it is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
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
