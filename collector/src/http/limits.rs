//! How much a client may ask for, and how long it may take.

use std::time::Duration;

/// Limits of a server. What exceeds them is refused with a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Bytes of a request's head: its line and headers.
    pub head_bytes_max: usize,
    /// Bytes of a request's path and query.
    pub uri_bytes_max: usize,
    /// For a request's head to arrive, from the moment that the connection is open or the answer before is sent.
    /// So it is also how long a connection may be idle; above the 15 s after which Prometheus usually comes again.
    pub head_timeout: Duration,
    /// For an answer to be made, waiting for a thread included.
    pub answer_timeout: Duration,
    /// For the client to take all of it.
    pub send_timeout: Duration,
    /// Requests that are answered or wait for it at a time, beyond which a client is told to come back.
    pub pending_max: usize,
    /// Bytes of all answers that are not sent yet, beyond which a client is told to come back.
    pub unsent_bytes_max: usize,
    /// Series on a page of `/metrics/machines`.
    pub machine_series_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 128,
            head_bytes_max: 16 << 10,
            uri_bytes_max: 8 << 10,
            head_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            pending_max: 32,
            unsent_bytes_max: 64 << 20,
            machine_series_max: 50_000,
        }
    }
}
