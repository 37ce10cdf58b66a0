//! Prometheus itself: its linter has nothing to say of our pages, and a scrape has our values.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod http_common;
mod prometheus_common;
#[path = "../../tests/src/skip.rs"]
mod skip;

use http_common::{Running, TestBackend, eventually, start_with};
use prometheus_common::{Prometheus, collect, free_address, get};
use rondo_collector::exposition::{Family, FamilyKind, Format, HostTotals, Page, Tally, Value, own};
use rondo_collector::http::Limits;
use rondo_reader::{Limits as ReaderLimits, Slab};
use rondo_writer::{Unit, Writer};
use skip::has;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What `promtool check metrics` has to say; nothing if it is content.
fn lint(text: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

/// Two machines with every kind of series, and names and units as people choose them.
struct Machines {
    bus: TempDir,
    writers: Vec<Writer>,
}

fn machines() -> Machines {
    let bus = tempfile::tempdir().unwrap();
    let writers = ["vm-1", "vm-2"].map(|instance| {
        let mut writer = Writer::builder(instance)
            .label("tenant", "blue \"1\"")
            .bus(bus.path())
            .create()
            .unwrap();
        let now = writer.now();
        let mut exits = writer
            .counter("vcpu_exits")
            .help("Exits, by \"reason\" \\ cause.")
            .label("reason", "io\\mmio");
        exits = exits.label("vcpu", "0");
        exits.owned().unwrap().add_at(now, 1_234_567);
        let busy = writer
            .counter("vcpu_busy_ns_total")
            .unit(Unit::Nanoseconds)
            .help("Time in the guest.");
        busy.owned().unwrap().add_at(now, 1_500_000_001);
        let memory = writer
            .gauge("memory_resident_mib")
            .unit(Unit::Mebibytes)
            .help("Resident memory.");
        memory.owned().unwrap().set_at(now, 64.5);
        writer.gauge("vcpu_count").owned().unwrap().set_at(now, 2.0);
        writer
            .gauge("steal_pct")
            .unit(Unit::Percent)
            .owned()
            .unwrap()
            .set_at(now, 1.5);
        writer
            .gauge("temperature")
            .owned()
            .unwrap()
            .set_at(now, f64::NEG_INFINITY);
        writer
            .counter("rx")
            .unit(Unit::Other("packets".into()))
            .owned()
            .unwrap()
            .add_at(now, 5);
        let mut wait = writer
            .distribution("disk_wait_us")
            .unit(Unit::Microseconds)
            .help("Waits.")
            .owned()
            .unwrap();
        let exit = writer
            .histogram("exit_duration_ns")
            .unit(Unit::Nanoseconds)
            .help("Handling of an exit.");
        let mut exit = exit.owned().unwrap();
        for sample in [250.0, 1_000.0, 1_250.5, 3e9] {
            wait.record_at(now, sample);
            exit.record_at(now, sample);
        }
        let mut colon = writer.histogram("guest:queue_bucket").owned().unwrap();
        colon.record_at(now, 0.0);
        writer.distribution("never").unit(Unit::Bytes).owned().unwrap();
        writer.tick();
        writer
    });
    let writers = writers.into();
    Machines { bus, writers }
}

/// Every family of the table, the host's totals, and the process.
fn own_families(machines: &Machines) -> Vec<Family> {
    let mut tally = Tally::new(Tally::SECONDS);
    tally.observe(0.012);
    let mut families: Vec<Family> = own::ALL
        .iter()
        .map(|one| match one.kind {
            FamilyKind::Histogram => one.sample([], tally.value()),
            _ => one.by("tier", [("0", 1.0), ("1", 2.5e9)]),
        })
        .filter(|family| family.name != own::NAMES_REFUSED.name)
        .collect();
    let mut totals = HostTotals::default();
    for writer in &machines.writers {
        let slab = Slab::open(writer.paths().next().unwrap(), &ReaderLimits::default()).unwrap();
        for series in slab.series() {
            let place = totals.place(series).unwrap();
            match series.kind {
                rondo_reader::Kind::Gauge => totals.gauge(place, 1.5),
                rondo_reader::Kind::Counter => totals.counter_grew(place, 7),
                _ => totals.samples_came(place, 2, 9.0),
            }
        }
    }
    families.extend(totals.families());
    families.extend(rondo_collector::exposition::process_families());
    families
}

fn serve(machines: &Machines) -> Running {
    let backend = TestBackend {
        bus: Some(machines.bus.path().to_owned()),
        ..TestBackend::default()
    };
    start_with(backend, Limits::default())
}

#[test]
fn promtool_is_content_with_every_page() {
    if !has("promtool") {
        return skip::skip("promtool_is_content_with_every_page", "no promtool");
    }
    // It does complain, when there is reason to.
    let mut wrong = Family {
        name: "exits_ms".into(),
        kind: FamilyKind::Counter,
        unit: String::new(),
        help: "x".into(),
        samples: Vec::new(),
    };
    wrong.push(Default::default(), Value::Number(1.0));
    let said = lint(&Page::from(vec![wrong]).write(Format::Text));
    assert!(said.contains("_total") && said.contains("abbreviated"), "{said}");

    let machines = machines();
    let own_page = Page::from(own_families(&machines)).write(Format::Text);
    assert_eq!(lint(&own_page), "", "{own_page}");
    let running = serve(&machines);
    for path in ["/metrics", "/metrics/machines"] {
        let reply = running.get(path);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(lint(reply.text()), "", "{}", reply.text());
    }
    assert!(
        running
            .get("/metrics/machines")
            .text()
            .contains("vcpu_exits_total{instance=\"vm-1\"")
    );
}

/// One that scrapes both pages of `target` each second.
fn scraping(target: SocketAddr) -> Prometheus {
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - job_name: rondo\n  static_configs: [{{targets: ['{target}']}}]\n\
         - job_name: machines\n  metrics_path: /metrics/machines\n  honor_labels: true\n  \
         static_configs: [{{targets: ['{target}']}}]\n\
         - job_name: narrow\n  metrics_path: /metrics/machines\n  params: {{'match[]': ['vcpu_exits{{instance=\"vm-2\"}}']}}\n  \
         static_configs: [{{targets: ['{target}']}}]\n"
    );
    Prometheus::start(free_address(), &config, &[])
}

