//! `rondo query` and `rondo explain` on a store that a collector made: of a machine that is gone, and joined with the
//! slab of one that lives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::query::{AnswerJson, NumberJson};
use rondo_collector::store::ArchiveSettings;
use rondo_writer::{Counter, Gauge, Histogram, SchemaConfig, TierConfig, Writer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SECOND: u64 = 1_000_000_000;
/// A multiple of all intervals.
const START: u64 = 1_200;

/// A bus, a store, and the collector of both.
struct Host {
    directory: TempDir,
    collector: Option<Collector>,
}

/// A machine in simulated time.
struct Machine {
    writer: Writer,
    load: Gauge,
    exits: Counter,
    time: Histogram,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bus")).unwrap();
        let settings = CollectorSettings {
            bus: directory.path().join("bus"),
            store: directory.path().join("store"),
            archives: ArchiveSettings {
                budget_bytes: 8 << 20,
                extent_bytes: 64 << 10,
            },
            keep: Duration::ZERO,
            limits: Default::default(),
        };
        let collector = Some(Collector::open(settings, Instant::now()).unwrap());
        Self { directory, collector }
    }

    fn bus(&self) -> PathBuf {
        self.directory.path().join("bus")
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// A machine that keeps 20 seconds, and rows of 5 and of 20.
    fn machine(&self, instance: &str) -> Machine {
        let tiers = [1, 5, 20].map(|seconds| TierConfig::new(Duration::from_secs(seconds), 20));
        let mut writer = Writer::builder(instance)
            .label("tenant", "blue")
            .bus(self.bus())
            .schema(SchemaConfig::new("vmm").tiers(&tiers))
            .simulated_time(START * SECOND)
            .create()
            .unwrap();
        Machine {
            load: writer.gauge("load").owned().unwrap(),
            exits: writer.counter("exits_total").owned().unwrap(),
            time: writer.histogram("exit_ns").owned().unwrap(),
            writer,
        }
    }

    /// Lives through the seconds from the start on, with the collector watching.
    fn live(&mut self, machine: &mut Machine, seconds: std::ops::Range<u64>) {
        for second in seconds {
            let t = (START + second) * SECOND;
            // The collector looks when the interval before is over, as it does in real time.
            machine.writer.tick_at(t);
            self.pass();
            machine.load.set_at(t, second as f64);
            machine.exits.add_at(t, 2);
            machine.time.record_at(t, 10.0 * second as f64);
        }
    }

    fn pass(&mut self) {
        let report = self.collector.as_mut().unwrap().pass(Instant::now(), true);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
    }

    fn rondo(&self) -> Command {
        let mut command = Command::cargo_bin("rondo").unwrap();
        command
            .env("RONDO_BUS", self.bus())
            .env_remove("RONDO_STORE")
            .timeout(Duration::from_secs(60));
        command
    }

    fn json(&self, args: &[&str], target: &Path) -> AnswerJson {
        let output = self
            .rondo()
            .arg("query")
            .arg(target)
            .args(args)
            .args(["-o", "json"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn text(&self, command: &str, args: &[&str], target: &Path) -> String {
        let output = self.rondo().arg(command).arg(target).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    }
}

fn whole(value: Option<NumberJson>) -> u64 {
    match value {
        Some(NumberJson::Whole(value)) => value,
        other => panic!("{other:?}"),
    }
}

/// A machine of 43 seconds, gone, its slab removed.
fn ended() -> Host {
    let mut host = Host::new();
    let mut machine = host.machine("vm-1");
    host.live(&mut machine, 0..43);
    drop((machine.load, machine.exits, machine.time));
    machine.writer.close();
    for _ in 0..3 {
        host.pass();
    }
    assert_eq!(
        std::fs::read_dir(host.bus()).unwrap().count(),
        0,
        "the slab was removed"
    );
    host.collector = None;
    host
}

#[test]
fn a_store_remembers_a_machine_that_is_gone() {
    let host = ended();
    // Its last seconds were still in the slab when it ended; of the others there are the rows of 5 s.
    let answer = host.json(&["exits_total", "--range", "all"], &host.store());
    let series = &answer.series[0];
    let tiers: Vec<u8> = series.parts.iter().map(|part| part.tier).collect();
    assert_eq!((series.instance.as_str(), tiers), ("vm-1", vec![1, 0]));
    assert_eq!(
        series.parts[0].end_wall_ns, series.parts[1].start_wall_ns,
        "no seam"
    );
    let ends: Vec<u64> = series.points.iter().map(|point| whole(point.value)).collect();
    assert_eq!(*ends.last().unwrap(), 2 * 43);
    assert!(ends.is_sorted());

    let rows = host.json(&["load", "--range", "all", "--tier", "1"], &host.store());
    let points = &rows.series[0].points;
    let known: Vec<u32> = points.iter().map(|point| point.known.unwrap()).collect();
    assert_eq!(known, [5, 5, 5, 5, 5, 5, 5, 5, 3]);
    assert_eq!(points[1].value, Some(NumberJson::Float(7.0)));
    assert_eq!(rows.series[0].parts[0].expected, Some(5));
    // The last window was sealed when the machine ended.
    let ended_ns = i128::from((START + 42) * SECOND);
    assert_eq!(
        (points[8].sealed_wall_ns, points[8].partial),
        (Some(ended_ns), false)
    );
    assert!(points[..8].iter().all(|point| point.sealed_wall_ns.is_none()));

    let table = host.text(
        "query",
        &["load{instance=\"vm-1\"}", "--range", "all", "--tier", "2"],
        &host.store(),
    );
    let last: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(
        last,
        [
            "1970-01-01T00:20:40Z",
            "load",
            "2",
            "(20s)",
            "41",
            "123",
            "3/20",
            "sealed"
        ],
        "{table}"
    );
    let csv = host.text(
        "query",
        &["load", "--range", "all", "--tier", "2", "-o", "csv"],
        &host.store(),
    );
    assert!(
        csv.lines()
            .last()
            .unwrap()
            .contains(",1240000000000,1970-01-01T00:20:40Z,41,,123,,,,sealed,41,3,20,2,20000000000,"),
        "{csv}"
    );
}

/// Not back from the end of the window that was sealed, which may be minutes later.
#[test]
fn a_range_goes_back_from_the_last_second_that_the_machine_lived() {
    let host = ended();
    let answer = host.json(&["exits_total", "--range", "3s"], &host.store());
    let values: Vec<u64> = answer.series[0]
        .points
        .iter()
        .map(|point| whole(point.value))
        .collect();
    assert_eq!(values, [2 * 41, 2 * 42, 2 * 43]);
}

#[test]
fn rows_that_cannot_be_read_are_spoken_of() {
    let mut host = Host::new();
    // The second machine's rows come in frames of their own, after which the first's are known to have been whole once.
    for instance in ["vm-1", "vm-2"] {
        let mut machine = host.machine(instance);
        host.live(&mut machine, 0..20);
        drop((machine.load, machine.exits, machine.time));
        machine.writer.close();
        (0..3).for_each(|_| host.pass());
    }
    host.collector = None;
    let arguments = ["exits_total{instance=\"vm-1\"}", "--range", "all"];
    assert_eq!(
        host.json(&arguments, &host.store()).warnings,
        Vec::<String>::new()
    );
    let path = host.store().join("tier-0.archive");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 16], 8_192 + 200).unwrap();
    let mut query = host.rondo();
    let output = query
        .arg("query")
        .arg(host.store())
        .args(arguments)
        .args(["-o", "json"])
        .output()
        .unwrap();
    let answer: AnswerJson = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        answer.warnings[0].contains("some stored rows cannot be read"),
        "{:?}",
        answer.warnings
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains(&answer.warnings[0]));
    // What is whole is answered all the same.
    assert!(answer.series[0].parts.iter().all(|part| part.tier > 0));
}

/// Of exact samples 10 × second, five to a window: the median is the third, and the buckets tell it to an eighth.
#[test]
fn quantiles_of_stored_rows_are_within_their_bound() {
    let host = ended();
    let args = ["exit_ns", "--range", "all", "--tier", "1", "--quantile", "0.5,1"];
    let answer = host.json(&args, &host.store());
    let points = &answer.series[0].points;
    assert_eq!((answer.quantiles.as_slice(), points.len()), (&[0.5, 1.0][..], 9));
    for (window, point) in points.iter().enumerate().skip(1).take(7) {
        let exact = 10.0 * (5.0 * window as f64 + 2.0);
        let median = point.quantiles[0].unwrap();
        assert!((median - exact).abs() <= exact / 8.0, "{median} for {exact}");
        assert_eq!(point.quantiles[1], point.max);
    }
}

#[test]
fn a_live_machine_is_joined_with_its_stored_rows() {
    let mut host = Host::new();
    let mut machine = host.machine("vm-1");
    host.live(&mut machine, 0..73);
    let report = host.collector.as_mut().unwrap().finish(Instant::now());
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let (store, target) = (host.store(), PathBuf::from("vm-1"));
    let args = [
        "exits_total",
        "--range",
        "all",
        "--store",
        store.to_str().unwrap(),
    ];
    let answer = host.json(&args, &target);
    let series = &answer.series[0];
    assert_eq!(
        series.parts.iter().map(|part| part.tier).collect::<Vec<_>>(),
        [1, 0]
    );
    // Every second from the start to now is in exactly one interval.
    let mut next = i128::from(START * SECOND);
    for point in &series.points {
        let part = series
            .parts
            .iter()
            .find(|part| part.end_wall_ns > point.wall_ns)
            .unwrap();
        assert_eq!(point.wall_ns, next);
        next += i128::from(part.step_ns);
        let seconds = (next - i128::from(START * SECOND)) / i128::from(SECOND);
        assert_eq!(
            i128::from(whole(point.value)),
            2 * seconds,
            "a counter tells how many seconds there were"
        );
    }
    assert_eq!(next, i128::from((START + 73) * SECOND));
    // Without the store there is what the slab has, and with only the store what is stored.
    let slab_only = host.text("query", &["load", "--range", "all", "-o", "csv"], &target);
    assert_eq!(slab_only.lines().count(), 1 + 20);
    let explained = host.text("explain", &["load", "--store", store.to_str().unwrap()], &target);
    for row in ["load       0    1s", "load       1    5s", "load       2   20s"] {
        assert!(explained.contains(row), "{explained}");
    }
    // A path is that slab alone, and its JSON that of spec/json.md, whatever the environment says.
    let path = std::fs::read_dir(host.bus())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut plain = host.rondo();
    let plain = plain
        .env("RONDO_STORE", &store)
        .arg("query")
        .arg(path)
        .args(["load", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&plain.output().unwrap().stdout).unwrap();
    assert!(
        json["interval_ns"] == SECOND && json.get("warnings").is_none(),
        "{json}"
    );
    // A machine that is not on the bus any more is still in the store.
    let other = host.text(
        "explain",
        &["load", "--store", store.to_str().unwrap()],
        Path::new("vm-9"),
    );
    assert!(
        other.contains("there is no machine vm-9; did you mean vm-1?"),
        "{other}"
    );
}

#[test]
fn a_directory_that_is_no_store_is_said_to_be_none() {
    let host = Host::new();
    let text = host.text("query", &["load"], &host.bus());
    assert!(text.contains("bus") && text.contains("rondo:"), "{text}");
}
