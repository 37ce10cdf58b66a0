//! The guide's acceptance of phase 4, row by row: a toy guest lives in the real VMM for two rounds of its phases under
//! the eyes of a real collector, and is gone; then its store is asked as any program asks, with `rondo query`.
//!
//! | row | where |
//! |---|---|
//! | boots a Linux guest to serial console | `a_stock_kernel_boots_works_and_switches_itself_off` in `vmm/tests/linux.rs` |
//! | vCPU exit metrics, virtio-blk metrics, queryable data over HTTP, distinct patterns | here |
//! | consolidation on the 1 s tick | here; that it does not hold up the event loop in `tick_jitter.rs` |
//! | less than 50 lines in the hot path | `vmm/tests/lines.rs` |
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::collect::Collect;
use rondo_tests::recorded::{SECOND, bus, find_slab};
use rondo_tests::servers::{encode, get, metric};
use rondo_tests::toy::{has_kvm, ledger, vmm};
use rondo_tests::wait::wait_until;
use rondo_vmm::exit::ExitReason;
use rondo_vmm::toy::BLOCK_SIZE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const COLLECT: &str = env!("CARGO_BIN_EXE_rondo_collect");
const ROUNDS: usize = 2;
const OPS: [&str; 5] = ["read", "write", "flush", "get_id", "other"];

/// What is left of the machine, and what was answered while it lived.
struct Life {
    /// What the guest itself says that it did.
    ledger: BTreeMap<String, u64>,
    /// All series of the store, by tier.
    tiers: [Vec<Value>; 2],
    live: Live,
}

/// Answers of a collector over a live machine.
struct Live {
    health: (u16, Value),
    info: (u16, Value),
    query: (u16, Value),
    part: (u16, Value),
    nothing: (u16, Value),
    wrong: (u16, Value),
    /// Passes over the bus, and the wall clock when it was asked, twice.
    passes: [(f64, f64); 2],
}

static LIFE: LazyLock<Life> = LazyLock::new(live_and_die);

