//! `rondo demo`: machines record themselves, one is killed, and all is read back when they and their slabs are gone.
//!
//! The demo is a small host, each part of it a process: the `fleet` of machines, which are VMs or processes (`kind`) and
//! say when they ticked (`event`), and the `collector`, which stores what they record. The demo itself only starts them, waits,
//! ends the collector, and then reads the store ([`report`]). Where all that is, `places` says. Nothing outlives the demo but
//! what the user wants to keep.

pub mod child;
mod collector;
mod event;
mod fleet;
mod kind;
mod life;
pub mod machine;
mod places;
pub mod report;
mod sparkline;
mod vmm;
mod watched;

use crate::collect::signals::Orders;
use crate::commands::cli::{Demo, Format};
use crate::commands::output::say;
use crate::commands::{Outcome, output};
use anyhow::{Context, bail};
use collector::Collector;
use fleet::Fleet;
use indicatif::{ProgressBar, ProgressStyle};
use kind::Kind;
use places::Places;
use report::Report;
use std::io::Write;
use std::time::Duration;

/// How often the machines are looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// `rondo demo`.
///
/// # Errors
/// The machines or the collector cannot run or fail, or the store cannot be read.
pub fn command(args: &Demo) -> anyhow::Result<Outcome> {
    let orders = Orders::from_signals().context("cannot handle signals")?;
    let kind = Kind::choose(args)?;
    say!("{}", kind.in_words());
    let places = Places::make(args.bus.as_deref(), args.store.as_deref())?;
    let report = run(args, &kind, &places, &orders)?;
    // The machines' disks.
    drop(kind);
    let (_, store) = places.leave()?;
    let mut out = output::stdout();
    match args.output.format {
        Format::Json => output::write_json(&mut out, &report)?,
        Format::Csv => report.write_csv(&mut out)?,
        Format::Table => {
            report.write(&mut out)?;
            report.write_next(&mut out, store.as_deref())?;
        }
    }
    out.flush()?;
    Ok(if report.is_complete() {
        Outcome::Done
    } else {
        Outcome::Found
    })
}

/// From the start of the collector to what is in the store afterwards.
fn run(args: &Demo, kind: &Kind, places: &Places, orders: &Orders) -> anyhow::Result<Report> {
    let budget_bytes = places.budget_bytes(args.machines, args.seconds)?;
    let mut collector = Collector::start(places, budget_bytes, orders)?;
    if let Some(address) = collector.address() {
        say!("while the machines live: curl http://{address}/metrics/machines");
    }
    // Declared after the collector, so that on an error the machines end first.
    let mut fleet = Fleet::start(kind, places.bus(), args.machines, args.seconds)?;
    let bar = progress_bar(args);
    while !fleet.look_after()? {
        pause(orders, PAUSE)?;
        collector.check()?;
        if let Some(instance) = fleet.kill_when_due()? {
            bar.set_message(format!("killed {instance}"));
        }
        for line in fleet.take_console() {
            bar.suspend(|| say!("{line}"));
        }
        bar.set_position(fleet.tick_count().min(args.seconds));
    }
    let witnesses = fleet.finish()?;
    bar.set_message("the collector stores the rest and removes the slabs");
    let slabs = witnesses.iter().map(|witness| witness.slab.clone());
    let left = collector.wait_for_removal(slabs, orders)?;
    bar.set_message("the collector ends");
    for line in collector.finish()? {
        bar.suspend(|| say!("rondo collect: {line}"));
    }
    bar.finish_and_clear();
    Report::read(kind.name(), places.store(), &witnesses, &left)
}

fn progress_bar(args: &Demo) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} s");
    let bar = ProgressBar::new(args.seconds)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(format!("{} machines recording", args.machines));
    // Clears its line also when the demo ends early.
    bar.with_finish(indicatif::ProgressFinish::AndClear)
}

/// Sleeps, unless somebody wants the demo to end.
fn pause(orders: &Orders, time: Duration) -> anyhow::Result<()> {
    std::thread::sleep(time);
    if orders.is_stop() || orders.take_reload() {
        bail!(
            "interrupted; what was temporary is removed (slabs in a directory of your own stay: `rondo gc --remove` removes them)"
        );
    }
    Ok(())
}
