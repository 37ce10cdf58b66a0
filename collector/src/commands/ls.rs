//! `rondo ls`: the slabs of the bus.

use crate::commands::Outcome;
use crate::commands::cli::{Format, Ls};
use crate::commands::output::{Grid, Side, say, stdout, write_json};
use crate::commands::target::limits;
use crate::show;
use rondo_reader::{Bus, Error, Slab};
use serde::Serialize;
use std::io::Write;

/// A slab, as a row.
#[derive(Debug, Serialize)]
struct SlabRow {
    instance: String,
    schema: String,
    incarnation: String,
    part: u32,
    state: &'static str,
    pid: u64,
    uid: u32,
    series: u64,
    age_ns: u64,
    size_bytes: u64,
    /// By the present wall clock; null before the first tick.
    last_tick: Option<String>,
    /// Null where its clock cannot be compared with the present.
    last_tick_age_ns: Option<u64>,
    file: String,
}

#[derive(Debug, Serialize)]
struct RefusedRow {
    file: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Listing {
    bus: String,
    slabs: Vec<SlabRow>,
    refused: Vec<RefusedRow>,
    refused_count: usize,
}

pub(crate) fn run(args: &Ls) -> anyhow::Result<Outcome> {
    let bus = Bus::open(&args.bus.bus, &limits(&args.bus))?;
    let mut refused: Vec<RefusedRow> = Vec::new();
    let mut slabs = Vec::new();
    for slab in bus.slabs() {
        match row(slab) {
            Ok(row) => slabs.push(row),
            Err(error) => refused.push(RefusedRow {
                file: shown(slab),
                reason: error.to_string(),
            }),
        }
    }
    let refused_count = bus.refused_count() + refused.len();
    refused.extend(bus.refused().iter().map(|refused| RefusedRow {
        file: refused.path.display().to_string(),
        reason: refused.error.to_string(),
    }));
    for refused in &refused {
        say!("rondo: {}", show::printable(&refused.reason));
    }
    if refused_count > refused.len() {
        say!(
            "rondo: and {} more that are refused",
            refused_count - refused.len()
        );
    }
    let bus = args.bus.bus.display().to_string();
    print(
        args.output.format,
        &Listing {
            bus,
            slabs,
            refused,
            refused_count,
        },
    )?;
    Ok(Outcome::Done)
}

fn shown(slab: &Slab) -> String {
    slab.path().display().to_string()
}

fn row(slab: &Slab) -> Result<SlabRow, Error> {
    let (identity, view, live) = (slab.identity(), slab.view()?, slab.live()?);
    let now = show::wall_now_ns();
    let since = |wall_ns: i128| u64::try_from(now - wall_ns).unwrap_or(0);
    let tick = Some(view.ticked_ns)
        .filter(|&ticked| ticked != 0)
        .map(|ticked| view.wall_ns(ticked));
    Ok(SlabRow {
        instance: identity.instance.clone(),
        schema: identity.schema.clone(),
        incarnation: show::hex(&identity.incarnation),
        part: identity.part,
        state: view.liveness.as_str(),
        pid: live.writer_pid,
        uid: slab.owner_uid(),
        series: live.series_count,
        age_ns: since(i128::from(identity.created_realtime_ns) + i128::from(view.clock_offset_ns)),
        size_bytes: slab.size_bytes(),
        last_tick: tick.map(show::time),
        last_tick_age_ns: tick.filter(|_| !identity.simulated_time).map(since),
        file: shown(slab),
    })
}

fn print(format: Format, listing: &Listing) -> anyhow::Result<()> {
    let mut out = stdout();
    match format {
        Format::Json => write_json(&mut out, listing)?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            if listing.slabs.is_empty() {
                csv.write_record([
                    "instance",
                    "schema",
                    "incarnation",
                    "part",
                    "state",
                    "pid",
                    "uid",
                    "series",
                    "age_ns",
                    "size_bytes",
                    "last_tick",
                    "last_tick_age_ns",
                    "file",
                ])?;
            }
            for slab in &listing.slabs {
                csv.serialize(slab)?;
            }
            csv.flush()?;
        }
        Format::Table => {
            use Side::{Left, Right};
            let mut grid = Grid::new(&[
                ("INSTANCE", Left),
                ("SCHEMA", Left),
                ("INCARNATION", Left),
                ("STATE", Left),
                ("PID", Right),
                ("UID", Right),
                ("SERIES", Right),
                ("AGE", Right),
                ("SIZE", Right),
                ("LAST TICK", Left),
            ]);
            for slab in &listing.slabs {
                let part = if slab.part == 0 {
                    String::new()
                } else {
                    format!("-{}", slab.part)
                };
                let tick = match (slab.last_tick_age_ns, &slab.last_tick) {
                    (Some(age), _) => format!("{} ago", show::duration(age / 100_000_000 * 100_000_000)),
                    (None, Some(time)) => format!("{time} (simulated)"),
                    (None, None) => "never".into(),
                };
                grid.add([
                    slab.instance.clone(),
                    slab.schema.clone(),
                    format!("{}{part}", &slab.incarnation[..8]),
                    slab.state.into(),
                    slab.pid.to_string(),
                    slab.uid.to_string(),
                    slab.series.to_string(),
                    show::duration(slab.age_ns / 1_000_000_000 * 1_000_000_000),
                    show::size(slab.size_bytes),
                    tick,
                ]);
            }
            grid.write(&mut out)?;
        }
    }
    out.flush()?;
    Ok(())
}
