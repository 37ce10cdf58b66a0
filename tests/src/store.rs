//! The golden store of `spec/vectors/store`: what it holds, made by the real store, and read back as JSON.
//!
//! Every coding of the specification is in it, an extent in its third use, a frame that shares a layout with an
//! earlier one, a damaged run, and a torn frame. Ids are random, so it is never the same to the byte.

use rondo_collector::store::archive::{ArchiveSettings, Archives};
use rondo_collector::store::{BucketCounts, BucketShape, Column, Layout, Run, Source, StoredSeries};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::{Functions, SENTINEL};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;
/// What it is opened with: the least there is, two extents for each tier.
const SETTINGS: ArchiveSettings = ArchiveSettings {
    budget_bytes: 4 * (8_192 + 2 * 16_384),
    extent_bytes: 16_384,
};

fn series(name: &str, kind: Kind, unit: &str) -> StoredSeries {
    StoredSeries {
        kind,
        unit: Unit::from(unit),
        name: name.to_owned(),
        help: String::new(),
        labels: Vec::new(),
        buckets: (kind == Kind::Histogram).then_some(BucketShape {
            count: 40,
            precision: 2,
        }),
    }
}

fn source(instance: &str, simulated_time: bool) -> Arc<Source> {
    Arc::new(Source {
        incarnation: std::array::from_fn(|index| 0x10 + index as u8),
        boot_id: [0xB0; 16],
        instance: instance.to_owned(),
        schema: "vmm".to_owned(),
        part: u32::from(simulated_time),
        uid: 1_000,
        labels: vec![
            ("image".to_owned(), "debian 13".to_owned()),
            ("tenant".to_owned(), "blü".to_owned()),
        ],
        created_ns: 1_700_000_000 * SECOND_NS,
        interval_ns: SECOND_NS,
        simulated_time,
    })
}

/// Rows of `word(row, index)`, each a second or more after the other.
fn run(
    source: Arc<Source>,
    layout: &Arc<Layout>,
    first_row: u64,
    rows: u64,
    known: impl Fn(u64, u32) -> u32,
    word: impl Fn(u64, usize) -> u64,
) -> Run {
    let interval_ns = layout.interval_ns();
    let start_ns = (1_700_000_100 * SECOND_NS).next_multiple_of(interval_ns) + first_row * interval_ns;
    let mut run = Run::new(source, layout.clone(), 0, start_ns);
    for row in 0..rows {
        let known: Vec<u32> = (0..layout.series().len() as u32)
            .map(|index| known(row, index))
            .collect();
        let words: Vec<u64> = (0..layout.width()).map(|index| word(row, index)).collect();
        let buckets = layout.histograms().iter().map(|_| {
            let counts: Vec<u64> = (0..40)
                .map(|bucket| if bucket % 9 == row % 3 { row * bucket } else { 0 })
                .collect();
            BucketCounts::from_dense(&counts)
        });
        run.push(&known, &words, buckets.collect::<Vec<_>>());
    }
    run
}

/// Gauges and counters of tier 0, in every coding: constant, offset, decimals, steady, nearly alike, unlike, unknown, with gaps.
fn codings() -> Run {
    let names = [
        "constant", "offset", "decimal", "steady", "alike", "unlike", "unknown", "gaps", "odd",
    ];
    let gauges = names.map(|name| series(name, Kind::Gauge, "bytes"));
    let counters = ["total", "wrapping_total"].map(|name| series(name, Kind::Counter, ""));
    let mut all: Vec<_> = gauges.into_iter().chain(counters).collect();
    all[2].help = "Größe in ½ Schritten.".to_owned();
    all[3].labels = vec![("device".to_owned(), "vda".to_owned())];
    let layout = Arc::new(Layout::new(0, SECOND_NS, Functions::default(), &[], all.into()));
    let word = |row: u64, index: usize| {
        let n = row as f64;
        let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 5e-324, 1e300];
        match index {
            0 => std::f64::consts::PI,
            1 => 1_000.0 + n * n % 7.0,
            2 => -(1.0 + n * 37.0 % 101.0) / 1_000.0,
            3 => 1e6 + 1_500.0 * n,
            4 => f64::from_bits(1.0f64.to_bits() + (row << 40)) * 3.0,
            5 => return row.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            6 => return SENTINEL,
            7 if row % 3 == 1 => return SENTINEL,
            7 => n / 4.0,
            8 => odd[row as usize % odd.len()],
            9 => return 1_000 * row + row * row % 5,
            _ => return (u64::MAX - 5).wrapping_add(3 * row),
        }
        .to_bits()
    };
    let known = |row: u64, index: u32| {
        if index == 6 || index == 7 && row % 3 == 1 {
            0
        } else {
            1
        }
    };
    let mut run = run(source("vm-1", true), &layout, 0, 12, known, word);
    run.ended_ns = run.end_ns() - 5;
    run
}

/// A counter and a histogram of tier 1, in frames of which each takes a quarter of an extent.
fn laps(archives: &mut Archives) {
    for n in 0..11 {
        let all = [
            series("exits_total", Kind::Counter, ""),
            series("latency", Kind::Histogram, "microseconds"),
        ];
        let layout = Arc::new(Layout::new(
            1,
            10 * SECOND_NS,
            Functions(2 | 4),
            &[],
            Arc::new(all),
        ));
        let word = |row: u64, index: usize| match index {
            0 | 1 => n * 100 + row,
            _ => ((n * 10 + row) as f64).sqrt().to_bits(),
        };
        let mut run = run(
            source("vm-2", false),
            &layout,
            6 * n,
            6,
            |row, _| 10 - (row == n) as u32,
            word,
        );
        run.clock_offset_ns = -1_500_000_000;
        archives.append(&run).unwrap();
        archives.sync().unwrap();
    }
}

