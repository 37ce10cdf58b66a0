//! The bus directory and its file system.

use crate::commands::doctor::finding::Finding;
use crate::show::size;
use std::path::{Path, PathBuf};

/// What is at the bus's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Missing,
    NotADirectory,
    Directory {
        /// Permissions, with set-group-id and the sticky bit.
        mode: u32,
        uid: u32,
    },
}

/// The bus.
#[derive(Debug, Clone)]
pub(crate) struct BusFacts {
    pub(crate) path: PathBuf,
    pub(crate) place: Place,
    /// Who collects from it, if that is known.
    pub(crate) collector_uid: Option<u32>,
}

/// A file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpaceFacts {
    pub(crate) is_tmpfs: bool,
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) inodes_total: u64,
    pub(crate) inodes_free: u64,
    /// Of the live slabs.
    pub(crate) live_bytes: u64,
    /// The largest slab.
    pub(crate) largest_bytes: u64,
}

/// Owner, mode, and who may do what.
pub(crate) fn directory(facts: &BusFacts) -> Vec<Finding> {
    const CHECK: &str = "bus-directory";
    let path = facts.path.display();
    let (mode, uid) = match facts.place {
        Place::Missing if facts.path == Path::new(rondo_writer::DEFAULT_BUS) => {
            return vec![Finding::warn(
                CHECK,
                format!("{path} does not exist yet; the first machine makes it"),
                format!("install -d -m 1777 {path}"),
            )];
        }
        Place::Missing => {
            return vec![Finding::fail(
                CHECK,
                format!("{path} does not exist, so no machine can record"),
                format!("install -d -m 1777 {path}"),
            )];
        }
        Place::NotADirectory => {
            return vec![Finding::fail(
                CHECK,
                format!("{path} is not a directory"),
                format!("rm {path} && install -d -m 1777 {path}"),
            )];
        }
        Place::Directory { mode, uid } => (mode, uid),
    };
    let is_sticky = mode & 0o1000 != 0;
    let shown = format!("{path} has mode {mode:04o} and owner {uid}");
    let mut findings = vec![if mode & 0o002 != 0 && !is_sticky {
        Finding::fail(
            CHECK,
            format!("{shown}: anyone may remove or replace anyone's slabs"),
            format!("chmod 1777 {path}"),
        )
    } else if mode & 0o020 != 0 && !is_sticky {
        Finding::warn(
            CHECK,
            format!("{shown}: its group may remove or replace anyone's slabs"),
            format!("chmod 3770 {path}"),
        )
    } else if mode != 0o1777 && mode != 0o3770 {
        Finding::warn(
            CHECK,
            format!(
                "{shown}: expected are 1777 (everyone records) or 3770 (a group records, and its members read)"
            ),
            format!("chmod 3770 {path}"),
        )
    } else {
        Finding::ok(CHECK, shown)
    }];
    if let Some(collector) = facts
        .collector_uid
        .filter(|&by| is_sticky && by != 0 && by != uid)
    {
        findings.push(Finding::fail(
            "bus-owner",
            format!(
                "the collector runs as uid {collector}, but only the owner of {path}, uid {uid}, may remove other users' slabs from it: it fills up"
            ),
            format!("chown {collector} {path}"),
        ));
    }
    findings
}

