//! Tables, plot and verdict.

use super::kind::Kind;
use super::machine::Machine;
use super::run::Outcome;
use super::scraped::Job;
use super::summary::{Row, Side, rows};
use crate::figures::{figure, table};
use crate::machine::{description, version};
use crate::plot::{Panel, Plot, Scale};
use anyhow::Result;
use std::path::Path;

/// The life that the guide judges by, and the scrapes.
const JUDGED: (u64, [u64; 2]) = (45, [15, 30]);

/// Below which part of the points scrapes of such a machine have to stay.
const SCRAPED_SHARE_MAX: f64 = 0.1;

/// Everything in Markdown, as the page has it.
///
/// # Errors
/// The kernel does not say on which machine this is.
pub fn text(kind: &Kind, outcome: &Outcome) -> Result<String> {
    let rows = rows(&outcome.lives);
    let mut text = introduction(kind, outcome)?;
    for of_life in rows.chunk_by(|a, b| a.life_s == b.life_s) {
        text += &section(of_life);
    }
    text += &verdict(&rows);
    Ok(text)
}

fn introduction(kind: &Kind, outcome: &Outcome) -> Result<String> {
    let machines = outcome.lives.iter().map(|life| &life.machine);
    let ticks: usize = machines.clone().map(|machine| machine.ticks.len()).sum();
    let missed: u64 = machines.clone().map(|machine| machine.missed_ticks).sum();
    let lived_s: f64 = machines.map(Machine::lived_s).sum();
    Ok(format!(
        "{} machines, {:.0} alive at once on average, in {:.0} s; {}. They recorded {ticks} seconds, and missed {missed} in between because \
         the host was busy. {}, Prometheus {}; all processes together used {:.2} of its cores, and the average load was {:.1} at the end.\n",
        outcome.lives.len(),
        lived_s / outcome.took_s,
        outcome.took_s,
        kind.in_words(),
        description()?,
        version("prometheus"),
        outcome.busy_s / outcome.took_s,
        outcome.load,
    ))
}

/// The machines of one life.
fn section(rows: &[Row]) -> String {
    const HEAD: [&str; 9] = [
        "",
        "points, mean",
        "p10, p50, p90",
        "share",
        "never seen",
        "first seen after",
        "`increase()` exact",
        "within 5 %",
        "mean: `increase()`, newest",
    ];
    let Some(first) = rows.first() else {
        return String::new();
    };
    let lines = rows.iter().map(|row| {
        vec![
            row.side.title(),
            figure(row.points_mean),
            format!("{}, {}, {}", row.points_p10, row.points_p50, row.points_p90),
            percent(row.points_share),
            row.never_seen.to_string(),
            row.seen_after_p50_s
                .map_or("–".to_owned(), |s| format!("{s:.1} s")),
            percent(row.increase_exact),
            percent(row.increase_within_5_percent),
            format!("{}, {}", percent(row.increase_mean), percent(row.last_mean)),
        ]
    });
    format!(
        "\n### Machines of {} s\n\n{} of them, which recorded {} seconds on average, and missed {} in between.\n\n{}\n",
        first.life_s,
        first.machines,
        figure(first.recorded_mean),
        figure(first.missed_mean),
        table(&HEAD, lines)
    )
}

/// The guide's acceptance, met or not.
fn verdict(rows: &[Row]) -> String {
    let (life_s, intervals_s) = JUDGED;
    let of = |side: Side| rows.iter().find(|row| row.life_s == life_s && row.side == side);
    let Some(rondo) = of(Side::Rondo) else {
        return format!("\nNo machine lived {life_s} s, which is what the guide judges by.\n");
    };
    let has_all = rondo.complete == 1.0 && rondo.increase_exact == 1.0;
    let mut text = format!(
        "\nThe guide wants all data of a machine of {life_s} s, against less than {:.0} % by scrapes.\n\n- rondo has {} of the points that were recorded ({} of all seconds, those included in which the VMM did not tick) and {} of the totals: {}.",
        SCRAPED_SHARE_MAX * 100.0,
        percent(rondo.points_share),
        percent(rondo.points_mean / (rondo.recorded_mean + rondo.missed_mean)),
        percent(rondo.increase_exact),
        met(has_all)
    );
    for interval_s in intervals_s {
        for in_advance in [false, true] {
            let job = Job {
                interval_s,
                in_advance,
            };
            if let Some(row) = of(Side::Prometheus(job)) {
                text += &format!(
                    "\n- {} has {} of the points: {}.",
                    job.title(),
                    percent(row.points_share),
                    met(row.points_share < SCRAPED_SHARE_MAX)
                );
            }
        }
    }
    text + "\n"
}

