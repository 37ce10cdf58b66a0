//! Real servers, filled by a collector: what they answer is what the machines did.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::Sender;
use rondo_tests::export::{Export, Labels, START_MS, Samples, assert_samples, destination, expected};
use rondo_tests::servers::Server;
use rondo_tests::simulation::{S, START, world};
use rondo_tests::skip::{has, skip};
use rondo_writer::{SchemaConfig, SeriesHandle, Unit, Writer};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A machine of thirty series: ten of each kind, which do what [`world`] says, times two to the power of their number.
struct Thirty {
    writer: Writer,
    handles: Vec<[SeriesHandle; 3]>,
}

impl Thirty {
    fn start(export: &Export, instance: &str) -> Self {
        let mut writer = export
            .host
            .machine(instance, SchemaConfig::default().capacity(30, 10));
        let handles = (0..10).map(|number| {
            let number = number.to_string();
            [
                writer
                    .gauge("queue_depth")
                    .label("queue", &number)
                    .held()
                    .unwrap(),
                writer
                    .counter("busy_ns")
                    .unit(Unit::Nanoseconds)
                    .label("vcpu", &number)
                    .held()
                    .unwrap(),
                writer
                    .distribution("request_size_kib")
                    .unit(Unit::Kibibytes)
                    .label("device", &number)
                    .held()
                    .unwrap(),
            ]
        });
        Self {
            handles: handles.collect(),
            writer,
        }
    }

    fn live(&mut self, second: u64) {
        let now = START + second * S;
        for (number, [gauge, counter, distribution]) in self.handles.iter().enumerate() {
            let times = f64::from(1u32 << number);
            if let Some(value) = world::gauge(second) {
                self.writer.record(*gauge, value * times, now);
            }
            if world::is_busy(second) {
                self.writer
                    .record(*counter, world::counter(second) as f64 * times, now);
            }
            for sample in world::samples(second) {
                self.writer.record(*distribution, sample * times, now);
            }
        }
        self.writer.tick_at(now);
    }
}

/// What a server has to have of such a machine.
fn expected_thirty(instance: &str, seconds: u64) -> Samples {
    let mut all = Samples::new();
    let plain = expected(instance, seconds);
    for number in 0..10usize {
        let times = f64::from(1u32 << number);
        for (labels, column) in &plain {
            let of = labels[0].1.as_str();
            let (name, label, scale) = match of {
                "gauge" => ("queue_depth", "queue", 1.0),
                // Nanoseconds leave as seconds, and KiB as bytes.
                "counter_total" => ("busy_seconds_total", "vcpu", 1e-9),
                "distribution_count" => ("request_size_bytes_count", "device", 0.0),
                "distribution_sum" => ("request_size_bytes_sum", "device", 1_024.0),
                "distribution_min" => ("request_size_bytes_min", "device", 1_024.0),
                _ => ("request_size_bytes_max", "device", 1_024.0),
            };
            let value = |bits: u64| match scale {
                0.0 => f64::from_bits(bits),
                1e-9 => f64::from_bits(bits) * times / 1e9,
                scale => f64::from_bits(bits) * times * scale,
            };
            let column = column
                .iter()
                .map(|(stamp, bits)| (*stamp, value(*bits).to_bits()));
            let mut labels: Labels = vec![
                ("__name__".to_owned(), name.to_owned()),
                ("instance".to_owned(), instance.to_owned()),
                (label.to_owned(), number.to_string()),
            ];
            labels.sort();
            all.insert(labels, column.collect());
        }
    }
    all
}

/// Three machines of ten minutes beside one of 45 seconds, pushed to `server` until it has all of them.
fn fill(server: &Server) -> Samples {
    let mut export = Export::start(destination(&server.write_url()));
    let mut machines: Vec<Thirty> = (0..3)
        .map(|number| Thirty::start(&export, &format!("vm-{number}")))
        .collect();
    let mut short = vec![export.machine("vm-45")];
    for second in 0..600 {
        machines.iter_mut().for_each(|machine| machine.live(second));
        if second < 45 {
            short[0].live(second);
        } else {
            short.clear();
        }
        export.pass(second);
    }
    drop(machines);
    (600..602).for_each(|second| export.pass(second));
    let mut all = expected("vm-45", 45);
    (0..3).for_each(|number| all.extend(expected_thirty(&format!("vm-{number}"), 600)));
    let deadline = Instant::now() + PATIENCE;
    // With the markers that end all of them.
    let count: u64 = all.values().map(|column| column.len() as u64 + 1).sum();
    while export.tally().samples_sent < count {
        assert!(Instant::now() < deadline, "{:?} of {count}", export.tally());
        std::thread::sleep(Duration::from_millis(20));
    }
    let tally = export.tally();
    assert_eq!((tally.samples_sent, tally.samples_refused.len()), (count, 0));
    export.stop();
    all
}

