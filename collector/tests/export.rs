//! `rondo export`: what comes out of a store, in each format, is what went in, sample by sample.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machines;

use assert_cmd::Command;
use rondo_collector::store::{
    ArchiveSettings, Archives, BucketCounts, BucketShape, Layout, Run, Source, StoredSeries,
};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::{Functions, SENTINEL, buckets};
use rondo_writer::Writer;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const SECOND: u64 = 1_000_000_000;
/// On a boundary of all intervals, in November 2023.
const START: u64 = 1_700_000_400;
const ROWS: u64 = 200;
/// When the first machine of the name `vm-1` had ended, in rows.
const RESTART: u64 = 120;
const ODD: &str = "a\"b\\c ö";

/// Series by their labels as `name="value"`, sorted; samples by milliseconds.
type Samples = BTreeMap<BTreeSet<String>, BTreeMap<i64, f64>>;

fn shape() -> BucketShape {
    BucketShape {
        count: buckets::count_for(1 << 36, 3),
        precision: 3,
    }
}

/// A store with three machines, of which two have one name, one after the other.
struct Host {
    directory: TempDir,
    archives: Archives,
    layout: Arc<Layout>,
    expected: Samples,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = ArchiveSettings {
            budget_bytes: 8 << 20,
            extent_bytes: 64 << 10,
        };
        let archives = Archives::open(&directory.path().join("store"), &settings).unwrap();
        let series = |kind, name: &str, unit, labels: &[(&str, &str)]| StoredSeries {
            kind,
            unit,
            name: name.into(),
            help: "All \"of\" it.".into(),
            labels: labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            buckets: (kind == Kind::Histogram).then(shape),
        };
        let all = [
            series(Kind::Counter, "exits_total", Unit::None, &[("reason", "io")]),
            series(Kind::Gauge, "queue", Unit::Bytes, &[("device", ODD)]),
            series(Kind::Counter, "exits_total", Unit::None, &[("reason", "mmio")]),
            series(Kind::Distribution, "wait_ns", Unit::Nanoseconds, &[]),
            series(Kind::Histogram, "exit_ns", Unit::Nanoseconds, &[]),
        ];
        let layout = Arc::new(Layout::new(1, 10 * SECOND, Functions::default(), &[], all.into()));
        Self {
            directory,
            archives,
            layout,
            expected: Samples::new(),
        }
    }

    fn full() -> Self {
        let mut host = Self::new();
        for rows in [0..50, 50..ROWS] {
            host.append("vm-2", 2, rows, None);
        }
        for rows in [0..70, 70..RESTART] {
            host.append("vm-1", 1, rows, (RESTART > 70).then_some(RESTART));
        }
        host.append("vm-1", 3, RESTART..ROWS, None);
        host
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Stores rows of a machine, and remembers what they say. Its last tick was in the third second of the row before `end`.
    fn append(&mut self, instance: &str, incarnation: u8, rows: std::ops::Range<u64>, end: Option<u64>) {
        let source = Source {
            incarnation: [incarnation; 16],
            boot_id: [9; 16],
            instance: instance.into(),
            schema: "vmm".into(),
            part: 0,
            uid: 0,
            labels: vec![("tenant".into(), "blue".into())],
            created_ns: if incarnation == 3 {
                (START + 10 * RESTART) * SECOND
            } else {
                START * SECOND
            },
            interval_ns: SECOND,
            simulated_time: false,
        };
        let mut run = Run::new(
            Arc::new(source),
            self.layout.clone(),
            0,
            (START + 10 * rows.start) * SECOND,
        );
        for row in rows.clone() {
            let known = if row % 7 == 3 { 0 } else { 10 };
            let gauge = if row == 5 { f64::INFINITY } else { row as f64 + 0.5 };
            let (least, greatest) = if row % 5 == 0 {
                (SENTINEL, SENTINEL)
            } else {
                (1e3f64.to_bits(), 2e3f64.to_bits())
            };
            let samples: Vec<u64> = (0..=row).map(|number| number * 100).collect();
            let mut counts = vec![0; shape().count as usize];
            for sample in &samples {
                counts[buckets::index(*sample as f64, shape().precision, shape().count)] += 1;
            }
            let sum: u64 = samples.iter().sum();
            let words = [
                row * 3,
                (gauge * 10.0).to_bits(),
                row * 5,
                row + 1,
                (1_500.0 * (row + 1) as f64).to_bits(),
                least,
                greatest,
                row + 1,
                (sum as f64).to_bits(),
                SENTINEL,
                SENTINEL,
            ];
            run.push(
                &[10, known, 10, 10, 10],
                &words,
                [BucketCounts::from_dense(&counts)],
            );

            let is_last = end.is_some_and(|end| row + 1 == end);
            let stamp = (START + 10 * row + if is_last { 3 } else { 10 }).cast_signed() * 1_000;
            let mut put = |name: &str, label: Option<(&str, &str)>, value: f64| {
                let labels = [("__name__", name), ("instance", instance), ("tenant", "blue")];
                let labels = labels.into_iter().chain(label);
                let labels = labels.map(|(name, value)| format!("{name}={value}")).collect();
                let before = self.expected.entry(labels).or_default().insert(stamp, value);
                assert_eq!(before, None);
            };
            put("exits_total", Some(("reason", "io")), (row * 3) as f64);
            put("exits_total", Some(("reason", "mmio")), (row * 5) as f64);
            if known > 0 {
                put("queue_bytes", Some(("device", ODD)), gauge);
            }
            put("wait_seconds_count", None, (row + 1) as f64);
            put(
                "wait_seconds_sum",
                None,
                format!("{}e-9", 1_500 * (row + 1)).parse().unwrap(),
            );
            if row % 5 != 0 {
                put("wait_seconds_min", None, 1e-6);
                put("wait_seconds_max", None, 2e-6);
            }
            put("exit_seconds_count", None, (row + 1) as f64);
            put("exit_seconds_sum", None, format!("{sum}e-9").parse().unwrap());
            for power in (0..=36).step_by(2) {
                let upper = 1u64 << power;
                let below = samples.iter().filter(|&&sample| sample < upper).count();
                put(
                    "exit_seconds_bucket",
                    Some(("le", &upper.to_string())),
                    below as f64,
                );
            }
            put("exit_seconds_bucket", Some(("le", "+Inf")), (row + 1) as f64);
        }
        if end == Some(rows.end) {
            run.ended_ns = (START + 10 * (rows.end - 1) + 2) * SECOND;
        }
        self.archives.append(&run).unwrap();
        self.archives.sync().unwrap();
    }

    fn export(&self, args: &[&str]) -> Exported {
        let mut command = rondo();
        Exported::of(command.arg("export").arg(self.store()).args(args))
    }
}

