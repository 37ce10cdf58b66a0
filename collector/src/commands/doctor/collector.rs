//! The collector and its store.

use crate::collect::lock::Holder;
use crate::commands::doctor::finding::Finding;
use crate::show::{printable, size};
use std::path::{Path, PathBuf};

/// A collector that is further behind misses its second.
const LAG_WARN_SECONDS: f64 = 5.0;

/// And further than this, it does not catch up.
const LAG_FAIL_SECONDS: f64 = 60.0;

/// What the collector says of itself at `/metrics/health`.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub(crate) struct Health {
    /// What it finds wrong.
    pub(crate) problems: Vec<String>,
    /// Age of the oldest complete interval that is not read yet.
    pub(crate) lag_seconds: f64,
}

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct AnswerFacts {
    pub(crate) url: String,
    /// Whether the user named it, so that silence is a failure.
    pub(crate) is_asked_for: bool,
    pub(crate) answer: Result<Health, String>,
}

/// Whether one runs, answers, and keeps up.
pub(crate) fn running(bus: &Path, holder: Holder, answer: Option<&AnswerFacts>) -> Vec<Finding> {
    const CHECK: &str = "collector";
    let bus = bus.display();
    let mut findings = vec![match holder {
        Holder::Collector(Some(pid)) => Finding::ok(CHECK, format!("pid {pid} collects from {bus}")),
        Holder::Collector(None) => Finding::ok(CHECK, format!("another user's process collects from {bus}")),
        Holder::Nobody => Finding::warn(
            CHECK,
            format!("nobody collects from {bus}: what machines record is lost with their slabs"),
            "systemctl start rondo-collector, or rondo collect",
        ),
        Holder::Unknown => Finding::warn(
            CHECK,
            format!("the lock of {bus} is another user's, and cannot be asked for"),
            "run it as the collector's user or root",
        ),
    }];
    let Some(facts) = answer else { return findings };
    let url = &facts.url;
    findings.push(match &facts.answer {
        Ok(Health { problems, .. }) if !problems.is_empty() => Finding::fail(
            "collector-health",
            format!("{url} is not well: {}", printable(&problems.join("; "))),
            "journalctl -u rondo-collector",
        ),
        Ok(Health { lag_seconds, .. }) => {
            let text = format!("{url} answers, {lag_seconds:.1} s behind");
            let mend =
                "journalctl -u rondo-collector says why: a slow disk, too little CPU, or too many series";
            if *lag_seconds > LAG_FAIL_SECONDS {
                Finding::fail("collector-health", text, mend)
            } else if *lag_seconds > LAG_WARN_SECONDS {
                Finding::warn("collector-health", text, mend)
            } else {
                Finding::ok("collector-health", text)
            }
        }
        Err(reason) if facts.is_asked_for => Finding::fail(
            "collector-health",
            format!("{url} does not answer: {reason}"),
            "systemctl status rondo-collector, or another --url",
        ),
        Err(reason) if holder == Holder::Nobody => Finding::ok(
            "collector-health",
            format!("{url} does not answer, as none runs: {reason}"),
        ),
        Err(reason) => Finding::warn(
            "collector-health",
            format!("a collector runs, but {url} does not answer: {reason}"),
            "rondo doctor --url URL, with the address that it was started with",
        ),
    });
    findings
}

/// What is at the store's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorePlace {
    Missing,
    NotADirectory,
    Directory { mode: u32, uid: u32, used_bytes: u64 },
}

/// The store.
#[derive(Debug, Clone)]
pub(crate) struct StoreFacts {
    pub(crate) path: PathBuf,
    pub(crate) place: StorePlace,
    /// Of its file system, or of that which it would be made on.
    pub(crate) free_bytes: Option<u64>,
    pub(crate) budget_bytes: u64,
    /// The collector's user; without one, this user.
    pub(crate) writer_uid: u32,
    /// Whether a collector runs.
    pub(crate) has_collector: bool,
}

