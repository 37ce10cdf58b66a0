//! `rondo query` and `rondo explain` as people call them: on a slab, and on a collector.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use rondo_collector::query::{AnswerJson, LiveSlab, Plan, Request, write_json};
use rondo_collector::store::{Run, Source};
use rondo_reader::Slab;
use rondo_writer::{SchemaConfig, TierConfig, Unit, Writer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SECOND: u64 = 1_000_000_000;

fn rondo(bus: &Path) -> Command {
    let mut command = Command::cargo_bin("rondo").unwrap();
    command
        .env("RONDO_BUS", bus)
        .env_remove("RONDO_STORE")
        .timeout(Duration::from_secs(60));
    command
}

/// Standard output, standard error and exit code.
fn output(command: &mut Command) -> (String, String, i32) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap(),
    )
}

/// A machine with three series and ten simulated seconds.
struct Machine {
    bus: TempDir,
    path: PathBuf,
    writer: Option<Writer>,
}

impl Machine {
    fn new() -> Self {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = Writer::builder("vm-1")
            .label("tenant", "blue")
            .bus(bus.path())
            .simulated_time(100 * SECOND)
            .create()
            .unwrap();
        let mut exits = writer.counter("exits_total").label("vcpu", "0").owned().unwrap();
        let mut load = writer.gauge("load").unit(Unit::Ratio).owned().unwrap();
        let mut time = writer.histogram("exit_ns").owned().unwrap();
        for second in 100..110 {
            exits.add_at(second * SECOND, 1);
            load.set_at(second * SECOND, second as f64);
            time.record_at(second * SECOND, second as f64);
            writer.tick_at(second * SECOND);
        }
        let path = writer.paths().next().unwrap().to_owned();
        Self {
            bus,
            path,
            writer: Some(writer),
        }
    }

    /// The answer of a collector that has only the slab.
    fn answer(&self, selector: &str) -> Vec<u8> {
        let slab = Slab::open(&self.path, &Default::default()).unwrap();
        let live = [LiveSlab {
            source: Arc::new(Source::from(&slab)),
            slab: Some((&slab, slab.view().unwrap())),
            runs: Vec::new(),
            open: Vec::new(),
        }];
        let none: &[Run] = &[];
        let request = Request {
            quantiles: vec![0.5],
            ..Request::new(selector.parse().unwrap())
        };
        let plan = Plan::new(&live, none, request).unwrap();
        let mut bytes = Vec::new();
        write_json(&plan, &mut bytes).unwrap();
        // Written piece by piece, it is what it is as a whole, and can be read back.
        let whole = AnswerJson::new(plan.request(), &plan.answer());
        assert_eq!(bytes, [serde_json::to_vec(&whole).unwrap(), vec![b'\n']].concat());
        assert_eq!(serde_json::from_slice::<AnswerJson>(&bytes).unwrap(), whole);
        bytes
    }
}

#[test]
fn a_range_is_given_by_its_length_or_its_ends() {
    let machine = Machine::new();
    let times = |args: &[&str]| {
        let mut command = rondo(machine.bus.path());
        let (csv, error, code) = output(command.args(["query", "vm-1", "load", "-o", "csv"]).args(args));
        assert_eq!((error.as_str(), code), ("", 0));
        csv.lines()
            .skip(1)
            .map(|line| line.split(',').nth(4).unwrap().parse::<u64>().unwrap() / SECOND)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(&["--range", "3s"]), [107, 108, 109]);
    assert_eq!(times(&["--start", "107"]), [107, 108, 109]);
    assert_eq!(
        times(&["--start", "1970-01-01T00:01:42Z", "--end", "104"]),
        [102, 103]
    );
    assert_eq!(times(&["--end", "104", "--range", "1s"]), [103]);
    assert_eq!(
        times(&["--range", "all", "--tier", "0"]),
        (100..110).collect::<Vec<_>>()
    );
    // The JSON of a slab takes the same ranges.
    let mut command = rondo(machine.bus.path());
    let (json, _, _) = output(command.args([
        "query", "vm-1", "load", "-o", "json", "--start", "102", "--end", "104.5",
    ]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["start_ns"], &json["end_ns"]),
        (&(102 * SECOND).into(), &(105 * SECOND).into())
    );
    assert_eq!(json["series"][0]["points"].as_array().unwrap().len(), 3);
}

#[test]
fn a_slab_says_what_it_does_not_have_and_who_has_it() {
    let machine = Machine::new();
    for (args, message) in [
        (
            ["--tier", "1"],
            "a slab holds tier 0 only; for tier 1 ask a collector",
        ),
        (["--quantile", "0.5"], "for quantiles ask a collector"),
        (["--tier", "fine"], "is no tier"),
        (["--quantile", "50"], "from 0 to 1"),
        (["--start", "soon"], "is no time"),
    ] {
        let (_, error, code) = output(rondo(machine.bus.path()).args(["query", "vm-1", "{}"]).args(args));
        assert!(code == 2 && error.contains(message), "{error}");
    }
    let (_, error, code) = output(rondo(machine.bus.path()).args(["query", "/tmp", "{}"]));
    assert!(code == 2 && error.contains("/tmp"), "{error}");
}

