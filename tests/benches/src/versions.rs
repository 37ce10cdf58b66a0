//! Which versions of the peers are measured: those that are locked.

const LOCK: &str = include_str!("../../../Cargo.lock");

/// As their packages are called.
const PEERS: [&str; 9] = [
    "prometheus-client",
    "prometheus",
    "metrics",
    "metrics-exporter-prometheus",
    "opentelemetry",
    "opentelemetry_sdk",
    "hdrhistogram",
    "cadence",
    "iceoryx2",
];

/// All of them, for a sentence.
pub fn peers() -> String {
    let named = PEERS.map(|name| format!("{name} {}", locked(name).collect::<Vec<_>>().join(" and ")));
    named.join(", ")
}

/// The versions of a package in the lock file.
fn locked(name: &str) -> impl Iterator<Item = &'static str> {
    let head = format!("name = \"{name}\"");
    let packages = LOCK.split("[[package]]").map(str::trim_start);
    packages.filter_map(move |package| {
        let mut lines = package.lines();
        let is_it = lines.next() == Some(&head);
        let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
        is_it.then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two one could not say which was measured.
    #[test]
    fn each_peer_has_one_version() {
        for name in PEERS {
            assert_eq!(locked(name).count(), 1, "{name}");
        }
        assert_eq!(locked("nothing").count(), 0);
        assert!(peers().starts_with("prometheus-client 0."), "{}", peers());
    }
}
