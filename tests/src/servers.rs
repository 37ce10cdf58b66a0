//! Real servers of metrics, started on free ports of the loopback with directories of their own.

use crate::bound::{bound, program};
use crate::export::Samples;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a server may take to be ready.
const START_MAX: Duration = Duration::from_secs(60);

/// A server that is stopped when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
    query_path: &'static str,
}

/// Addresses that nobody listens on now, each another one.
pub fn free_addresses(count: usize) -> Vec<SocketAddr> {
    // All at once: one that is let go may be given again.
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect()
}

fn free_address() -> SocketAddr {
    free_addresses(1)[0]
}

/// Status and body of a page, if somebody answers.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    // Without chunks, which 1.0 does not have.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// A value of the metrics that somebody has of themselves; 0 if there is none of that name.
pub fn metric(address: SocketAddr, name: &str) -> f64 {
    let (_, page) = get(address, "/metrics").unwrap();
    let line = page
        .lines()
        .find(|line| line.split([' ', '{']).next() == Some(name));
    line.and_then(|line| line.split(' ').next_back()?.parse().ok())
        .unwrap_or(0.0)
}

impl Server {
    /// A Prometheus that takes remote write, and scrapes only what the configuration says.
    pub fn prometheus(extra_configuration: &str) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, format!("global: {{}}\n{extra_configuration}")).unwrap();
        let mut command = bound("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}/data", directory.path().display()))
            .arg(format!("--web.listen-address={address}"))
            // Simulated time is years ago.
            .args([
                "--web.enable-remote-write-receiver",
                "--storage.tsdb.retention.time=100y",
            ])
            .args(["--query.lookback-delta=5m", "--log.level=warn"]);
        Self::start(command, directory, address, "/-/ready", "/api/v1/query")
    }

    /// A VictoriaMetrics that keeps samples of a millisecond's distance apart.
    pub fn victoria_metrics() -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let mut command = bound("victoria-metrics");
        command
            .arg(format!("-storageDataPath={}/data", directory.path().display()))
            .arg(format!("-httpListenAddr={address}"))
            .args([
                "-retentionPeriod=100y",
                "-dedup.minScrapeInterval=1ms",
                "-loggerLevel=WARN",
            ])
            .args(["-search.latencyOffset=0s", "-search.maxStalenessInterval=5m"]);
        Self::start(command, directory, address, "/health", "/api/v1/query")
    }

    fn start(
        mut command: Command,
        directory: tempfile::TempDir,
        address: SocketAddr,
        ready: &str,
        query_path: &'static str,
    ) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "cannot start {} (with setpriv, of util-linux): {error}",
                    program(&command)
                )
            });
        let mut server = Self {
            child,
            address,
            directory,
            query_path,
        };
        let start = Instant::now();
        while server.get(ready).is_none_or(|(status, _)| status != 200) {
            assert!(
                server.child.try_wait().unwrap().is_none() && start.elapsed() < START_MAX,
                "the server does not start:\n{}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes remote write.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Status and body of a page, if it answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address, path)
    }

    /// The result of an instant query at a time in milliseconds.
    pub fn query(&self, expression: &str, time_ms: i64) -> Vec<Value> {
        let time = format!("{}.{:03}", time_ms / 1_000, time_ms % 1_000);
        let path = format!("{}?time={time}&query={}", self.query_path, encode(expression));
        let (status, body) = self.get(&path).unwrap();
        assert_eq!(status, 200, "{expression}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The samples of a range selector as they were received, markers left out.
    pub fn samples(&self, selector: &str, time_ms: i64) -> Samples {
        let mut samples = Samples::new();
        for series in self.query(selector, time_ms) {
            let labels = series["metric"].as_object().unwrap();
            let labels = labels
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
            let column = series["values"].as_array().unwrap().iter().filter_map(|pair| {
                let stamp_ms = (pair[0].as_f64().unwrap() * 1e3).round() as i64;
                let value: f64 = pair[1].as_str().unwrap().parse().unwrap();
                // VictoriaMetrics shows markers; no value of ours is NaN.
                (!value.is_nan()).then_some((stamp_ms, value.to_bits()))
            });
            samples.insert(labels.collect(), column.collect());
        }
        samples
    }

    /// A value of its own metrics; 0 if it has none of that name.
    pub fn own_metric(&self, name: &str) -> f64 {
        metric(self.address, name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For a URL.
pub fn encode(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(byte).collect()
}