struct Exported {
    out: String,
    error: String,
    code: i32,
}

impl Exported {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

fn rondo() -> Command {
    let mut command = Command::cargo_bin("rondo").unwrap();
    command.env_remove("RONDO_STORE").timeout(Duration::from_secs(60));
    command
}

/// Boundaries in nanoseconds, as they went in.
fn boundary(le: &str) -> String {
    match le {
        "+Inf" => le.to_owned(),
        le => ((le.parse::<f64>().unwrap() * 1e9).round() as u64).to_string(),
    }
}

/// Takes a sample; one that is there already, or that is older than the series' newest, is an error.
fn put(samples: &mut Samples, labels: impl IntoIterator<Item = (String, String)>, stamp: i64, value: f64) {
    let labels = labels.into_iter().map(|(name, value)| match name.as_str() {
        "le" => format!("le={}", boundary(&value)),
        _ => format!("{name}={value}"),
    });
    let series = samples.entry(labels.collect()).or_default();
    if let Some((newest, _)) = series.last_key_value() {
        assert!(*newest < stamp, "not in order of time");
    }
    series.insert(stamp, value);
}

/// `name{a="b"} value stamp` with a separator of labels, and stamps as they are read.
fn read_line(line: &str) -> (Vec<(String, String)>, &str, &str) {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
    let mut labels = Vec::new();
    if !name.is_empty() {
        labels.push(("__name__".to_owned(), name.to_owned()));
    }
    let mut rest = rest;
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            let (mut value, mut chars) = (String::new(), after.char_indices());
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => value.push(chars.next().unwrap().1),
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            labels.push((label.trim_start_matches([',', ' ']).to_owned(), value));
            rest = &after[end + 1..];
        }
        rest = &rest[1..];
    }
    let (value, stamp) = rest.trim_start().split_once(' ').unwrap();
    (labels, value, stamp)
}

