//! A server with a backend that does what its selector says, and a client that writes what it is told.
#![allow(dead_code, reason = "each test file uses a part of it")]

use rondo_collector::Selector;
use rondo_collector::collect::Listen;
use rondo_collector::exposition::{Family, MachineLimits, Page, machine_page, own, process_families};
use rondo_collector::http::{ApiError, Backend, Health, Limits, Server, serve};
use rondo_collector::query::Params;
use rondo_reader::{Bus, Limits as ReaderLimits};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Answers queries by the name of their series: `big`, `slow`, `stuck`, `panic`, `many`, or an echo of what was asked.
#[derive(Default)]
pub struct TestBackend {
    pub bus: Option<PathBuf>,
    pub is_ready: AtomicBool,
    pub is_ill: AtomicBool,
    /// Queries that are inside the backend, and the most there ever were.
    pub inside: AtomicUsize,
    pub inside_max: AtomicUsize,
    /// Queries that ever came in.
    pub entered: AtomicUsize,
}

pub const BIG_BYTES: usize = 10_000_000;

impl Backend for TestBackend {
    fn query(&self, params: &Params, _: Instant) -> Result<Vec<u8>, ApiError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.inside_max.fetch_max(inside, Ordering::SeqCst);
        self.entered.fetch_add(1, Ordering::SeqCst);
        let answer = match params.selector.exact("__name__").unwrap_or_default() {
            // Does not compress, so that it stays big.
            "big" => {
                let mut state = 1u64;
                let mut next = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                };
                Ok((0..BIG_BYTES).map(|_| next()).collect())
            }
            "slow" => {
                std::thread::sleep(Duration::from_millis(700));
                Ok(b"slow".to_vec())
            }
            "stuck" => {
                std::thread::sleep(Duration::from_secs(6));
                Ok(Vec::new())
            }
            "panic" => {
                self.inside.fetch_sub(1, Ordering::SeqCst);
                panic!("the query asks for it");
            }
            "many" => Err(ApiError::too_much("too many points").of("range")),
            name => Ok(format!("{name:?} {:?}", params.range).into_bytes()),
        };
        self.inside.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    fn explain(&self, params: &Params, _: Instant) -> Result<Vec<u8>, ApiError> {
        Ok(format!("why {:?}", params.selector.exact("__name__")).into_bytes())
    }

    fn info(&self) -> Result<Vec<u8>, ApiError> {
        Ok(format!("{{\"text\":\"{}\"}}", "x".repeat(5_000)).into_bytes())
    }

    fn machines(&self, matches: &[Selector], limits: &MachineLimits) -> Result<Page, ApiError> {
        let Some(directory) = &self.bus else {
            return Ok(Page::default());
        };
        let bus = Bus::open(directory, &ReaderLimits::default())
            .map_err(|error| ApiError::unavailable(error.to_string()))?;
        Ok(machine_page(bus.slabs(), matches, limits)?)
    }

    fn self_metrics(&self) -> Vec<Family> {
        let mut families = process_families();
        families.push(own::PASSES.value(7.0));
        families.push(own::SLABS.by("state", [("live", 2.0), ("stuck", 0.0)]));
        families
    }

    fn health(&self) -> Health {
        let mut health = Health {
            lag_seconds: 0.25,
            last_pass_ns: Some(1_700_000_000_000_000_000),
            ..Health::default()
        };
        if self.is_ill.load(Ordering::SeqCst) {
            health.problems.push("the disk is full".into());
        }
        health
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::SeqCst)
    }
}

/// Limits short enough to wait for.
pub fn short_limits() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(500),
        answer_timeout: Duration::from_millis(400),
        send_timeout: Duration::from_millis(600),
        ..Limits::default()
    }
}

pub struct Running {
    pub backend: Arc<TestBackend>,
    pub server: Server,
    pub address: SocketAddr,
}

pub fn start(limits: Limits) -> Running {
    start_with(TestBackend::default(), limits)
}

pub fn start_with(backend: TestBackend, limits: Limits) -> Running {
    let backend = Arc::new(backend);
    let server = serve(&"127.0.0.1:0".parse().unwrap(), backend.clone(), limits).unwrap();
    let Listen::Tcp(address) = *server.local_addr() else {
        panic!("{}", server.local_addr());
    };
    Running {
        backend,
        server,
        address,
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&start))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Running {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends bytes and reads until the server closes.
    pub fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // The server may have closed already, having read enough.
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    }

    pub fn request(&self, line: &str, headers: &str) -> Reply {
        let bytes = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\n{headers}connection: close\r\n\r\n",
            self.address
        );
        parse(&self.send(bytes.as_bytes()))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request(&format!("GET {path}"), "")
    }
}

/// The first reply in `bytes`, and all that follows its head as its body.
pub fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply {
        status,
        head,
        body: bytes[end + 4..].to_vec(),
    }
}

/// Tries until it is so, for ten seconds.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
