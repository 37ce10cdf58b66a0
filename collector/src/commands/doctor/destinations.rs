//! The servers that rows are pushed to.
//!
//! Whether they answer is not asked: that would be a request that nobody ordered, and the collector says it of
//! itself.

use crate::commands::doctor::finding::Finding;
use std::path::PathBuf;

const CHECK: &str = "remote-write";

/// What a destination needs.
#[derive(Debug, Clone)]
pub(crate) struct DestinationFacts {
    pub(crate) name: String,
    pub(crate) files: Vec<FileFacts>,
}

/// A file that its settings name.
#[derive(Debug, Clone)]
pub(crate) struct FileFacts {
    pub(crate) path: PathBuf,
    /// A secret that every user of the host can read.
    pub(crate) is_open_secret: bool,
    /// Why it is of no use to this user.
    pub(crate) error: Option<String>,
}

/// Whether the files are there, and secrets are.
pub(crate) fn files(destinations: &[DestinationFacts]) -> Vec<Finding> {
    let of = |destination: &DestinationFacts| {
        let name = &destination.name;
        let finding = |file: &FileFacts| {
            let path = file.path.display();
            if let Some(error) = &file.error {
                let text = format!("nothing is sent to {name}, as {path} cannot be used: {error}");
                let mend = format!("install -m 640 -g rondo FILE {path}, with what it is to hold");
                return Some(Finding::fail(CHECK, text, mend));
            }
            let text = format!("every user can read {path}, the secret of {name}");
            file.is_open_secret
                .then(|| Finding::warn(CHECK, text, format!("chmod o= {path}")))
        };
        let mut findings: Vec<Finding> = destination.files.iter().filter_map(finding).collect();
        if findings.is_empty() {
            findings.push(Finding::ok(CHECK, format!("{name} has the files that it needs")));
        }
        findings
    };
    destinations.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn files_that_cannot_be_used_fail_and_open_secrets_warn() {
        let file = |is_open_secret, error: Option<&str>| FileFacts {
            path: "/p".into(),
            is_open_secret,
            error: error.map(str::to_owned),
        };
        let levels = |of: &[FileFacts]| -> Vec<Level> {
            let destination = DestinationFacts {
                name: "a".into(),
                files: of.to_vec(),
            };
            files(&[destination])
                .into_iter()
                .map(|finding| finding.level)
                .collect()
        };
        assert_eq!(levels(&[]), [Level::Ok]);
        assert_eq!(levels(&[file(false, None), file(false, None)]), [Level::Ok]);
        assert_eq!(
            levels(&[file(true, None), file(true, Some("no such file"))]),
            [Level::Warn, Level::Fail]
        );
        assert!(files(&[]).is_empty());
    }
}
