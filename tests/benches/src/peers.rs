//! The peers, each bound as far as its library can, on 30 series.

use crate::row::{Row, Run, SERIES, round_robin};
use crate::samples::Samples;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

/// All rows.
pub fn rows() -> Vec<Row> {
    let row = |name, title, make: fn() -> Result<Run>| Row::new(name, title, make);
    vec![
        row(
            "prometheus-gauge",
            "prometheus Gauge::set (f64)",
            prometheus_gauge,
        ),
        row(
            "prometheus-counter",
            "prometheus IntCounter::inc",
            prometheus_counter,
        ),
        row(
            "prometheus-histogram",
            "prometheus Histogram::observe, 12 buckets",
            prometheus_histogram,
        ),
        row(
            "prometheus-lookup",
            "prometheus with_label_values().inc",
            prometheus_lookup,
        ),
        row(
            "prometheus-client-counter",
            "prometheus-client Counter::inc",
            prometheus_client_counter,
        ),
        row(
            "prometheus-client-histogram",
            "prometheus-client Histogram::observe, 12 buckets",
            prometheus_client_histogram,
        ),
        row(
            "prometheus-client-lookup",
            "prometheus-client Family::get_or_create().inc",
            prometheus_client_lookup,
        ),
        row(
            "metrics-counter",
            "metrics counter handle, prometheus exporter",
            metrics_counter,
        ),
        row(
            "metrics-macro",
            "metrics counter! macro with label, prometheus exporter",
            metrics_macro,
        ),
        row(
            "otel-bound",
            "OpenTelemetry bound counter (experimental feature)",
            otel_bound,
        ),
        row(
            "otel-counter",
            "OpenTelemetry counter.add, prebuilt attributes",
            otel_counter,
        ),
        row("hdrhistogram", "hdrhistogram record, 2 digits", hdrhistogram),
        row("iceoryx2", "iceoryx2 blackboard update_with_copy (u64)", iceoryx2),
        row("write", "write(2) of 16 bytes to /dev/shm", write),
        row(
            "statsd",
            "cadence StatsD, one UDP datagram a call, receiver reading",
            statsd,
        ),
    ]
}

fn labels() -> impl Iterator<Item = String> {
    (0..SERIES).map(|i| i.to_string())
}

/// Upper ends of buckets for [`Samples`]: powers of two, as people configure.
fn bounds() -> impl Iterator<Item = f64> {
    (0..12).map(|i| 64.0 * f64::from(1 << i))
}

fn prometheus_gauge() -> Result<Run> {
    let options = prometheus::Opts::new("g", "help");
    let vector = prometheus::GaugeVec::new(options, &["i"])?;
    let gauges = labels().map(|i| vector.with_label_values(&[i])).collect();
    Ok(round_robin(gauges, |gauge, i| gauge.set(f64::from_bits(i))))
}

fn prometheus_counter() -> Result<Run> {
    let options = prometheus::Opts::new("c", "help");
    let vector = prometheus::IntCounterVec::new(options, &["i"])?;
    let counters = labels().map(|i| vector.with_label_values(&[i])).collect();
    Ok(round_robin(counters, |counter, _| counter.inc()))
}

fn prometheus_histogram() -> Result<Run> {
    let options = prometheus::HistogramOpts::new("h", "help").buckets(bounds().collect());
    let vector = prometheus::HistogramVec::new(options, &["i"])?;
    let histograms = labels().map(|i| vector.with_label_values(&[i])).collect();
    let samples = Samples::new();
    Ok(round_robin(histograms, move |histogram, i| {
        histogram.observe(samples.get(i));
    }))
}

fn prometheus_lookup() -> Result<Run> {
    let options = prometheus::Opts::new("c", "help");
    let vector = prometheus::IntCounterVec::new(options, &["i"])?;
    let labels = labels().collect();
    Ok(round_robin(labels, move |label: &mut String, _| {
        vector.with_label_values(&[label.as_str()]).inc();
    }))
}

type PrometheusClientCounter = prometheus_client::metrics::counter::Counter;

fn prometheus_client_counter() -> Result<Run> {
    let counters = labels().map(|_| PrometheusClientCounter::default()).collect();
    Ok(round_robin(
        counters,
        |counter: &mut PrometheusClientCounter, _| {
            counter.inc();
        },
    ))
}

fn prometheus_client_histogram() -> Result<Run> {
    use prometheus_client::metrics::histogram::Histogram;
    let histograms = labels().map(|_| Histogram::new(bounds())).collect();
    let samples = Samples::new();
    Ok(round_robin(histograms, move |histogram: &mut Histogram, i| {
        histogram.observe(samples.get(i));
    }))
}

fn prometheus_client_lookup() -> Result<Run> {
    use prometheus_client::metrics::family::Family;
    let family = Family::<Vec<(&'static str, String)>, PrometheusClientCounter>::default();
    let labels = labels().map(|i| vec![("i", i)]).collect();
    Ok(round_robin(labels, move |labels: &mut Vec<_>, _| {
        family.get_or_create(labels).inc();
    }))
}

fn metrics_recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder()
}