/// All samples that the server has; it may take a moment until it shows them.
fn queried(server: &Server, count: usize) -> Samples {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = server.samples("{instance=~\"vm-.*\"}[1h]", START_MS + 3_000_000);
        if found.values().map(Vec::len).sum::<usize>() >= count || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A number that a query has for its only series.
fn number(server: &Server, expression: &str, time_ms: i64) -> f64 {
    let result = server.query(expression, time_ms);
    assert_eq!(result.len(), 1, "{expression}: {result:?}");
    result[0]["value"][1].as_str().unwrap().parse().unwrap()
}

/// Machines that ended are not there any more a moment later, and those that live still are.
#[track_caller]
fn assert_ends(server: &Server) {
    let count = |expression: &str, time_ms: i64| server.query(expression, time_ms).len();
    let end_ms = START_MS + 45_000;
    assert_eq!(count("{instance=\"vm-45\"}", end_ms), 6);
    assert_eq!(count("{instance=\"vm-45\"}", end_ms + 2), 0);
    assert_eq!(count("{instance=~\"vm-[012]\"}", end_ms + 2), 3 * 60);
    assert_eq!(count("{instance=~\"vm-.*\"}", START_MS + 600_002), 0);
}

/// What a machine counted in its 45 seconds is what the server says that it grew by, the first window included.
#[track_caller]
fn assert_increase(server: &Server) {
    for (name, value) in [
        ("counter_total", world::counter(44) as f64),
        (
            "distribution_count",
            (0..45).flat_map(world::samples).count() as f64,
        ),
    ] {
        let grown = format!("increase({name}{{instance=\"vm-45\"}}[1m])");
        assert_eq!(number(server, &grown, START_MS + 45_000), value, "{grown}");
    }
}

/// Guide, phase 3: "Prometheus remote-write successfully pushes to a test Prometheus instance".
#[test]
fn remote_write_successfully_pushes_to_prometheus() {
    if !has("prometheus") {
        return skip(
            "remote_write_successfully_pushes_to_prometheus",
            "there is no prometheus",
        );
    }
    let server = Server::prometheus("");
    let all = fill(&server);
    assert_eq!(all.len(), 3 * 60 + 6);
    assert_samples(&queried(&server, all.values().map(Vec::len).sum()), &all);
    assert_ends(&server);
    assert_increase(&server);
    for refusal in [
        "prometheus_tsdb_out_of_order_samples_total",
        "prometheus_tsdb_out_of_bound_samples_total",
    ] {
        assert_eq!(server.own_metric(refusal), 0.0, "{refusal}");
    }
}

/// VictoriaMetrics keeps about 15 decimal digits of the greatest value of a block, not all bits.
#[test]
fn remote_write_successfully_pushes_to_victoria_metrics() {
    if !has("victoria-metrics") {
        return skip(
            "remote_write_successfully_pushes_to_victoria_metrics",
            "there is no victoria-metrics",
        );
    }
    let server = Server::victoria_metrics();
    let all = fill(&server);
    let found = queried(&server, all.values().map(Vec::len).sum());
    assert_eq!(found.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
    for (labels, column) in &all {
        let greatest = column
            .iter()
            .map(|(_, bits)| f64::from_bits(*bits).abs())
            .fold(0.0, f64::max);
        let is_near = |a: u64, b: u64| (f64::from_bits(a) - f64::from_bits(b)).abs() <= 1e-12 * greatest;
        let are_alike = found[labels].len() == column.len()
            && found[labels]
                .iter()
                .zip(column)
                .all(|(a, b)| a.0 == b.0 && is_near(a.1, b.1));
        assert!(are_alike, "{labels:?}\n{:?}\n{column:?}", found[labels]);
    }
    assert_ends(&server);
    assert_increase(&server);
}

/// One that is down costs another nothing, and goes on where it was when it is up again.
#[test]
fn two_servers_of_one_collector_do_not_know_of_each_other() {
    let name = "two_servers_of_one_collector_do_not_know_of_each_other";
    if !has("prometheus") || !has("victoria-metrics") {
        return skip(name, "there is no prometheus or no victoria-metrics");
    }
    let (prometheus, victoria) = (Server::prometheus(""), Server::victoria_metrics());
    let mut export = Export::start(destination(&prometheus.write_url()));
    let mut machines = vec![export.machine("vm-0")];
    export.live(&mut machines, 0..100);
    let mut second = destination(&victoria.write_url());
    second.name = "second".to_owned();
    let directory = export.host.store.path().join("export");
    let sender = Sender::start(Arc::new(second), &directory, export.collector.clone(), None);
    export.live(&mut machines, 100..200);
    export.end(machines, 200);
    let count: usize = expected("vm-0", 200).values().map(Vec::len).sum();
    for server in [&prometheus, &victoria] {
        let found = queried(server, count);
        assert_eq!(found.values().map(Vec::len).sum::<usize>(), count);
    }
    sender.tell_to_stop();
    sender.wait(Instant::now() + PATIENCE);
    export.stop();
}