fn met(is_so: bool) -> &'static str {
    if is_so { "**met**" } else { "**not met**" }
}

/// Whole only if it is.
fn percent(share: f64) -> String {
    if share == 1.0 || share == 0.0 {
        return format!("{:.0} %", share * 100.0);
    }
    // 99.97 % must not look like all, nor 0.02 % like nothing.
    let shown = if share < 1.0 {
        (share * 1e3).clamp(1.0, 999.0).floor()
    } else {
        (share * 1e3).round()
    };
    format!("{:.1} %", shown / 10.0)
}

/// Draws the same.
///
/// # Errors
/// There is nothing to draw, or the file cannot be written.
pub fn plot(outcome: &Outcome, path: &Path) -> Result<()> {
    let rows = rows(&outcome.lives);
    let sides = Side::all();
    let panel = |title: &str, of: fn(&Row) -> f64| {
        let line = |side: &Side| {
            let of_side = rows.iter().filter(|row| row.side == *side);
            of_side.map(|row| (row.life_s as f64, 100.0 * of(row))).collect()
        };
        Panel {
            title: title.to_owned(),
            scale: Scale::Linear,
            lines: sides.iter().map(line).collect(),
        }
    };
    let names: Vec<String> = sides.iter().map(|side| side.title()).collect();
    let plot = Plot {
        title: "What is known of short-lived machines afterwards",
        x: "seconds that they lived",
        names: &names,
        panels: &[
            panel("Points there, % of those there could be", |row| row.points_share),
            panel("Machines seen at all, %", |row| {
                1.0 - row.never_seen as f64 / row.machines as f64
            }),
            panel("Machines whose total is right to 5 %, %", |row| {
                row.increase_within_5_percent
            }),
            panel("Newest total, % of the true one", |row| row.last_mean),
        ],
    };
    plot.write(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_is_not_shown_as_all() {
        let shown = [0.0, 0.000_1, 0.066_7, 0.999_9, 1.0, 1.234_4].map(percent);
        assert_eq!(shown, ["0 %", "0.1 %", "6.6 %", "99.9 %", "100 %", "123.4 %"]);
    }

    fn row(side: Side, share: f64, exact: f64) -> Row {
        Row {
            life_s: 45,
            side,
            machines: 200,
            recorded_mean: 45.5,
            missed_mean: 0.5,
            points_mean: 45.5 * share,
            points_p10: 1.0,
            points_p50: 1.0,
            points_p90: 1.0,
            points_share: share,
            complete: exact,
            increase_exact: exact,
            increase_within_5_percent: exact,
            increase_mean: exact,
            last_mean: exact,
            never_seen: 0,
            seen_after_p50_s: None,
        }
    }

    #[test]
    fn the_verdict_is_not_met_if_one_second_or_one_total_is_missing() {
        let job = Side::Prometheus(Job {
            interval_s: 15,
            in_advance: false,
        });
        let of = |share, exact, scraped| verdict(&[row(Side::Rondo, share, exact), row(job, scraped, 0.0)]);
        let good = of(1.0, 1.0, 0.066);
        assert_eq!(good.matches("**met**").count(), 2, "{good}");
        let bad = of(0.999_9, 0.995, 0.11);
        assert_eq!(bad.matches("**not met**").count(), 2, "{bad}");
        assert!(verdict(&[]).contains("No machine lived 45 s"));
    }
}