/// An empty answer says why it is empty.
#[test]
fn nothing_has_a_reason() {
    let machine = Machine::new();
    for (selector, args, reason) in [
        (
            "lod",
            ["--range", "1m"],
            "there is no series lod; did you mean load?",
        ),
        (
            "load{instance=\"vm-2\"}",
            ["--range", "1m"],
            "there is no machine vm-2; did you mean vm-1?",
        ),
        ("load{vcpu=\"9\"}", ["--range", "1m"], "not with these labels"),
        (
            "load",
            ["--end", "50"],
            "before the oldest interval that is retained, of 1970-01-01T00:01:40Z",
        ),
        (
            "load",
            ["--start", "500"],
            "after the newest interval, which ends at 1970-01-01T00:01:50Z",
        ),
    ] {
        let (_, error, code) = output(
            rondo(machine.bus.path())
                .args(["query", "vm-1", selector])
                .args(args),
        );
        assert!(code == 1 && error.contains(reason), "{selector}: {error}");
        let (table, _, code) = output(
            rondo(machine.bus.path())
                .args(["explain", "vm-1", selector])
                .args(args),
        );
        assert!(code == 1 && table.contains(reason), "{selector}: {table}");
    }
}

#[test]
fn explain_shows_what_there_is_and_what_answers() {
    let mut machine = Machine::new();
    let (table, _, code) =
        output(rondo(machine.bus.path()).args(["explain", "vm-1", "load", "--range", "3s"]));
    assert_eq!(code, 0, "{table}");
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        (row[0], &row[2..8]),
        (
            "vm-1",
            &[
                "load",
                "0",
                "1s",
                "1970-01-01T00:01:40Z",
                "1970-01-01T00:01:50Z",
                "10"
            ][..]
        ),
        "{table}"
    );
    assert!(
        table.contains("1970-01-01T00:01:47Z to 1970-01-01T00:01:50Z"),
        "{table}"
    );
    machine.writer.take().unwrap().close();
    let (json, _, _) = output(rondo(machine.bus.path()).args(["explain", "vm-1", "load", "-o", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["series"][0]["ended_wall_ns"], 109 * SECOND);
    assert_eq!(json["points"], 10);
}

/// Answers one request on a connection with `body`, and returns the first line.
fn serve(mut stream: impl Read + Write, status: &str, body: &[u8]) -> String {
    let mut reader = BufReader::new(&mut stream);
    let (mut first, mut line) = (String::new(), String::new());
    reader.read_line(&mut first).unwrap();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    first
}

/// What `accept` gives, unless nobody connects for 20 seconds.
fn wait_for<T>(accept: impl Fn() -> std::io::Result<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match accept() {
            Ok(accepted) => return accepted,
            Err(error) => assert!(
                error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < end,
                "{error}"
            ),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_collector_is_asked_over_tcp_and_over_a_socket() {
    let machine = Machine::new();
    let body = machine.answer("{}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let args = [
        "{tenant=\"blue\"}",
        "--range",
        "1h",
        "--tier",
        "1",
        "--quantile",
        "0.5",
    ];
    std::thread::scope(|scope| {
        let (body, other) = (body.as_slice(), body.clone());
        let server = scope.spawn(move || {
            let accept = || {
                let (stream, _) = wait_for(|| listener.accept());
                stream.set_nonblocking(false).unwrap();
                stream
            };
            let first = serve(accept(), "200 OK", body);
            serve(accept(), "200 OK", body);
            serve(
                accept(),
                "400 Bad Request",
                b"{\"error\":{\"reason\":\"more than 5 series match\",\"parameter\":\"series\"}}",
            );
            serve(accept(), "200 OK", b"<html>");
            first
        });
        let query = |format: &str| {
            output(
                rondo(machine.bus.path())
                    .args(["query", &url])
                    .args(args)
                    .args(["-o", format]),
            )
        };
        let (json, _, code) = query("json");
        assert_eq!(
            (json.into_bytes(), code),
            (other, 0),
            "the collector's JSON is passed through"
        );
        let (csv, _, code) = query("csv");
        assert_eq!((csv.lines().count(), code), (31, 0), "{csv}");
        assert!(
            csv.lines().next().unwrap().ends_with(",incarnation,q0.5"),
            "{csv}"
        );
        let (_, error, code) = query("table");
        assert!(
            code == 2 && error.contains("status 400: series: more than 5 series match"),
            "{error}"
        );
        let (_, error, code) = query("table");
        assert!(
            code == 2 && error.contains("does not answer as a collector does"),
            "{error}"
        );
        let line = server.join().unwrap();
        assert!(line.starts_with("GET /metrics/query?series="), "{line}");
        assert!(line.contains("&range=1h&tier=1&quantile=0.5 "), "{line}");
    });

    let socket = machine.bus.path().join("collector.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = format!("unix:{}", socket.display());
    let mut unasked: AnswerJson = serde_json::from_slice(&body).unwrap();
    unasked.quantiles.clear();
    let body = serde_json::to_vec(&unasked).unwrap();
    std::thread::scope(|scope| {
        let body = body.as_slice();
        scope.spawn(move || {
            let (stream, _) = wait_for(|| listener.accept());
            stream.set_nonblocking(false).unwrap();
            serve(stream, "200 OK", body)
        });
        let (table, error, code) = output(rondo(machine.bus.path()).args(["query", &target, "load"]));
        assert_eq!((error.as_str(), code), ("", 0));
        assert_eq!(
            table.lines().filter(|line| line.contains("load")).count(),
            10,
            "{table}"
        );
    });
    let (_, error, code) =
        output(rondo(machine.bus.path()).args(["query", "unix:/nonexistent.sock", "load"]));
    assert!(code == 2 && error.contains("/nonexistent.sock"), "{error}");
}

/// Newcomers ask a collector for a tail of the last minute, get seconds, and would look in vain for it among the columns.
#[test]
fn quantiles_that_nobody_knows_are_missed_aloud() {
    let machine = Machine::new();
    for (selector, said) in [("exit_ns", "ask for --tier 1"), ("load", "only histograms")] {
        let answer = machine.answer(selector);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| serve(listener.accept().unwrap().0, "200 OK", &answer));
            let mut command = rondo(machine.bus.path());
            let (text, error, code) = output(command.args(["query", &url, selector, "--quantile", "0.5"]));
            assert!(code == 0 && text.contains(selector), "{text}");
            assert!(error.contains(said), "{error}");
        });
    }
}

/// A collector is asked again and again from where the last answer ended; what is printed is new and complete.
#[test]
fn follow_asks_a_collector_again_and_prints_each_point_once() {
    let machine = Machine::new();
    let all: AnswerJson = serde_json::from_slice(&machine.answer("load")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            let mut lines = Vec::new();
            for points in [4, 7, 10] {
                let (stream, _) = wait_for(|| listener.accept());
                stream.set_nonblocking(false).unwrap();
                let mut answer = all.clone();
                answer.series[0].points.truncate(points);
                lines.push(serve(stream, "200 OK", &serde_json::to_vec(&answer).unwrap()));
            }
            lines
        });
        // The fourth time nobody answers, which ends it.
        let mut command = rondo(machine.bus.path());
        let (text, error, code) = output(command.args(["query", &url, "load", "--follow"]));
        assert!(code == 2 && error.contains("cannot ask the collector"), "{error}");
        let seconds: Vec<&str> = text.lines().map(|line| &line[17..19]).collect();
        // The last is partial, and the first four were there before.
        assert_eq!(seconds, ["44", "45", "46", "47", "48"], "{text}");
        assert!(
            text.lines().all(|line| line.contains("  vm-1  load  10")),
            "{text}"
        );
        let lines = server.join().unwrap();
        assert!(lines[0].contains("&range=1m&"), "{lines:?}");
        // From ten seconds and two intervals before the newest point.
        assert!(lines[1].contains("&start=91.000000000"), "{lines:?}");
    });
}

