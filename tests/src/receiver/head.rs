//! A request, and the rules for its head.

use std::time::Instant;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// With its query.
    pub target: String,
    /// In order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Still compressed.
    pub body: Vec<u8>,
    /// When all of it was there.
    pub arrived: Instant,
    /// Which connection it came over, in the order of their beginnings.
    pub connection: usize,
}

/// By its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Request {
    /// Of the only header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next()?;
        values.next().is_none().then_some(value.1.as_str())
    }

    /// Which message its body is; `None` if the header says neither.
    pub fn version(&self) -> Option<Version> {
        match self.header("content-type")? {
            "application/x-protobuf" => Some(Version::V1),
            "application/x-protobuf;proto=io.prometheus.write.v2.Request" => Some(Version::V2),
            _ => None,
        }
    }

    /// A sentence for each rule that the head breaks.
    pub fn check_head(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.method != "POST" {
            broken.push(format!("method {}", self.method));
        }
        let mut wanted = |name: &str, right: &dyn Fn(&str) -> bool| match self.header(name) {
            Some(value) if right(value) => {}
            Some(value) => broken.push(format!("header {name}: {value}")),
            None => {
                let count = self.headers.iter().filter(|header| header.0 == name).count();
                broken.push(format!("{count} headers {name}"));
            }
        };
        let version = self.version();
        wanted("content-encoding", &|value| value == "snappy");
        wanted("content-type", &|_| version.is_some());
        wanted("x-prometheus-remote-write-version", &|value| match version {
            Some(Version::V2) => value == "2.0.0",
            _ => value == "0.1.0",
        });
        wanted("user-agent", &|value| {
            let numbers = value.strip_prefix("rondo/").unwrap_or("").split('.');
            numbers.clone().count() == 3 && numbers.into_iter().all(|number| number.parse::<u32>().is_ok())
        });
        wanted("host", &|value| !value.is_empty());
        wanted("content-length", &|value| value == self.body.len().to_string());
        if self.header("transfer-encoding").is_some() {
            broken.push("a body of unknown length".into());
        }
        broken
    }
}