fn read_open_metrics(text: &str) -> Samples {
    let mut samples = Samples::new();
    let body = text.strip_suffix("# EOF\n").unwrap();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (labels, value, stamp) = read_line(line);
        let (seconds, ms) = stamp.split_once('.').unwrap();
        assert_eq!(ms.len(), 3);
        let stamp = format!("{seconds}{ms}").parse().unwrap();
        put(&mut samples, labels, stamp, value.parse().unwrap());
    }
    samples
}

fn read_csv(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(
        rows.headers().unwrap(),
        vec!["time", "name", "instance", "labels", "value"]
    );
    for row in rows.records().map(Result::unwrap) {
        let labels: BTreeMap<String, String> = serde_json::from_str(&row[3]).unwrap();
        let who = [("__name__", &row[1]), ("instance", &row[2])]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let time: jiff::Timestamp = row[0].parse().unwrap();
        let stamp = time.as_millisecond();
        put(
            &mut samples,
            labels.into_iter().chain(who),
            stamp,
            row[4].parse().unwrap(),
        );
    }
    samples
}

fn read_json_lines(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines() {
        // This reader takes no number for infinite.
        let line: serde_json::Value = serde_json::from_str(&line.replace("1e999", "\"inf\"")).unwrap();
        let labels: BTreeMap<String, String> = serde_json::from_value(line["metric"].clone()).unwrap();
        let (values, stamps) = (
            line["values"].as_array().unwrap(),
            line["timestamps"].as_array().unwrap(),
        );
        assert_eq!(values.len(), stamps.len());
        for (value, stamp) in values.iter().zip(stamps) {
            let value = value
                .as_f64()
                .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap());
            put(&mut samples, labels.clone(), stamp.as_i64().unwrap(), value);
        }
    }
    samples
}

/// The first difference, which says more than two maps of ten thousand samples.
fn assert_same(found: &Samples, expected: &Samples) {
    let names = |samples: &Samples| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for (labels, expected) in expected {
        let found = &found[labels];
        let stamps = |samples: &BTreeMap<i64, f64>| samples.keys().copied().collect::<Vec<_>>();
        assert_eq!(stamps(found), stamps(expected), "{labels:?}");
        for (stamp, value) in expected {
            assert_eq!(found[stamp].to_bits(), value.to_bits(), "{labels:?} at {stamp}");
        }
    }
}

fn sample_count(samples: &Samples) -> usize {
    samples.values().map(BTreeMap::len).sum()
}

#[test]
fn each_format_gives_back_what_went_in() {
    let host = Host::full();
    type Read = fn(&str) -> Samples;
    for (format, read) in [
        ("openmetrics", read_open_metrics as Read),
        ("csv", read_csv),
        ("jsonl", read_json_lines),
    ] {
        let exported = host.export(&["-f", format]);
        let found = read(&exported.out);
        assert_same(&found, &host.expected);
        assert_eq!(exported.code, 0);
        let summary = format!(
            "rondo: {} samples of {} series with 6 names\n",
            sample_count(&found),
            found.len()
        );
        assert_eq!(exported.error, summary);
        // Two machines, and of the one that came again the same series.
        assert_eq!(found.len(), 2 * (2 + 1 + 4 + 22));
    }
}

/// A family in two pieces would be refused; so would a series that is not in one piece be slow to back-fill.
#[test]
fn families_and_series_are_in_one_piece() {
    let host = Host::full();
    let text = host.export(&[]).out;
    for (name, kind) in [
        ("exits", "counter"),
        ("queue_bytes", "gauge"),
        ("wait_seconds", "summary"),
        ("wait_seconds_min", "gauge"),
        ("exit_seconds", "histogram"),
    ] {
        assert_eq!(
            text.matches(&format!("# TYPE {name} {kind}\n")).count(),
            1,
            "{text:.3000}"
        );
        assert!(text.contains(&format!("# HELP {name} ")));
    }
    assert!(text.contains("# HELP exits All \\\"of\\\" it.\n"));
    assert_eq!(text.matches("# UNIT exit_seconds seconds\n").count(), 1);
    let series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplitn(3, ' ').nth(2).unwrap())
        .collect();
    let pieces = series.chunk_by(|a, b| a == b).count();
    assert_eq!(pieces, series.iter().collect::<BTreeSet<_>>().len());
}