fn metrics_counter() -> Result<Run> {
    let recorder = metrics_recorder();
    let counters = metrics::with_local_recorder(&recorder, || {
        labels().map(|i| metrics::counter!("c", "i" => i)).collect()
    });
    Ok(round_robin(counters, |counter: &mut metrics::Counter, _| {
        counter.increment(1);
    }))
}

fn metrics_macro() -> Result<Run> {
    // As in a program: the recorder is global, the label is known at run time.
    let _already_set = metrics::set_global_recorder(metrics_recorder());
    let labels = labels().map(Arc::<str>::from).collect();
    Ok(round_robin(labels, |label: &mut Arc<str>, _| {
        metrics::counter!("c", "i" => label.clone()).increment(1);
    }))
}

/// An exporter that throws away what it is given. Without any, the SDK does not record.
struct Discard;

impl opentelemetry_sdk::metrics::exporter::PushMetricExporter for Discard {
    async fn export(
        &self,
        _: &opentelemetry_sdk::metrics::data::ResourceMetrics,
    ) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }

    fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> opentelemetry_sdk::metrics::Temporality {
        opentelemetry_sdk::metrics::Temporality::Cumulative
    }
}

fn otel() -> (
    opentelemetry_sdk::metrics::SdkMeterProvider,
    opentelemetry::metrics::Counter<u64>,
) {
    use opentelemetry::metrics::MeterProvider;
    let reader = opentelemetry_sdk::metrics::PeriodicReader::builder(Discard)
        .with_interval(Duration::from_secs(3600))
        .build();
    let provider = opentelemetry_sdk::metrics::SdkMeterProvider::builder()
        .with_reader(reader)
        .build();
    let counter = provider.meter("bench").u64_counter("c").build();
    (provider, counter)
}

fn otel_bound() -> Result<Run> {
    let (provider, counter) = otel();
    let bound = labels()
        .map(|i| counter.bind(&[opentelemetry::KeyValue::new("i", i)]))
        .collect();
    Ok(round_robin(
        bound,
        move |bound: &mut opentelemetry::metrics::BoundCounter<u64>, _| {
            let _stays_alive = &provider;
            bound.add(1);
        },
    ))
}

fn otel_counter() -> Result<Run> {
    let (provider, counter) = otel();
    let attributes = labels().map(|i| [opentelemetry::KeyValue::new("i", i)]).collect();
    Ok(round_robin(attributes, move |attributes: &mut [_; 1], _| {
        let _stays_alive = &provider;
        counter.add(1, attributes);
    }))
}

fn hdrhistogram() -> Result<Run> {
    let histograms = (0..SERIES)
        .map(|_| hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 36, 2))
        .collect::<Result<Vec<_>, _>>()?;
    let samples = Samples::new();
    Ok(round_robin(histograms, move |histogram, i| {
        // Refused samples are not in the table.
        let _ = histogram.record(samples.get(i) as u64);
    }))
}

fn iceoryx2() -> Result<Run> {
    use iceoryx2::prelude::*;
    set_log_level(LogLevel::Fatal);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let name = format!("rondo-benches/{}", std::process::id());
    let mut creator = node
        .service_builder(&name.as_str().try_into()?)
        .blackboard_creator::<u64>();
    for key in 0..SERIES as u64 {
        creator = creator.add::<u64>(key, 0);
    }
    let service = creator.create()?;
    let writer = service.writer_builder().create()?;
    let entries = (0..SERIES as u64)
        .map(|key| writer.entry::<u64>(&key))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(round_robin(entries, move |entry, i| {
        let _stay_alive = (&node, &service, &writer);
        entry.update_with_copy(i);
    }))
}

fn write() -> Result<Run> {
    let files = (0..SERIES)
        .map(|_| tempfile::tempfile_in("/dev/shm"))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(round_robin(files, |file: &mut File, i| {
        let mut slot = [0; 16];
        slot[8..].copy_from_slice(&i.to_le_bytes());
        // In place: the file must not grow.
        let _ = std::os::unix::fs::FileExt::write_at(file, &slot, 0);
        let _ = file.flush();
    }))
}

fn statsd() -> Result<Run> {
    use cadence::prelude::*;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let address = receiver.local_addr().context("receiver")?;
    // Ends with the process.
    std::thread::spawn(move || {
        let mut datagram = [0; 1500];
        while receiver.recv(&mut datagram).is_ok() {}
    });
    let sink = cadence::UdpMetricSink::from(address, UdpSocket::bind("127.0.0.1:0")?)?;
    let client = cadence::StatsdClient::from_sink("bench", sink);
    let labels = labels().collect();
    Ok(round_robin(labels, move |label: &mut String, _| {
        client.count_with_tags("c", 1).with_tag("i", label).send();
    }))
}
