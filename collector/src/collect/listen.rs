//! Where the collector answers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address, a socket, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// HTTP over TCP.
    Tcp(SocketAddr),
    /// HTTP over a unix socket.
    Unix(PathBuf),
    /// Nowhere.
    Nowhere,
}

impl Default for Listen {
    /// Next to the 9090 to 9099 where Prometheus and its companions listen, and not one of them.
    fn default() -> Self {
        Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9_190)))
    }
}

impl Listen {
    /// Whether other hosts may reach it.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            _ if text == "none" => Ok(Self::Nowhere),
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| {
                format!("`{text}` is not ADDRESS:PORT with a numeric address, such as {} or [::1]:9190, nor unix:PATH, nor none", Self::default())
            }),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Nowhere => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_sockets_are_private() {
        for (listen, is_exposed) in [
            ("127.0.0.1:1", false),
            ("127.8.0.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("unix:/x", false),
            ("none", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
        ] {
            assert_eq!(
                listen.parse::<Listen>().unwrap().is_exposed(),
                is_exposed,
                "{listen}"
            );
        }
    }

    #[test]
    fn texts_come_back() {
        for text in ["127.0.0.1:9190", "[::1]:80", "unix:/run/x.sock", "none"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for wrong in ["", "localhost:1", "9190", "unix:", "127.0.0.1"] {
            let error = wrong.parse::<Listen>().unwrap_err();
            assert!(error.contains("such as 127.0.0.1:9190"), "{error}");
        }
    }
}