/// How full it is.
pub(crate) fn space(path: &Path, facts: &SpaceFacts) -> Vec<Finding> {
    let path = path.display();
    let (free, total) = (size(facts.free_bytes), size(facts.total_bytes));
    let mut findings = Vec::new();
    if !facts.is_tmpfs {
        findings.push(Finding::warn(
            "bus-memory",
            format!(
                "{path} is not on a tmpfs: the kernel writes what machines record to a disk, again and again"
            ),
            format!("mount -t tmpfs -o size=1g,mode=1777 tmpfs {path}"),
        ));
    } else {
        findings.push(Finding::ok("bus-memory", format!("{path} is on a tmpfs")));
    }
    let gc = format!("rondo gc --bus {path} --remove --min-free 20%");
    let grow = format!(
        "mount -o remount,size={} {path}",
        facts.total_bytes.max(facts.live_bytes).saturating_mul(2)
    );
    findings.push(if facts.free_bytes < facts.largest_bytes.max(1) {
        Finding::fail(
            "bus-space",
            format!(
                "{free} of {total} are free, less than a slab takes: the next machine runs without metrics"
            ),
            gc.clone(),
        )
    } else if facts.free_bytes < facts.total_bytes / 10 {
        Finding::warn(
            "bus-space",
            format!("only {free} of {total} are free"),
            gc.clone(),
        )
    } else {
        Finding::ok("bus-space", format!("{free} of {total} are free"))
    });
    if facts.live_bytes > facts.total_bytes / 2 {
        findings.push(Finding::warn(
            "bus-size",
            format!(
                "live slabs take {} of {total}; machines that replace them need as much again, as ended slabs stay until they are stored",
                size(facts.live_bytes)
            ),
            grow,
        ));
    }
    // Some file systems count none.
    if facts.inodes_total > 0 {
        let text = format!("{} of {} files are free", facts.inodes_free, facts.inodes_total);
        if facts.inodes_free == 0 {
            findings.push(Finding::fail("bus-files", text, gc));
        } else if facts.inodes_free < facts.inodes_total / 10 {
            findings.push(Finding::warn("bus-files", text, gc));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn levels(findings: &[Finding]) -> Vec<(&'static str, Level)> {
        findings
            .iter()
            .map(|finding| (finding.check, finding.level))
            .collect()
    }

    #[test]
    fn modes_of_the_bus() {
        for (mode, level) in [
            (0o1777, Level::Ok),
            (0o3770, Level::Ok),
            (0o777, Level::Fail),
            (0o2777, Level::Fail),
            (0o770, Level::Warn),
            (0o2770, Level::Warn),
            (0o755, Level::Warn),
            (0o1770, Level::Warn),
        ] {
            let facts = BusFacts {
                path: "/b".into(),
                place: Place::Directory { mode, uid: 0 },
                collector_uid: None,
            };
            assert_eq!(levels(&directory(&facts)), [("bus-directory", level)], "{mode:o}");
        }
        for place in [Place::Missing, Place::NotADirectory] {
            let facts = BusFacts {
                path: "/b".into(),
                place,
                collector_uid: Some(7),
            };
            assert_eq!(levels(&directory(&facts)), [("bus-directory", Level::Fail)]);
            let path = rondo_writer::DEFAULT_BUS.into();
            let default = levels(&directory(&BusFacts { path, ..facts }));
            let level = if place == Place::Missing {
                Level::Warn
            } else {
                Level::Fail
            };
            assert_eq!(default, [("bus-directory", level)]);
        }
    }

    /// The sticky bit lets only the owners of file and directory, and root, remove a file.
    #[test]
    fn a_collector_that_may_not_remove_slabs_is_found() {
        for (mode, uid, collector, is_found) in [
            (0o3770, 0, 7, true),
            (0o3770, 7, 7, false),
            (0o1777, 5, 0, false),
            (0o770, 0, 7, false),
        ] {
            let facts = BusFacts {
                path: "/b".into(),
                place: Place::Directory { mode, uid },
                collector_uid: Some(collector),
            };
            let found = directory(&facts)
                .iter()
                .any(|finding| finding.check == "bus-owner");
            assert_eq!(found, is_found, "{mode:o} {uid} {collector}");
        }
    }

    #[test]
    fn full_nearly_full_and_too_small() {
        let good = SpaceFacts {
            is_tmpfs: true,
            total_bytes: 1_000,
            free_bytes: 800,
            inodes_total: 100,
            inodes_free: 90,
            live_bytes: 200,
            largest_bytes: 100,
        };
        let of = |facts: SpaceFacts| levels(&space(Path::new("/b"), &facts));
        let with = |check, level| {
            let expected = [
                ("bus-memory", Level::Ok),
                ("bus-space", Level::Ok),
                (check, level),
            ];
            expected.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of(good), [("bus-memory", Level::Ok), ("bus-space", Level::Ok)]);
        assert_eq!(
            of(SpaceFacts {
                free_bytes: 99,
                ..good
            })[1],
            ("bus-space", Level::Fail)
        );
        let small = SpaceFacts {
            free_bytes: 99,
            largest_bytes: 0,
            ..good
        };
        assert_eq!(of(small)[1], ("bus-space", Level::Warn));
        assert_eq!(
            of(SpaceFacts {
                live_bytes: 501,
                ..good
            }),
            with("bus-size", Level::Warn)
        );
        assert_eq!(
            of(SpaceFacts {
                inodes_free: 9,
                ..good
            }),
            with("bus-files", Level::Warn)
        );
        assert_eq!(
            of(SpaceFacts {
                inodes_free: 0,
                ..good
            }),
            with("bus-files", Level::Fail)
        );
        assert_eq!(
            of(SpaceFacts {
                is_tmpfs: false,
                ..good
            })[0],
            ("bus-memory", Level::Warn)
        );
    }
}