fn live_and_die() -> Life {
    let (bus, directory) = (bus(), tempfile::tempdir().unwrap());
    let (store, disk) = (directory.path().join("store"), directory.path().join("disk"));
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let listening = ["--keep", "0s", "--listen", "127.0.0.1:0"];
    let mut collector = Collect::start(COLLECT, bus.path(), &store, &listening);
    let address = collector.wait_until_it_answers();
    let rounds = ROUNDS.to_string();
    let arguments = ["--toy-rounds", &rounds, "--disk", disk.to_str().unwrap()];
    let machine = vmm(env!("CARGO_BIN_EXE_rondo_vmm"), bus.path(), &arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let live = Live::ask(address);
    let output = machine.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    wait_until("an empty bus", || find_slab(bus.path()).is_none());
    collector.stop();
    Life {
        ledger: ledger(&said),
        tiers: ["0", "1"].map(|tier| query(&store, tier)),
        live,
    }
}

impl Live {
    fn ask(address: SocketAddr) -> Self {
        let ask = |page: &str| {
            let (status, body) = get(address, page).unwrap();
            (status, serde_json::from_str(&body).unwrap())
        };
        let selector = encode(r#"blk_requests_total{instance="vm-1",op="write"}"#);
        let page = format!("/metrics/query?series={selector}");
        let has_seconds = |answer: &Value| {
            let series = answer["series"].as_array().unwrap();
            series.first().is_some_and(|series| points(series).len() >= 6)
        };
        let mut query = ask(&page);
        wait_until("some seconds of a live machine", || {
            query = ask(&page);
            has_seconds(&query.1) && totals(&query.1["series"][0]).last().unwrap().1 > 0
        });
        let [start, end] = [2, 4].map(|at| points(&query.1["series"][0])[at]["wall_ns"].as_i64().unwrap());
        let seconds = |ns: i64| ns / SECOND.cast_signed();
        let range = format!("&start={}&end={}", seconds(start), seconds(end));
        let passes = || {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
            (metric(address, "rondo_passes_total"), now)
        };
        let before = passes();
        wait_until("more passes", || passes().0 >= before.0 + 4.0);
        Self {
            health: ask("/metrics/health"),
            info: ask("/metrics/info"),
            part: ask(&format!("{page}{range}")),
            nothing: ask("/metrics/query?series=no_such_series"),
            wrong: ask("/metrics/query?series=blk_requests_total%7B"),
            passes: [before, passes()],
            query,
        }
    }
}

/// All series that `rondo query` finds in a tier of a store.
fn query(store: &Path, tier: &str) -> Vec<Value> {
    let mut command = Command::new(COLLECT);
    command.arg("query").arg(store).arg(r#"{instance="vm-1"}"#);
    command.args(["--range", "all", "--tier", tier, "-o", "json"]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["series"].as_array().unwrap().clone()
}

fn points(series: &Value) -> &[Value] {
    series["points"].as_array().unwrap()
}

/// Of a counter: when, in seconds, and how much.
fn totals(series: &Value) -> Vec<(i64, u64)> {
    let second = |point: &Value| point["wall_ns"].as_i64().unwrap() / SECOND.cast_signed();
    let total = |point: &Value| point["value"].as_u64().unwrap();
    points(series)
        .iter()
        .map(|point| (second(point), total(point)))
        .collect()
}

impl Life {
    fn series(&self, tier: usize, name: &str, label: (&str, &str)) -> &Value {
        let mut all = self.tiers[tier].iter();
        let found = all.find(|series| series["name"] == name && series["labels"][label.0] == label.1);
        found.unwrap_or_else(|| panic!("no {name} with {label:?} in tier {tier}"))
    }

    fn total(&self, name: &str, label: (&str, &str)) -> u64 {
        totals(self.series(0, name, label)).last().unwrap().1
    }

    /// Samples of a histogram; none if it never had any.
    fn samples(&self, name: &str, label: (&str, &str)) -> u64 {
        let last = points(self.series(0, name, label)).last();
        last.map_or(0, |point| point["count"].as_u64().unwrap())
    }

    /// By how much a counter grew, by second; where the second before is not known neither is that.
    fn growth(&self, name: &str, label: (&str, &str)) -> BTreeMap<i64, u64> {
        let totals = totals(self.series(0, name, label));
        let pairs = totals.windows(2).filter(|pair| pair[1].0 - pair[0].0 == 1);
        pairs.map(|pair| (pair[1].0, pair[1].1 - pair[0].1)).collect()
    }
}

/// To the last exit, although the last of them came after the last tick.
#[test]
fn vcpu_exit_metrics_are_recorded_into_the_store() {
    if !has_kvm("vcpu_exit_metrics_are_recorded_into_the_store") {
        return;
    }
    let exits = ExitReason::ALL.map(|reason| LIFE.total("vcpu_exits_total", ("reason", reason.name())));
    for (reason, exits) in ExitReason::ALL.map(ExitReason::name).into_iter().zip(exits) {
        let expected = LIFE.ledger.get(reason).copied().unwrap_or(0);
        assert_eq!(exits, expected, "{reason}");
    }
    for duration in ["vcpu_run_duration_ns", "vcpu_exit_duration_ns"] {
        assert_eq!(
            LIFE.samples(duration, ("vcpu", "0")),
            exits.iter().sum::<u64>(),
            "{duration}"
        );
    }
}

#[test]
fn virtio_blk_metrics_are_recorded_into_the_store() {
    if !has_kvm("virtio_blk_metrics_are_recorded_into_the_store") {
        return;
    }
    let requests = OPS.map(|op| LIFE.total("blk_requests_total", ("op", op)));
    assert_eq!(requests.iter().sum::<u64>(), LIFE.ledger["requests"]);
    let [reads, writes, flushes, ..] = requests;
    assert!(writes > 0 && reads == writes, "{requests:?}");
    assert_eq!(requests[2..], [ROUNDS as u64, 1, 0], "{flushes} flushes");
    for (op, requests) in OPS.iter().zip(requests) {
        assert_eq!(
            LIFE.samples("blk_request_duration_ns", ("op", op)),
            requests,
            "{op}"
        );
    }
    for (direction, requests) in [("read", reads), ("write", writes)] {
        let bytes = LIFE.total("blk_bytes_total", ("direction", direction));
        assert_eq!(bytes, requests * u64::from(BLOCK_SIZE), "{direction}");
    }
}

/// Each window of ten seconds ends with what its last known second says.
#[test]
fn consolidation_runs_on_the_tick_of_each_second() {
    if !has_kvm("consolidation_runs_on_the_tick_of_each_second") {
        return;
    }
    let [before, after] = LIFE.live.passes;
    let (passes, seconds) = (after.0 - before.0, after.1 - before.1);
    // A busy host makes passes rarer, never more frequent; what wakes it besides is the bus, on which nobody comes.
    assert!(
        passes >= 4.0 && passes <= seconds + 2.0,
        "{passes} passes in {seconds} s"
    );
    for (name, label) in [
        ("blk_requests_total", ("op", "write")),
        ("vcpu_exits_total", ("reason", "io_in")),
    ] {
        let mut windows = BTreeMap::new();
        for (second, total) in totals(LIFE.series(0, name, label)) {
            windows.insert(second.div_euclid(10) * 10, total);
        }
        let stored: BTreeMap<_, _> = totals(LIFE.series(1, name, label)).into_iter().collect();
        assert!(stored.len() >= 2, "{stored:?}");
        assert_eq!(stored, windows, "{name}");
    }
}

#[test]
fn the_http_api_returns_queryable_data_of_a_live_machine() {
    if !has_kvm("the_http_api_returns_queryable_data_of_a_live_machine") {
        return;
    }
    let live = &LIFE.live;
    let (status, health) = &live.health;
    assert_eq!(
        (*status, &health["live_slabs"]),
        (200, &Value::from(1)),
        "{health}"
    );

    let (status, info) = &live.info;
    assert_eq!(*status, 200);
    assert_eq!(info["tiers"].as_array().unwrap().len(), 3, "{info}");
    assert_eq!(info["damaged"], 0);

    // What was answered then is what the store says now, except for the second that was not over.
    let (status, query) = &live.query;
    assert_eq!((*status, &query["warnings"]), (200, &Value::from([(); 0])));
    let series = &query["series"][0];
    let is_over = |point: &&Value| point["partial"] != true;
    let mut answered = series.clone();
    answered["points"] = points(series).iter().filter(is_over).cloned().collect();
    let stored: BTreeMap<_, _> = totals(LIFE.series(0, "blk_requests_total", ("op", "write")))
        .into_iter()
        .collect();
    let answered = totals(&answered);
    assert!(answered.len() >= 4, "{answered:?}");
    for (second, total) in &answered {
        assert_eq!(stored.get(second), Some(total), "second {second}");
    }

    let (status, part) = &live.part;
    assert_eq!(*status, 200);
    let asked_for = points(series)[2..4].iter().map(|point| &point["wall_ns"]);
    let got = points(&part["series"][0]).iter().map(|point| &point["wall_ns"]);
    assert!(got.clone().eq(asked_for), "{:?}", got.collect::<Vec<_>>());

    let (status, nothing) = &live.nothing;
    assert_eq!((*status, &nothing["series"]), (200, &Value::from([(); 0])));
    let (status, wrong) = &live.wrong;
    assert_eq!(
        (*status, &wrong["error"]["parameter"]),
        (400, &Value::from("series")),
        "{wrong}"
    );
}

/// A phase takes three seconds, so two of them are whole; in each of these there is at least twenty times as much of
/// what the phase is about as in the other phases' seconds.
#[test]
fn phases_of_the_workload_differ_by_a_factor_of_20_in_the_store() {
    const MANY: u64 = 100;
    const FEW: u64 = MANY / 20;
    if !has_kvm("phases_of_the_workload_differ_by_a_factor_of_20_in_the_store") {
        return;
    }
    let accesses = LIFE.growth("vcpu_exits_total", ("reason", "io_in"));
    let (reads, writes) = (
        LIFE.growth("blk_requests_total", ("op", "read")),
        LIFE.growth("blk_requests_total", ("op", "write")),
    );
    let cpu_ns = LIFE.growth("vcpu_cpu_time_ns_total", ("vcpu", "0"));
    let mut phases: Vec<(&str, Vec<i64>)> = Vec::new();
    for (second, accesses) in accesses {
        let (Some(reads), Some(writes)) = (reads.get(&second), writes.get(&second)) else {
            continue;
        };
        let phase = match (accesses, reads + writes) {
            (MANY.., ..=FEW) => "burst",
            (..=FEW, MANY..) => "disk",
            (..=FEW, ..=FEW) => "idle",
            // A phase ends in it.
            _ => continue,
        };
        match phases.last_mut() {
            Some((last, seconds)) if *last == phase => seconds.push(second),
            _ => phases.push((phase, vec![second])),
        }
    }
    println!("{phases:?}");
    let names: Vec<&str> = phases.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["burst", "disk", "idle"].repeat(ROUNDS));
    let whole_seconds: usize = phases.iter().map(|(_, seconds)| seconds.len()).sum();
    assert!(whole_seconds >= 3 * phases.len() / 2, "{phases:?}");

    // And to the host: an idle machine takes next to no CPU time. That is read at ticks, in the middle of a second, so a phase's
    // first second has some of the phase before: the quietest second of idleness and the busiest of a burst have none. A
    // second without a tick, as the machine's last, has no reading of its own; a guest that halts wakes a hundred times.
    let cpu_ns_of = |wanted: &'static str| {
        let of_phase = phases.iter().filter(move |(name, _)| *name == wanted);
        let seconds = of_phase.flat_map(|(_, seconds)| seconds);
        let read = seconds.filter_map(|second| cpu_ns.get(second).copied());
        read.filter(|cpu_ns| *cpu_ns > 0)
    };
    let (burst, idle) = (
        cpu_ns_of("burst").max().unwrap(),
        cpu_ns_of("idle").min().unwrap(),
    );
    println!("CPU time in a second: {burst} ns in a burst, {idle} ns idle");
    assert!(burst > 5 * idle, "{burst} ns in a burst, {idle} ns idle");
}
