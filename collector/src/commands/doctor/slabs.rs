//! The slabs on the bus.

use crate::commands::doctor::finding::Finding;
use crate::show::duration;
use rondo_reader::Liveness;
use std::path::Path;
use std::time::Duration;

/// A machine that lives records in each interval; so many without a sign are no accident.
const SILENT_INTERVALS_MAX: u64 = 10;

/// What a collector needs beyond its `keep`.
const GRACE: Duration = Duration::from_secs(60);

/// Examples that a finding names.
const EXAMPLES_MAX: usize = 3;

/// A slab that was let in.
#[derive(Debug, Clone)]
pub(crate) struct SlabFacts {
    pub(crate) file: String,
    pub(crate) uid: u32,
    pub(crate) state: Liveness,
    pub(crate) interval_ns: u64,
    /// Since its last sign of life; `None` if it lives and its clock is not comparable.
    pub(crate) silent_ns: Option<u64>,
    /// What its stamps are off the present wall clock.
    pub(crate) clock_offset_ns: i64,
}

/// A file that was not.
#[derive(Debug, Clone)]
pub(crate) struct RefusedFacts {
    pub(crate) reason: String,
    /// Because this user may not read it.
    pub(crate) is_unreadable: bool,
}

/// `3: a, b, c` or `5: a, b, c, …`.
fn examples<'a>(items: impl IntoIterator<Item = &'a str>) -> (usize, String) {
    let items: Vec<&str> = items.into_iter().collect();
    let mut text = items
        .iter()
        .take(EXAMPLES_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join("; ");
    if items.len() > EXAMPLES_MAX {
        text += "; …";
    }
    (items.len(), text)
}

/// Files that cannot be read, and files that break a rule or a limit. More were refused than are remembered, if
/// `refused_count` says so.
pub(crate) fn refused(bus: &Path, refused: &[RefusedFacts], refused_count: usize) -> Vec<Finding> {
    let of = |unreadable: bool| {
        let these = refused
            .iter()
            .filter(move |file| file.is_unreadable == unreadable);
        examples(these.map(|file| file.reason.as_str()))
    };
    let ((unreadable, which), (bad, why)) = (of(true), of(false));
    let more = refused_count.saturating_sub(refused.len());
    vec![
        match unreadable {
            0 => Finding::ok("slab-permissions", "this user can read every slab"),
            _ => Finding::warn(
                "slab-permissions",
                format!("{unreadable} slabs cannot be read by this user: {which}"),
                format!(
                    "run it as the collector's user or root; for the collector, chmod g+s {} and put the machines' users into its group",
                    bus.display()
                ),
            ),
        },
        match bad + more {
            0 => Finding::ok("slab-format", "no file is refused"),
            count => Finding::warn(
                "slab-format",
                format!("{count} files are refused, so what they hold is not collected: {why}"),
                format!("rondo verify {}/*.slab", bus.display()),
            ),
        },
    ]
}

/// Writers that hold their lock and record nothing.
pub(crate) fn stuck(slabs: &[SlabFacts]) -> Finding {
    let is_stuck = |slab: &&SlabFacts| {
        let silence = slab.silent_ns.unwrap_or(0);
        slab.state == Liveness::Live && silence > slab.interval_ns.saturating_mul(SILENT_INTERVALS_MAX)
    };
    let shown: Vec<String> = slabs
        .iter()
        .filter(is_stuck)
        .map(|slab| {
            format!(
                "{} for {}",
                slab.file,
                duration(whole_seconds(slab.silent_ns.unwrap_or(0)))
            )
        })
        .collect();
    match examples(shown.iter().map(String::as_str)) {
        (0, _) => Finding::ok("slab-stuck", "every live machine ticks"),
        (count, which) => Finding::warn(
            "slab-stuck",
            format!(
                "{count} machines live and are silent: {which}; their writers hang, are stopped, or never call tick()"
            ),
            "rondo ls shows their pids; look at these processes",
        ),
    }
}

/// Ended slabs that a collector would have stored and removed.
pub(crate) fn ended(slabs: &[SlabFacts], keep: Duration, has_collector: bool) -> Finding {
    let limit_ns = u64::try_from((keep + GRACE).as_nanos()).unwrap_or(u64::MAX);
    let is_old =
        |slab: &&SlabFacts| slab.state != Liveness::Live && slab.silent_ns.is_some_and(|ns| ns > limit_ns);
    let old = slabs.iter().filter(is_old).map(|slab| slab.file.as_str());
    match examples(old) {
        (0, _) => Finding::ok("slab-ended", "no ended slab has been left behind"),
        (count, which) => {
            let (why, mend) = if has_collector {
                (
                    "the collector has just started, or cannot store them",
                    "wait for a minute; then the collector's log (journalctl -u rondo-collector) says what keeps it from storing them",
                )
            } else {
                (
                    "no collector runs",
                    "rondo collect (systemctl start rondo-collector), or, if nobody wants them, rondo gc --remove",
                )
            };
            Finding::warn(
                "slab-ended",
                format!(
                    "{count} slabs ended more than {} ago and are still there, as {why}: {which}",
                    duration(limit_ns)
                ),
                mend,
            )
        }
    }
}

/// The wall clock was set since slabs were made.
pub(crate) fn clock(slabs: &[SlabFacts]) -> Finding {
    let stepped: Vec<i64> = slabs
        .iter()
        .map(|slab| slab.clock_offset_ns)
        .filter(|&offset| offset != 0)
        .collect();
    let Some(most) = stepped.iter().copied().max_by_key(|offset| offset.unsigned_abs()) else {
        return Finding::ok(
            "clock",
            "the wall clock has not been set since the slabs were made",
        );
    };
    let direction = if most > 0 { "forward" } else { "back" };
    Finding::warn(
        "clock",
        format!(
            "the wall clock was set after {} slabs were made, by up to {} {direction}; they record on without a gap, and what is shown and exported follows the present clock",
            stepped.len(),
            duration(most.unsigned_abs())
        ),
        "timedatectl timesync-status, or chronyc tracking, says whether it is right now",
    )
}

fn whole_seconds(ns: u64) -> u64 {
    ns / 1_000_000_000 * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    const SECOND: u64 = 1_000_000_000;

    fn slab(state: Liveness, silent_seconds: Option<u64>) -> SlabFacts {
        SlabFacts {
            file: "vm-1.vmm.0a1b2c3d.slab".into(),
            uid: 1_000,
            state,
            interval_ns: SECOND,
            silent_ns: silent_seconds.map(|seconds| seconds * SECOND),
            clock_offset_ns: 0,
        }
    }

    #[test]
    fn a_live_machine_is_stuck_after_ten_silent_intervals() {
        let of = |slab: SlabFacts| stuck(&[slab]).level;
        assert_eq!(of(slab(Liveness::Live, Some(10))), Level::Ok);
        assert_eq!(of(slab(Liveness::Live, Some(11))), Level::Warn);
        assert_eq!(of(slab(Liveness::Dead, Some(11))), Level::Ok);
        assert_eq!(
            of(slab(Liveness::Live, None)),
            Level::Ok,
            "simulated time stands still"
        );
        let slow = SlabFacts {
            interval_ns: 60 * SECOND,
            ..slab(Liveness::Live, Some(300))
        };
        assert_eq!(of(slow), Level::Ok);
        assert!(
            stuck(&[slab(Liveness::Live, Some(75))])
                .text
                .contains("0a1b2c3d.slab for 1m15s")
        );
    }

    #[test]
    fn what_ended_is_left_behind_a_minute_after_it_should_be_gone() {
        let keep = Duration::from_secs(60);
        let of = |slab: SlabFacts| ended(&[slab], keep, false).level;
        assert_eq!(of(slab(Liveness::Dead, Some(120))), Level::Ok);
        assert_eq!(of(slab(Liveness::Dead, Some(121))), Level::Warn);
        assert_eq!(of(slab(Liveness::Closed, Some(121))), Level::Warn);
        assert_eq!(of(slab(Liveness::Live, Some(121))), Level::Ok);
        let slabs = vec![slab(Liveness::Dead, Some(1_000)); 5];
        let finding = ended(&slabs, keep, true);
        assert!(
            finding.text.starts_with("5 slabs ended more than 2m ago"),
            "{}",
            finding.text
        );
        assert!(finding.text.ends_with("; …") && finding.mend.unwrap().contains("journalctl"));
    }

    #[test]
    fn a_step_of_the_clock_is_said_with_its_size() {
        let stepped = |seconds: i64| SlabFacts {
            clock_offset_ns: seconds * 1_000_000_000,
            ..slab(Liveness::Live, Some(0))
        };
        assert_eq!(clock(&[stepped(0)]).level, Level::Ok);
        let finding = clock(&[stepped(0), stepped(5), stepped(-3_600)]);
        assert_eq!(finding.level, Level::Warn);
        assert!(
            finding.text.contains("after 2 slabs were made, by up to 1h back"),
            "{}",
            finding.text
        );
    }

    #[test]
    fn unreadable_and_refused_are_two_things() {
        let file = |is_unreadable| RefusedFacts {
            reason: "reason".into(),
            is_unreadable,
        };
        let levels = |files: &[RefusedFacts], count| {
            let findings = refused(Path::new("/b"), files, count);
            [findings[0].level, findings[1].level]
        };
        assert_eq!(levels(&[], 0), [Level::Ok, Level::Ok]);
        assert_eq!(levels(&[file(true)], 1), [Level::Warn, Level::Ok]);
        assert_eq!(levels(&[file(false)], 1), [Level::Ok, Level::Warn]);
        assert_eq!(levels(&[file(true)], 9), [Level::Warn, Level::Warn]);
    }
}
