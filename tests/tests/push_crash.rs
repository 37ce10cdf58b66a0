//! SIGKILL of a collector that pushes, at any moment: the server ends with every sample, once, and never had to refuse one.
//!
//! As `collector_crash.rs`, but for what arrives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::export::{START_MS, Samples, assert_samples, count, expected, expected_to_the_end};
use rondo_tests::killing::{Killing, Over};
use rondo_tests::receiver::Receiver;
use rondo_tests::servers::Server;
use rondo_tests::simulation::Host;
use rondo_tests::skip::{has, skip};
use rondo_writer::SchemaConfig;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KILLING: Killing = Killing {
    kills: 100,
    life_max: Duration::from_millis(200),
    second: Duration::from_millis(4),
};
const BUDGET: u64 = 64 << 20;

fn collect(host: &Host, url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fast_collector"))
        .args([host.bus.path(), host.store.path()])
        .args([&BUDGET.to_string(), url])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_receiver_has_every_sample_once_when_the_collector_is_killed() {
    let receiver = Receiver::start();
    let host = Host::new();
    let (machines, mut collector) = KILLING.run(&host, &SchemaConfig::default(), || {
        receiver.sender_restarted();
        collect(&host, &receiver.url())
    });
    let all: Samples = machines
        .iter()
        .flat_map(|Over { instance, seconds }| expected_to_the_end(instance, *seconds))
        .collect();
    let arrived = receiver.wait(Duration::from_secs(60), |journal| {
        journal.sample_count >= count(&all)
    });
    collector.kill().unwrap();
    collector.wait().unwrap();
    println!(
        "{} samples in {} requests, {} of them repeated",
        count(&all),
        receiver.request_count(),
        receiver.repeat_count()
    );
    receiver.assert_clean();
    assert_samples(&receiver.samples(), &all);
    assert!(arrived);
}

#[test]
fn prometheus_has_every_sample_once_and_refuses_none_when_the_collector_is_killed() {
    const NAME: &str = "prometheus_has_every_sample_once_and_refuses_none_when_the_collector_is_killed";
    if !has("prometheus") {
        return skip(NAME, "there is no prometheus");
    }
    let server = Server::prometheus("");
    let host = Host::new();
    let url = server.write_url();
    let (machines, mut collector) = KILLING.run(&host, &SchemaConfig::default(), || collect(&host, &url));
    for Over { instance, seconds } in &machines {
        // Markers do not come back as samples.
        let all = expected(instance, *seconds);
        let found = || server.samples(&format!("{{instance=\"{instance}\"}}[2h]"), START_MS + 3_600_000);
        let deadline = Instant::now() + Duration::from_secs(30);
        while found() != all && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_samples(&found(), &all);
    }
    collector.kill().unwrap();
    collector.wait().unwrap();
    for refusal in [
        "prometheus_tsdb_out_of_order_samples_total",
        "prometheus_tsdb_out_of_bound_samples_total",
        "prometheus_tsdb_too_old_samples_total",
    ] {
        assert_eq!(server.own_metric(refusal), 0.0, "{refusal}\n{}", server.log());
    }
}
