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
///
/// # Errors
/// One of them is not locked in one version: nobody could say which was measured.
pub fn peers() -> anyhow::Result<String> {
    let named = PEERS.into_iter().map(|name| {
        let versions: Vec<_> = locked(name).collect();
        anyhow::ensure!(
            versions.len() == 1,
            "{name} is locked in {} versions",
            versions.len()
        );
        Ok(format!("{name} {}", versions[0]))
    });
    Ok(named.collect::<anyhow::Result<Vec<_>>>()?.join(", "))
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
