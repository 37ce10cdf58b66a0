//! What the host allows: files, mappings, and whether systemd leaves the slabs alone.

use crate::commands::doctor::finding::Finding;
use std::path::Path;

/// Descriptors and mappings that a collector has besides those of slabs.
const OWN_MAX: u64 = 200;

/// The host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostFacts {
    /// `vm.max_map_count`.
    pub(crate) mappings_max: Option<u64>,
    /// The collector's RLIMIT_NOFILE, or this process's.
    pub(crate) open_files_max: Option<u64>,
    /// logind's setting; `None` without systemd.
    pub(crate) removes_ipc: Option<bool>,
    /// The first uid that is not the system's.
    pub(crate) uid_min: u32,
}

/// Each slab takes a descriptor and a mapping.
pub(crate) fn limits(facts: &HostFacts, slab_count: u64) -> Vec<Finding> {
    let needed = slab_count + OWN_MAX;
    let judge = |check, name: &str, max: Option<u64>, mend: String| {
        let Some(max) = max else {
            return Finding::ok(check, format!("{name} cannot be read here"));
        };
        let text = format!("{name} is {max}, and {slab_count} slabs need about {needed}");
        if max < needed {
            Finding::fail(check, format!("{text}: some cannot be read"), mend)
        } else if max / 5 * 4 < needed {
            Finding::warn(check, text, mend)
        } else {
            Finding::ok(check, text)
        }
    };
    vec![
        judge(
            "mappings",
            "vm.max_map_count",
            facts.mappings_max,
            format!("sysctl -w vm.max_map_count={}", needed.saturating_mul(2)),
        ),
        judge(
            "open-files",
            "the limit on open files",
            facts.open_files_max,
            format!(
                "systemctl edit rondo-collector: [Service] LimitNOFILE={}",
                needed.saturating_mul(2)
            ),
        ),
    ]
}

/// When the last session of a user who is not the system's ends, logind removes what that user has in /dev/shm.
pub(crate) fn remove_ipc(facts: &HostFacts, bus: &Path, uids: impl IntoIterator<Item = u32>) -> Finding {
    const CHECK: &str = "remove-ipc";
    let Some(removes_ipc) = facts.removes_ipc else {
        return Finding::ok(CHECK, "systemd does not run here");
    };
    if !bus.starts_with("/dev/shm") {
        return Finding::ok(CHECK, format!("{} is not below /dev/shm", bus.display()));
    }
    if !removes_ipc {
        return Finding::ok(CHECK, "RemoveIPC=no");
    }
    match uids
        .into_iter()
        .find(|&uid| uid >= facts.uid_min && uid != NOBODY)
    {
        None => Finding::ok(CHECK, "RemoveIPC=yes, but all slabs are system users'"),
        Some(uid) => Finding::warn(
            CHECK,
            format!(
                "RemoveIPC=yes, and uid {uid} is no system user: when that user logs out, systemd deletes the slabs of its machines, running or not"
            ),
            "mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\nRemoveIPC=no\\n' > /etc/systemd/logind.conf.d/rondo.conf && systemctl restart systemd-logind",
        ),
    }
}

/// A system user although its number is great.
const NOBODY: u32 = 65_534;

/// What `RemoveIPC` is by logind's files, in the order in which they are read. It is `yes` unless one says otherwise.
pub(crate) fn parse_remove_ipc<'a>(files: impl IntoIterator<Item = &'a str>) -> bool {
    let mut removes = true;
    for file in files {
        let mut section = "";
        for line in file.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| section == "[Login]") else {
                continue;
            };
            if key.trim() == "RemoveIPC" {
                removes = match value.trim().to_ascii_lowercase().as_str() {
                    "1" | "yes" | "y" | "true" | "t" | "on" => true,
                    "0" | "no" | "n" | "false" | "f" | "off" => false,
                    // systemd ignores what it does not understand.
                    _ => removes,
                };
            }
        }
    }
    removes
}

/// `UID_MIN` of /etc/login.defs.
pub(crate) fn parse_uid_min(login_defs: &str) -> u32 {
    let mut words = login_defs.lines().map(str::split_whitespace);
    let value = words.find_map(|mut words| (words.next() == Some("UID_MIN")).then(|| words.next()));
    value
        .flatten()
        .and_then(|value| value.parse().ok())
        .unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    const HOST: HostFacts = HostFacts {
        mappings_max: Some(65_530),
        open_files_max: Some(1_024),
        removes_ipc: Some(true),
        uid_min: 1_000,
    };

    #[test]
    fn limits_fail_when_slabs_do_not_fit() {
        let of = |count| {
            limits(&HOST, count)
                .iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(10), [Level::Ok, Level::Ok]);
        assert_eq!(of(700), [Level::Ok, Level::Warn]);
        assert_eq!(of(1_000), [Level::Ok, Level::Fail]);
        assert_eq!(of(60_000), [Level::Warn, Level::Fail]);
        assert_eq!(of(65_400), [Level::Fail, Level::Fail]);
        let unknown = HostFacts {
            mappings_max: None,
            open_files_max: None,
            ..HOST
        };
        assert!(
            limits(&unknown, 1_000_000)
                .iter()
                .all(|finding| finding.level == Level::Ok)
        );
    }

    #[test]
    fn remove_ipc_matters_for_users_slabs_in_dev_shm_alone() {
        let shm = Path::new("/dev/shm/rondo");
        let of =
            |facts: HostFacts, bus: &Path, uids: &[u32]| remove_ipc(&facts, bus, uids.iter().copied()).level;
        assert_eq!(of(HOST, shm, &[0, 1_000]), Level::Warn);
        assert_eq!(of(HOST, shm, &[0, 999, 65_534]), Level::Ok);
        assert_eq!(of(HOST, shm, &[]), Level::Ok);
        assert_eq!(of(HOST, Path::new("/run/rondo"), &[1_000]), Level::Ok);
        for removes_ipc in [Some(false), None] {
            assert_eq!(of(HostFacts { removes_ipc, ..HOST }, shm, &[1_000]), Level::Ok);
        }
    }

    #[test]
    fn the_last_word_on_remove_ipc_counts() {
        for (files, removes) in [
            (vec![], true),
            (vec!["[Login]\n#RemoveIPC=no\n"], true),
            (vec!["[Login]\nRemoveIPC = no \n"], false),
            (vec!["[Other]\nRemoveIPC=no\n"], true),
            (vec!["[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC=yes"], true),
            (
                vec![
                    "[Login]\nRemoveIPC=false\nKillUserProcesses=yes",
                    "[Login]\nRemoveIPC=what",
                ],
                false,
            ),
        ] {
            assert_eq!(parse_remove_ipc(files.iter().copied()), removes, "{files:?}");
        }
    }

    #[test]
    fn uid_min() {
        assert_eq!(
            parse_uid_min("# UID_MIN 5\nUID_MIN\t\t\t  500\nUID_MAX 60000\n"),
            500
        );
        assert_eq!(parse_uid_min(""), 1_000);
    }
}