/// Whether a collector can write to it, and has the room that it was promised.
pub(crate) fn store(facts: &StoreFacts) -> Vec<Finding> {
    let path = facts.path.display();
    let mut findings = Vec::new();
    let mut used_bytes = 0;
    let make = format!("install -d -m 750 -o {} {path}", facts.writer_uid);
    findings.push(match facts.place {
        StorePlace::Missing if facts.has_collector => Finding::fail(
            "store",
            format!("{path} does not exist, although a collector runs: it stores elsewhere, or nothing"),
            "rondo doctor --store DIR, with the directory that it was started with",
        ),
        StorePlace::Missing => Finding::warn("store", format!("{path} does not exist yet"), make),
        StorePlace::NotADirectory => {
            Finding::fail("store", format!("{path} is not a directory"), "rondo collect --store DIR, with another")
        }
        StorePlace::Directory { mode, uid, used_bytes: used } => {
            used_bytes = used;
            let who = facts.writer_uid;
            // A group that may write is taken to be the right one.
            if who == 0 || (uid == who && mode & 0o200 != 0) || mode & 0o022 != 0 {
                Finding::ok("store", format!("{path} takes {} of {}", size(used), size(facts.budget_bytes)))
            } else if facts.has_collector {
                let text = format!("{path} is uid {uid}'s with mode {mode:04o}, and the collector, uid {who}, cannot write to it");
                Finding::fail("store", text, format!("chown -R {who} {path}"))
            } else {
                let text = format!("{path} is uid {uid}'s with mode {mode:04o}: uid {who} could not write to it");
                Finding::warn("store", text, format!("run the collector as uid {uid}, or chown -R {who} {path}"))
            }
        }
    });
    if let Some(free_bytes) = facts.free_bytes {
        let missing = facts.budget_bytes.saturating_sub(used_bytes);
        let text = format!(
            "{} are free for the {} that the store still may take",
            size(free_bytes),
            size(missing)
        );
        findings.push(if free_bytes < missing {
            let mend = format!(
                "rondo collect --store-budget {}MiB, or a larger file system",
                ((free_bytes + used_bytes) / 2) >> 20
            );
            Finding::fail("store-space", text, mend)
        } else {
            Finding::ok("store-space", text)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    fn behind(lag_seconds: f64) -> Health {
        Health {
            lag_seconds,
            ..Health::default()
        }
    }

    #[test]
    fn a_collector_that_is_away_silent_or_behind() {
        let running = |holder, answer: Option<(bool, Result<f64, &str>)>| {
            let facts = answer.map(|(is_asked_for, answer)| AnswerFacts {
                url: "http://x".into(),
                is_asked_for,
                answer: answer.map(behind).map_err(str::to_owned),
            });
            levels(&running(Path::new("/b"), holder, facts.as_ref()))
        };
        let runs = Holder::Collector(Some(7));
        assert_eq!(running(runs, None), [Level::Ok]);
        assert_eq!(running(Holder::Nobody, None), [Level::Warn]);
        assert_eq!(running(Holder::Unknown, None), [Level::Warn]);
        assert_eq!(
            running(runs, Some((false, Err("refused")))),
            [Level::Ok, Level::Warn]
        );
        assert_eq!(
            running(Holder::Nobody, Some((false, Err("refused")))),
            [Level::Warn, Level::Ok]
        );
        assert_eq!(
            running(runs, Some((true, Err("refused")))),
            [Level::Ok, Level::Fail]
        );
        for (lag, level) in [
            (0.0, Level::Ok),
            (LAG_WARN_SECONDS, Level::Ok),
            (LAG_WARN_SECONDS + 1.0, Level::Warn),
            (LAG_FAIL_SECONDS + 1.0, Level::Fail),
        ] {
            assert_eq!(running(runs, Some((false, Ok(lag)))), [Level::Ok, level], "{lag}");
        }
    }

    #[test]
    fn a_store_that_is_missing_closed_or_too_small() {
        let place = StorePlace::Directory {
            mode: 0o750,
            uid: 7,
            used_bytes: 600,
        };
        let good = StoreFacts {
            path: "/s".into(),
            place,
            free_bytes: Some(400),
            budget_bytes: 1_000,
            writer_uid: 7,
            has_collector: true,
        };
        assert_eq!(levels(&store(&good)), [Level::Ok, Level::Ok]);
        let of = |change: fn(&mut StoreFacts)| {
            let mut facts = good.clone();
            change(&mut facts);
            levels(&store(&facts))
        };
        assert_eq!(of(|facts| facts.free_bytes = Some(399)), [Level::Ok, Level::Fail]);
        assert_eq!(of(|facts| facts.free_bytes = None), [Level::Ok]);
        assert_eq!(of(|facts| facts.writer_uid = 8)[0], Level::Fail);
        assert_eq!(of(|facts| facts.writer_uid = 0)[0], Level::Ok);
        assert_eq!(of(|facts| facts.place = StorePlace::Missing)[0], Level::Fail);
        assert_eq!(
            of(|facts| facts.place = StorePlace::NotADirectory)[0],
            Level::Fail
        );
        let alone = |change: fn(&mut StoreFacts)| {
            let mut facts = good.clone();
            facts.has_collector = false;
            change(&mut facts);
            levels(&store(&facts))
        };
        assert_eq!(alone(|facts| facts.writer_uid = 8)[0], Level::Warn);
        assert_eq!(alone(|facts| facts.place = StorePlace::Missing)[0], Level::Warn);
    }
}