/// Each point is printed once, when its interval is over, and the end of the machine is the end.
#[test]
fn follow_prints_each_new_point_once_until_the_machine_ends() {
    let bus = tempfile::tempdir().unwrap();
    let tiers = [TierConfig::new(Duration::from_millis(200), 100)];
    let schema = SchemaConfig::new("vmm").tiers(&tiers);
    let mut writer = Writer::builder("vm-1")
        .bus(bus.path())
        .schema(schema)
        .create()
        .unwrap();
    let mut ticks = writer.counter("ticks_total").owned().unwrap();
    ticks.add(1);
    writer.tick();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rondo"))
        .args(["query", "vm-1", "ticks_total", "--follow", "-o", "json"])
        .env("RONDO_BUS", bus.path())
        .env_remove("RONDO_STORE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_millis(3_500);
    while Instant::now() < end {
        ticks.add(1);
        writer.tick();
        std::thread::sleep(Duration::from_millis(20));
    }
    // A handle keeps the slab alive.
    drop(ticks);
    writer.close();
    let (mut lines, mut error) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut lines).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(child.wait().unwrap().success(), "{error}");
    assert!(error.contains("vm-1 has ended"), "{error}");
    let points: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let times: Vec<u64> = points
        .iter()
        .map(|point| point["wall_ns"].as_u64().unwrap())
        .collect();
    assert!(times.len() >= 10, "{lines}");
    assert!(
        times.windows(2).all(|pair| pair[1] == pair[0] + SECOND / 5),
        "{times:?}"
    );
    assert!(
        points
            .iter()
            .all(|point| point.get("partial").is_none() && point["name"] == "ticks_total")
    );
}
