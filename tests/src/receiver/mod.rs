//! A server that takes remote write, checks every rule of the specification on every request, and misbehaves on demand.
//!
//! A [`Receiver`] listens on a free port of the loopback. What it was sent is in [`Receiver::samples`], and each broken rule
//! is a sentence in [`Receiver::violations`]. It decodes requests by itself ([`wire`]), with nothing of the collector's, so
//! that a field number which is wrong there cannot hide here.
//!
//! | rules of | are in |
//! |---|---|
//! | one request's head: method, headers, user agent | [`head`] |
//! | its body: snappy block, message, labels, stamps, one sample of a series | [`wire`], [`message`], [`series`] |
//! | requests in a row: order in each series, repeats, two at once, back-off | [`journal`], [`pauses`] |
//!
//! Requests get the answers of [`Receiver::script`] in turn, then that of [`Receiver::always`].

pub mod answer;
mod certificates;
mod connection;
pub mod head;
pub mod journal;
pub mod message;
pub mod pauses;
pub mod series;
pub mod wire;

pub use answer::{Answer, Refusal, Speaks, Stores};
pub use certificates::Authority;
pub use head::Request;
pub use journal::Journal;
pub use message::{Histogram, Metadata, Series};

use rondo_shm_layout::Labels;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A free port of the loopback.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the threads of a receiver share.
struct Shared {
    journal: Mutex<Journal>,
    /// Told after each change of the journal.
    changed: Condvar,
    stopping: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server on the loopback, up to its drop.
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Over plain TCP.
    pub fn start() -> Self {
        Self::listen(ANY, None)
    }

    /// Over plain TCP, where another listened before.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::listen(address, None)
    }

    /// Over TLS, where another listened before.
    pub fn start_tls_at(address: SocketAddr, authority: &Authority, names: &[&str]) -> Self {
        Self::listen(address, Some(authority.server(names, None)))
    }

    /// Over TLS, with a certificate of that authority for these names.
    pub fn start_tls(authority: &Authority, names: &[&str]) -> Self {
        Self::listen(ANY, Some(authority.server(names, None)))
    }

    /// Over TLS, for clients that have a certificate of `clients`.
    pub fn start_mutual_tls(authority: &Authority, names: &[&str], clients: &Authority) -> Self {
        Self::listen(ANY, Some(authority.server(names, Some(clients))))
    }

    fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            journal: Mutex::new(Journal::new()),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            tls,
        });
        let for_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &for_thread));
        Self {
            shared,
            address,
            accepting: Some(accepting),
        }
    }

    /// Where to push to.
    pub fn url(&self) -> String {
        self.url_at("127.0.0.1")
    }

    /// Where to push to by another name of the same host.
    pub fn url_at(&self, host: &str) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{host}:{}/api/v1/write", self.address.port())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answers to the next requests, after those that were already promised.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.journal().script.extend(answers);
    }

    /// The answer to requests beyond the script; [`Answer::Ok`] at first.
    pub fn always(&self, answer: Answer) {
        self.shared.journal().always = answer;
    }

    /// How it takes the two versions; both at first.
    pub fn speaks(&self, speaks: Speaks) {
        self.shared.journal().speaks = speaks;
    }

    /// Refuses requests with a series that has the label, until [`Receiver::forgive`].
    pub fn refuse(&self, refusal: Refusal) {
        self.shared.journal().refusals.push(refusal);
    }

    /// Refuses nothing any more.
    pub fn forgive(&self) {
        self.shared.journal().refusals.clear();
    }

    /// The sender was started anew: its next pause may be the shortest again.
    pub fn sender_restarted(&self) {
        self.shared.journal().pauses.forget();
    }

    /// All requests so far, those that were refused among them.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.journal().requests.clone()
    }

    /// How many requests there were.
    pub fn request_count(&self) -> usize {
        self.shared.journal().requests.len()
    }

    /// All that was stored, by series, in order, each sample once: milliseconds and the bits of the value.
    pub fn samples(&self) -> BTreeMap<Labels, Vec<(i64, u64)>> {
        self.shared.journal().samples()
    }

    /// How many samples were stored, without repeats.
    pub fn sample_count(&self) -> usize {
        self.shared.journal().sample_count
    }

    /// How many stored samples came again as part of a repeated request.
    pub fn repeat_count(&self) -> usize {
        self.shared.journal().repeat_count
    }

    /// All native histograms that were stored, by series.
    pub fn histograms(&self) -> BTreeMap<Labels, Vec<Histogram>> {
        self.shared.journal().histograms.clone()
    }

    /// What 2.0 last said of the family of each series.
    pub fn metadata(&self) -> BTreeMap<Labels, Metadata> {
        self.shared.journal().metadata.clone()
    }

    /// A sentence for each broken rule.
    pub fn violations(&self) -> Vec<String> {
        self.shared.journal().violations.clone()
    }

    /// Fails the test if a rule was broken.
    ///
    /// # Panics
    /// If one was.
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(
            violations.is_empty(),
            "{} rules broken:\n{}",
            violations.len(),
            violations.join("\n")
        );
    }

    /// Waits until the journal is as wanted, and says whether it got so in time.
    pub fn wait(&self, limit: Duration, wanted: impl Fn(&Journal) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut journal = self.shared.journal();
        loop {
            if wanted(&journal) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(journal, left);
            journal = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

/// A thread for each connection. They end when their clients go, or soon after the receiver has stopped.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            break;
        }
        if let Ok(stream) = stream {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || connection::serve(stream, &shared));
        }
    }
}