#[test]
fn promtool_back_fills_what_went_in() {
    let host = Host::full();
    let file = host.directory.path().join("all.om");
    assert_eq!(host.export(&["-O", file.to_str().unwrap()]).code, 0);
    let blocks = host.directory.path().join("blocks");
    let promtool = |args: &[&str]| {
        std::process::Command::new("promtool")
            .args(["tsdb"])
            .args(args)
            .output()
    };
    let (file, blocks) = (file.to_str().unwrap(), blocks.to_str().unwrap());
    let Ok(made) = promtool(&["create-blocks-from", "openmetrics", file, blocks]) else {
        return machines::skip("promtool_back_fills_what_went_in", "no promtool");
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // It takes nothing for a database that has no log.
    std::fs::create_dir(Path::new(blocks).join("wal")).unwrap();
    let dump = promtool(&["dump", blocks]).unwrap();
    let mut found = Samples::new();
    for line in String::from_utf8(dump.stdout).unwrap().lines() {
        let (labels, value, stamp) = read_line(line);
        // Blocks are dumped one after the other.
        put(&mut found, labels, stamp.parse().unwrap(), value.parse().unwrap());
    }
    assert_same(&found, &host.expected);
}

/// A VictoriaMetrics of this test, which ends with it.
struct Victoria {
    child: std::process::Child,
    base: String,
}

impl Victoria {
    fn start(directory: &Path) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = std::process::Command::new("victoria-metrics")
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!(
                "-storageDataPath={}",
                directory.join("victoria").display()
            ))
            .args(["-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms"])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let base = format!("http://127.0.0.1:{port}");
        let is_up = || ureq::get(format!("{base}/health")).call().is_ok();
        assert!((0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            is_up()
        }));
        Some(Self { child, base })
    }

    fn get(&self, path: &str) -> String {
        let answer = ureq::get(format!("{}{path}", self.base)).call();
        answer.unwrap().body_mut().read_to_string().unwrap()
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// It keeps 15 digits or so, and no neighbours of infinite values, so these stay out.
#[test]
fn victoria_metrics_imports_what_went_in() {
    let mut host = Host::full();
    let Some(victoria) = Victoria::start(host.directory.path()) else {
        return machines::skip("victoria_metrics_imports_what_went_in", "no victoria-metrics");
    };
    let exported = host.export(&["{__name__!=\"queue\"}", "-f", "jsonl"]);
    ureq::post(format!("{}/api/v1/import", victoria.base))
        .send(exported.out.as_bytes())
        .unwrap();
    victoria.get("/internal/force_flush");
    // `__name__` of any value.
    let all = "/api/v1/export?match[]=%7B__name__%21%3D%22%22%7D&start=1600000000";
    let found = read_json_lines(&victoria.get(all));
    host.expected
        .retain(|labels, _| !labels.contains("__name__=queue_bytes"));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        host.expected.keys().collect::<Vec<_>>()
    );
    for (labels, expected) in &host.expected {
        let found = &found[labels];
        assert!(found.keys().eq(expected.keys()), "{labels:?}");
        for (stamp, value) in expected {
            let error = (found[stamp] - value).abs();
            assert!(
                error <= value.abs() * 1e-12,
                "{labels:?} at {stamp}: {} for {value}",
                found[stamp]
            );
        }
    }
}

