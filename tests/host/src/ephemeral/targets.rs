//! A file by which Prometheus finds machines (`file_sd_configs`), written as an orchestrator would.
//!
//! The file is replaced by a rename at each change, so that it is whole whenever Prometheus reads it, which it does as soon as its
//! watch on the directory tells it to.

use anyhow::Result;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::NamedTempFile;

/// Machines that have a page now, or soon.
pub struct Targets {
    path: PathBuf,
    exporter: SocketAddr,
    instances: Mutex<BTreeSet<String>>,
}

impl Targets {
    /// None yet, in a file in that directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: PathBuf, exporter: SocketAddr) -> Result<Self> {
        let this = Self {
            path,
            exporter,
            instances: Mutex::default(),
        };
        this.change(|_| ())?;
        Ok(this)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, instance: &str) -> Result<()> {
        self.change(|instances| {
            instances.insert(instance.to_owned());
        })
    }

    /// One less.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&self, instance: &str) -> Result<()> {
        self.change(|instances| {
            instances.remove(instance);
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<()> {
        // Held until the file is there: an older list must not replace a newer one.
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut instances);
        let groups = instances.iter().map(|instance| {
            json!({
                "targets": [self.exporter],
                "labels": { "instance": instance, "__metrics_path__": super::exporter::path(instance) },
            })
        });
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&file, &groups.collect::<Vec<_>>())?;
        file.persist(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_who_was_added_and_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("targets.json");
        let targets = Targets::create(path.clone(), ([127, 0, 0, 1], 9).into()).unwrap();
        let read =
            || -> serde_json::Value { serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap() };
        assert_eq!(read(), json!([]));
        targets.add("vm-1").unwrap();
        targets.add("vm-2").unwrap();
        targets.remove("vm-1").unwrap();
        let labels = json!({"instance": "vm-2", "__metrics_path__": "/machines/vm-2"});
        assert_eq!(read(), json!([{"targets": ["127.0.0.1:9"], "labels": labels}]));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
