//! What tests of remote write push.

use crate::receiver::Receiver;
use rondo_collector::export::remote_write::{Body, Client, Destination, Point, PointValue, Protocol, Reply};
use rondo_shm_layout::Labels;
use std::path::PathBuf;
use std::time::Duration;

/// When tick 0 is, in milliseconds.
pub const T_MS: i64 = 1_700_000_000_000;

/// What a server of 1.0 says to a good request.
pub const ACCEPTED: Reply = Reply::Accepted { written: None };

/// A destination of 1.0 with nothing unusual.
pub fn destination(url: String) -> Destination {
    Destination {
        deadline: Duration::from_secs(20),
        ..Destination::new("test", url)
    }
}

/// Pushes to the receiver.
pub fn client(receiver: &Receiver) -> Client {
    Client::new(&destination(receiver.url())).unwrap()
}

/// A series of a machine.
pub fn series(instance: &str) -> Labels {
    vec![
        ("__name__".into(), "exits_total".into()),
        ("instance".into(), instance.into()),
    ]
}

/// One sample of each machine, `tick` seconds later.
pub fn body(instances: &[&str], tick: i64, protocol: Protocol) -> Body {
    let sets: Vec<Labels> = instances.iter().map(|instance| series(instance)).collect();
    let point = |labels| Point {
        labels,
        family: None,
        timestamp_ms: T_MS + 1_000 * tick,
        start_ms: 0,
        value: PointValue::Number(tick as f64),
    };
    let points: Vec<Point<'_>> = sets.iter().map(|labels| point(labels)).collect();
    Body::new(&points, protocol).unwrap()
}

/// Sends a machine's sample of a tick in 1.0.
pub fn send(client: &Client, tick: i64) -> Reply {
    client.send(&body(&["vm1"], tick, Protocol::V1).bytes, Protocol::V1)
}

/// Why a request is to go again.
///
/// # Panics
/// If it is not.
pub fn why(reply: Reply) -> String {
    match reply {
        Reply::Retry { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

/// Files of one test, by name.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// None yet.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes one, and says where it is.
    pub fn with(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}