/// Distributions in tiers 2 and 3, the last one of which is torn, and one damaged.
fn later_tiers(archives: &mut Archives) {
    for n in 0..4u64 {
        let all: Arc<[_]> = Arc::new([
            series("size", Kind::Distribution, "kibibytes"),
            series("depth", Kind::Gauge, ""),
        ]);
        let tier = 2 + u8::from(n == 1);
        let layout = Arc::new(Layout::new(
            tier,
            300 * SECOND_NS,
            Functions::MAX,
            &[Functions::AVERAGE],
            all,
        ));
        let word = |row: u64, index: usize| match index {
            0 => 10 * n + row,
            _ => (0.1 * (row + index as u64) as f64).to_bits(),
        };
        let source = source(["vm-1", "vm-2", "vm-3", "vm-4"][n as usize], false);
        let mut run = run(
            source,
            &layout,
            20 * n,
            5,
            |row, index| 30 * row as u32 + index,
            word,
        );
        run.first_series = 512 * n as u32;
        archives.append(&run).unwrap();
        if n < 3 {
            archives.sync().unwrap();
        } else {
            archives.flush().unwrap();
        }
    }
}

/// Makes the store in an empty directory.
pub fn make(dir: &Path) {
    let mut archives = Archives::open(dir, &SETTINGS).unwrap();
    archives.append(&codings()).unwrap();
    laps(&mut archives);
    later_tiers(&mut archives);
    archives.flush().unwrap();
    drop(archives);
    let path = dir.join("tier-2.archive");
    let mut bytes = std::fs::read(&path).unwrap();
    for machine in [b"vm-3", b"vm-4"] {
        let at = bytes.windows(4).rposition(|window| window == machine).unwrap();
        bytes[at] = b'w';
    }
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_file(dir.join("store.lock")).unwrap();
}

fn labels(labels: &[(String, String)]) -> Value {
    labels
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

fn word(column: Column, word: u64) -> Value {
    let value = f64::from_bits(word);
    match column {
        Column::Total => word.into(),
        _ if word == SENTINEL => Value::Null,
        _ if value.is_nan() => "nan".into(),
        _ if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.into(),
        _ => value.into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn series_json(run: &Run, index: usize) -> Value {
    let (layout, series) = (&run.layout, &run.layout.series()[index]);
    let rows = 0..run.rows();
    let columns = layout
        .columns(index)
        .iter()
        .zip(layout.words(index))
        .map(|(column, at)| {
            let words = rows
                .clone()
                .map(|row| word(column, run.words[row * layout.width() + at]));
            (format!("{column:?}").to_lowercase(), words.collect::<Value>())
        });
    let mut json = json!({
        "name": series.name,
        "kind": series.kind.as_str(),
        "unit": series.unit.as_str(),
        "help": series.help,
        "labels": labels(&series.labels),
        "known": rows.clone().map(|row| run.known[row * layout.series().len() + index]).collect::<Vec<_>>(),
        "columns": columns.collect::<Map<_, _>>(),
    });
    if let Some(shape) = series.buckets {
        json["bucket_precision"] = shape.precision.into();
        json["bucket_count"] = shape.count.into();
        let buckets = rows.map(|row| {
            let counts = run.buckets(row, index).unwrap();
            counts
                .iter()
                .map(|(index, count)| json!([index, count]))
                .collect::<Value>()
        });
        json["buckets"] = buckets.collect();
    }
    json
}

fn run_json(run: &Run) -> Value {
    json!({
        "tier": run.layout.tier(),
        "interval_ns": run.layout.interval_ns(),
        "functions": run.layout.functions().0,
        "first_series": run.first_series,
        "start_ns": run.start_ns,
        "clock_offset_ns": run.clock_offset_ns,
        "ended_ns": run.ended_ns,
        "instance": run.source.instance,
        "schema": run.source.schema,
        "instance_labels": labels(&run.source.labels),
        "incarnation": hex(&run.source.incarnation),
        "boot_id": hex(&run.source.boot_id),
        "part": run.source.part,
        "uid": run.source.uid,
        "created_ns": run.source.created_ns,
        "source_interval_ns": run.source.interval_ns,
        "simulated_time": run.source.simulated_time,
        "series": (0..run.layout.series().len()).map(|index| series_json(run, index)).collect::<Vec<_>>(),
    })
}

/// A store as its JSON, read by the collector's own code. Of the last archive, tier 2 comes before tier 3.
pub fn json_by_rondo(dir: &Path) -> Value {
    let archives = Archives::open_read_only(dir).unwrap();
    let tiers: [&[u8]; 3] = [&[0], &[1], &[2, 3]];
    let all = tiers.iter().zip(archives.usage()).map(|(tiers, usage)| {
        let found = tiers
            .iter()
            .flat_map(|&tier| archives.runs(tier, None, i64::MIN..i64::MAX));
        let read: Vec<_> = found.map(|run| run.and_then(|run| archives.read(&run))).collect();
        json!({
            "tier": usage.tier,
            "extent_bytes": usage.extent_bytes,
            "damaged": read.iter().filter(|run| run.is_err()).count(),
            "runs": read.iter().flatten().map(run_json).collect::<Vec<_>>(),
        })
    });
    json!({"archives": all.collect::<Vec<_>>()})
}