#[test]
fn prometheus_scrapes_both_pages_and_has_their_values() {
    if !has("prometheus") {
        return skip::skip(
            "prometheus_scrapes_both_pages_and_has_their_values",
            "no prometheus",
        );
    }
    let machines = machines();
    let running = serve(&machines);
    let prometheus = scraping(running.address);
    eventually("Prometheus is up and has scraped", || {
        prometheus.value("sum(up)") == Some(3.0) && prometheus.value("count(vcpu_exits_total)") == Some(3.0)
    });
    for (query, expected) in [
        ("rondo_passes_total", 7.0),
        ("rondo_slabs{state=\"live\"}", 2.0),
        ("process_open_fds > bool 2", 1.0),
        (
            r#"vcpu_exits_total{job="machines",instance="vm-1",tenant="blue \"1\"",reason="io\\mmio",vcpu="0"}"#,
            1_234_567.0,
        ),
        (
            r#"vcpu_exits_total{job="narrow",exported_instance="vm-2"}"#,
            1_234_567.0,
        ),
        ("count({job=\"narrow\",exported_instance!=\"\"})", 1.0),
        ("vcpu_busy_seconds_total{instance=\"vm-2\"}", 1.500_000_001),
        ("memory_resident_bytes{instance=\"vm-1\"}", 64.5 * 1_048_576.0),
        ("steal_ratio{instance=\"vm-1\"}", 0.015),
        ("temperature{instance=\"vm-1\"}", f64::NEG_INFINITY),
        ("disk_wait_seconds_count{instance=\"vm-1\"}", 4.0),
        ("disk_wait_seconds_sum{instance=\"vm-1\"}", 3_000.002_500_5),
        ("disk_wait_seconds_min{instance=\"vm-1\"}", 0.000_25),
        ("disk_wait_seconds_max{instance=\"vm-1\"}", 3_000.0),
        ("sum(exit_duration_seconds_bucket{le=\"+Inf\"})", 8.0),
        ("exit_duration_seconds_count{instance=\"vm-1\"}", 4.0),
        // 250 ns of either machine, in the bucket that ends at 256.
        ("sum(exit_duration_seconds_bucket{le=\"2.56e-07\"})", 2.0),
        ("never_bytes_count{instance=\"vm-1\"}", 0.0),
        ("rondo_series_conflicts{job=\"machines\"}", 0.0),
    ] {
        assert_eq!(
            prometheus.value(query),
            Some(expected),
            "{query}\n{}",
            prometheus.log()
        );
    }
    // It asked for OpenMetrics, which alone has units.
    let metadata = prometheus
        .get("/api/v1/metadata?metric=vcpu_busy_seconds")
        .unwrap();
    let of = &metadata["data"]["vcpu_busy_seconds"][0];
    assert_eq!(
        (&of["type"], &of["unit"]),
        (&"counter".into(), &"seconds".into()),
        "{metadata}"
    );
    assert_eq!(of["help"], "Time in the guest.");
    // A quantile of both machines together lies in the bucket of its sample.
    let quantile = prometheus
        .value("histogram_quantile(0.5, sum by (le) (exit_duration_seconds_bucket))")
        .unwrap();
    assert!((0.96e-6..=1.024e-6).contains(&quantile), "{quantile}");
}