#[test]
fn a_selection_is_of_series_and_time() {
    let host = Host::full();
    let stamps = |args: &[&str]| {
        let found = read_json_lines(&host.export(&[&["-f", "jsonl"], args].concat()).out);
        let stamps: BTreeSet<i64> = found.values().flat_map(BTreeMap::keys).copied().collect();
        let seconds = |stamp: &i64| stamp / 1_000 - START.cast_signed();
        (
            found.len(),
            stamps.first().map(seconds),
            stamps.last().map(seconds),
        )
    };
    assert_eq!(stamps(&["exits_total"]), (4, Some(10), Some(2_000)));
    assert_eq!(
        stamps(&["exits_total{instance=\"vm-2\",reason!=\"io\",tenant=\"blue\"}"]),
        (1, Some(10), Some(2_000))
    );
    assert_eq!(stamps(&["exits_total{incarnation=~\"01.*\"}"]).2, Some(1_193));
    assert_eq!(stamps(&["{}", "--range", "1m"]), (58, Some(1_950), Some(2_000)));
    let (start, end) = ((START + 100).to_string(), (START + 120).to_string());
    assert_eq!(
        stamps(&["exits_total", "--start", &start, "--end", &end]),
        (4, Some(110), Some(120))
    );
    let nothing = host.export(&["nonesuch"]);
    assert_eq!((nothing.out.as_str(), nothing.code), ("# EOF\n", 1));
    let units = host.export(&["wait_ns", "--no-base-units", "-f", "csv", "--quiet"]);
    assert_eq!(units.error, "");
    assert!(
        units
            .out
            .contains(",wait_ns_sum,vm-1,\"{\"\"tenant\"\":\"\"blue\"\"}\",1500\n"),
        "{:.300}",
        units.out
    );
}

/// Two at once of one name would otherwise be one series with the values of both in turn.
#[test]
fn machines_of_one_name_at_one_time_are_told_apart() {
    let mut host = Host::new();
    host.append("vm-1", 1, 0..20, None);
    host.expected.clear();
    host.append("vm-1", 4, 10..30, None);
    let found = read_csv(&host.export(&["exits_total{reason=\"io\"}", "-f", "csv"]).out);
    let sizes: Vec<(bool, usize)> = found
        .iter()
        .map(|(labels, samples)| (labels.contains("incarnation=04040404"), samples.len()))
        .collect();
    assert_eq!(
        sizes.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([(false, 20), (true, 20)])
    );
}

#[test]
fn exports_with_one_cursor_have_nothing_in_common_and_add_up() {
    let mut host = Host::new();
    let cursor = host.directory.path().join("cursor");
    let mut all = Samples::new();
    for (instance, incarnation, rows) in [
        ("vm-1", 1, 0..40),
        ("vm-2", 2, 10..50),
        ("vm-1", 1, 40..90),
        ("vm-2", 2, 50..51),
    ] {
        host.append(instance, incarnation, rows, None);
        // What cannot be written has not left.
        let before = std::fs::read(&cursor).ok();
        let failed = host.export(&["--cursor", cursor.to_str().unwrap(), "-O", "/dev/full"]);
        assert_eq!(failed.code, 2);
        assert_eq!(std::fs::read(&cursor).ok(), before);

        let exported = host.export(&["--cursor", cursor.to_str().unwrap()]);
        assert_eq!(exported.code, 0, "{}", exported.error);
        let found = read_open_metrics(&exported.out);
        assert!(sample_count(&found) > 0);
        for (labels, samples) in found {
            let series = all.entry(labels).or_default();
            for (stamp, value) in samples {
                assert_eq!(series.insert(stamp, value), None, "it left twice");
            }
        }
    }
    assert_same(&all, &host.expected);
    let nothing = host.export(&["--cursor", cursor.to_str().unwrap()]);
    assert_eq!((nothing.out.as_str(), nothing.code), ("# EOF\n", 0));
    let other = host.export(&["--cursor", cursor.to_str().unwrap(), "--tier", "2"]);
    assert!(
        other.error.contains("is a cursor of tier 1, not 2"),
        "{}",
        other.error
    );
    std::fs::write(&cursor, "nonsense").unwrap();
    let damaged = host.export(&["--cursor", cursor.to_str().unwrap()]);
    assert_eq!(damaged.code, 2);
    assert!(damaged.error.contains("no export cursor"), "{}", damaged.error);
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let host = Host::full();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("all.csv");
    std::fs::write(&file, "old").unwrap();
    let exported = host.export(&["-f", "csv", "-O", file.to_str().unwrap()]);
    assert_eq!((exported.out.as_str(), exported.code), ("", 0));
    assert_same(
        &read_csv(&std::fs::read_to_string(&file).unwrap()),
        &host.expected,
    );
    assert_eq!(names_in(out.path()), BTreeSet::from(["all.csv".to_owned()]));

    let full = host.export(&["-O", "/dev/full"]);
    assert_eq!(full.code, 2);
    assert!(full.error.contains("No space left"), "{}", full.error);
    let status = std::process::Command::new(assert_cmd::cargo::cargo_bin("rondo"))
        .arg("export")
        .arg(host.store())
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(2));

    let nowhere = out.path().join("missing/all.csv");
    let refused = host.export(&["-O", nowhere.to_str().unwrap()]);
    assert_eq!(refused.code, 2);
    assert!(refused.error.contains("cannot write"), "{}", refused.error);
}

