//! A real Prometheus and a real `rondo collect`, on free ports, for as long as a test has them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use crate::http_common::{Reply, parse};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// An address that nobody listens on now; if another takes it meanwhile, who wanted it ends and the test says so.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A Prometheus that is killed with the test.
pub struct Prometheus {
    child: Child,
    pub address: SocketAddr,
    data: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// One with the text of a configuration file, and arguments besides those that every one has.
    pub fn start(address: SocketAddr, config: &str, arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(data.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                data.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, address, data }
    }

    pub fn get(&self, path: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok()?;
        serde_json::from_slice(&parse(&reply).body).ok()
    }

    /// The value of an instant query that has one result.
    pub fn value(&self, query: &str) -> Option<f64> {
        let reply = self.get(&format!("/api/v1/query?query={}", encoded(query)))?;
        let results = reply["data"]["result"].as_array()?;
        assert!(results.len() < 2, "{query}: {reply}");
        results.first()?["value"][1].as_str()?.parse().ok()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }
}

/// A text as a parameter of a URL.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// `rondo collect` itself, killed with the test.
pub struct Collecting {
    child: Child,
    pub address: SocketAddr,
    /// Kept open, so that its log has somewhere to go.
    _log: BufReader<ChildStderr>,
    _store: TempDir,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one for a bus with a store of its own, and waits until it answers.
pub fn collect(bus: &Path, arguments: &[&str]) -> Collecting {
    let store = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rondo"))
        .arg("collect")
        .arg("--bus")
        .arg(bus)
        .arg("--store")
        .arg(store.path())
        .args(["--store-budget", "16MiB", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .env_remove("RONDO_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("answering on ") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it does not answer");
    }
    let address = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    Collecting {
        child,
        address,
        _log: log,
        _store: store,
    }
}

pub fn get(address: SocketAddr, path: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    parse(&reply)
}