/// The guide's "HTTP API returns queryable metric data", and what a host's Prometheus sees, from a real collector.
#[test]
fn a_running_collector_answers_queries_and_is_scraped() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let collector = collect(bus.path(), &[]);
    let mut writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
    let exits = writer.counter("vcpu_exits_total").held().unwrap();
    let depth = writer.gauge("queue_depth").held().unwrap();
    let prometheus = has("prometheus").then(|| scraping(collector.address));
    if prometheus.is_none() {
        skip::skip(
            "a_running_collector_answers_queries_and_is_scraped: the scrape",
            "no prometheus",
        );
    }
    // Until a window of ten seconds has ended, as the machine sees it.
    let mut ticks: u64 = 0;
    let first_window = writer.now() / 10_000_000_000;
    while writer.now() / 10_000_000_000 < first_window + 2 || ticks < 12 {
        std::thread::sleep(writer.until_next_tick());
        ticks += 1;
        writer.record(exits, 7.0 * ticks as f64, writer.now());
        writer.record(depth, 3.0, writer.now());
        writer.tick();
    }
    eventually("the collector has made a pass since", || {
        let text = get(collector.address, "/metrics").text().to_owned();
        text.contains("\nrondo_host_queue_depth 3\n")
    });
    assert_eq!(get(collector.address, "/-/ready").status, 200);
    let health: serde_json::Value =
        serde_json::from_slice(&get(collector.address, "/metrics/health").body).unwrap();
    assert_eq!(
        (&health["status"], &health["live_slabs"]),
        (&"healthy".into(), &1.into()),
        "{health}"
    );

    let points = |parameters: &str| {
        let path = format!("/metrics/query?series=vcpu_exits_total&instance=vm-1&range=all&{parameters}");
        let answer: serde_json::Value = serde_json::from_slice(&get(collector.address, &path).body).unwrap();
        let series = answer["series"].as_array().unwrap();
        assert_eq!(series.len(), 1, "{answer}");
        series[0]["points"].as_array().unwrap().clone()
    };
    let values: Vec<u64> = points("tier=0")
        .iter()
        .map(|point| point["value"].as_u64().unwrap())
        .collect();
    // Registering wrote a zero; it may stand for a second of its own.
    let recorded: Vec<u64> = (1..=ticks).map(|tick| 7 * tick).collect();
    assert_eq!(values[values.len() - recorded.len()..], recorded);
    let windows = points("tier=1");
    assert!(windows.len() >= 2, "{windows:?}");
    assert_eq!(windows.last().unwrap()["value"].as_u64(), Some(7 * ticks));
    assert_eq!(get(collector.address, "/metrics/query?series=%7B").status, 400);
    let info: serde_json::Value =
        serde_json::from_slice(&get(collector.address, "/metrics/info").body).unwrap();
    assert!(info.is_object(), "{info}");

    if has("promtool") {
        for path in ["/metrics", "/metrics/machines"] {
            let reply = get(collector.address, path);
            assert_eq!(lint(reply.text()), "", "{}", reply.text());
        }
    }
    if let Some(prometheus) = prometheus {
        let total = 7.0 * ticks as f64;
        eventually("Prometheus has the newest values", || {
            prometheus.value("vcpu_exits_total{job=\"machines\",instance=\"vm-1\"}") == Some(total)
                && prometheus.value("rondo_slabs{state=\"live\"}") == Some(1.0)
        });
        assert_eq!(
            prometheus.value("rondo_host_queue_depth"),
            Some(3.0),
            "{}",
            prometheus.log()
        );
        assert_eq!(prometheus.value("min(up)"), Some(1.0));
    }
}