/// `rondo export … | head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let host = Host::full();
    for format in ["openmetrics", "csv", "jsonl"] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rondo"))
            .arg("export")
            .arg(host.store())
            .args(["-f", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{format}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.contains("pipe"), "{error}");
    }
}

#[test]
fn what_cannot_be_exported_says_what_can() {
    let host = Host::full();
    for (args, message) in [
        (&["--tier", "9"][..], "9 is not in 0..=7"),
        (&["-f", "xml"], "possible values: openmetrics, csv, jsonl"),
        (&["--cursor", "c", "--range", "1m"], "cannot be used with"),
        (&["{"], "expected a label name"),
    ] {
        let refused = host.export(args);
        assert_eq!(refused.code, 2);
        assert!(refused.error.contains(message), "{}", refused.error);
    }
    let empty = tempfile::tempdir().unwrap();
    let missing = host.directory.path().join("missing");
    for (target, message) in [
        (missing.to_str().unwrap(), "missing"),
        (empty.path().to_str().unwrap(), "store"),
        ("http://127.0.0.1:9190", "export the directory of its store"),
    ] {
        let refused = Exported::of(rondo().args(["export", target]));
        assert_eq!((refused.out.as_str(), refused.code), ("", 2));
        assert!(refused.error.contains(message), "{}", refused.error);
    }
}

#[test]
fn a_slab_has_the_points_that_are_in_it() {
    let bus = tempfile::tempdir().unwrap();
    let mut writer = Writer::builder("vm-1")
        .bus(bus.path())
        .simulated_time(100 * SECOND)
        .create()
        .unwrap();
    let mut exits = writer.counter("exits_total").owned().unwrap();
    let mut time = writer
        .histogram("exit_ns")
        .unit(Unit::Nanoseconds)
        .owned()
        .unwrap();
    for second in 100..110 {
        exits.add_at(second * SECOND, 2);
        if second != 104 {
            time.record_at(second * SECOND, 1_000.0);
        }
        writer.tick_at(second * SECOND);
    }
    let mut command = rondo();
    command.env("RONDO_BUS", bus.path());
    let exported = Exported::of(command.args(["export", "vm-1", "-f", "jsonl"]));
    let found = read_json_lines(&exported.out);
    let values = |name: &str| -> Vec<(i64, f64)> {
        let labels = BTreeSet::from([format!("__name__={name}"), "instance=vm-1".to_owned()]);
        found[&labels]
            .iter()
            .map(|(stamp, value)| (stamp / 1_000, *value))
            .collect()
    };
    // The last second is not over.
    let nine = |of: fn(i64) -> f64| {
        (0..9)
            .map(|second| (101 + second, of(second)))
            .collect::<Vec<_>>()
    };
    assert_eq!(values("exits_total"), nine(|second| 2.0 * (second + 1) as f64));
    assert_eq!(
        values("exit_seconds_count"),
        nine(|second| (second + i64::from(second < 4)) as f64)
    );
    assert_eq!(values("exit_seconds_max").len(), 8);
    assert_eq!(found.len(), 5, "without buckets");
    let path = writer.paths().next().unwrap().to_owned();
    let by_path = Exported::of(rondo().arg("export").arg(&path).args(["-f", "jsonl"]));
    assert_same(&read_json_lines(&by_path.out), &found);
    for (args, message) in [
        (["--tier", "1"], "tier 0 only"),
        (["--cursor", "c"], "a cursor is for stores"),
    ] {
        let refused = Exported::of(rondo().arg("export").arg(&path).args(args));
        assert_eq!(refused.code, 2);
        assert!(refused.error.contains(message), "{}", refused.error);
    }
}
