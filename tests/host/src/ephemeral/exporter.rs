//! A page for each machine, for as long as it lives, with what it has recorded by the moment of the scrape.
//!
//! One thread of the process that starts the machines answers for all of them, so that a page is there from the moment in which its machine has
//! a slab until the machine is gone, and neither a port nor a process has to start first: no exporter could be there sooner. It reads
//! the machine's own values when it is asked, so both sides have the same truth. A machine that is not there has no page (404), which is a failed
//! scrape as a refused connection is.

use super::machine::Shared;
use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rondo_reader::{PointValue, Slab};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// Where a machine's page is.
pub fn path(instance: &str) -> String {
    format!("{ROOT}{instance}")
}

const ROOT: &str = "/machines/";

/// Slabs by machine.
type Machines = Arc<Mutex<HashMap<String, Shared>>>;

/// What answers; stops when dropped.
pub struct Exporter {
    address: SocketAddr,
    machines: Machines,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Answers on a free port of the loopback.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let machines = Machines::default();
        let (stop, stopped) = oneshot::channel();
        let served = machines.clone();
        let thread = std::thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    _ = stopped => (),
                    () = serve(listener, served) => (),
                }
            });
        });
        Ok(Self {
            address,
            machines,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, there is a page of that machine.
    pub fn add(&self, instance: &str, slab: Shared) {
        self.lock().insert(instance.to_owned(), slab);
    }

    /// From now on, there is none.
    pub fn remove(&self, instance: &str) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Shared>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, machines: Machines) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for the moment.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let machines = machines.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&machines, request.uri().path());
            async move { answer }
        });
        tokio::task::spawn_local(async move {
            // A client that goes away in the middle is none of its business.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn answer(machines: &Machines, path: &str) -> Result<Response<Full<Bytes>>> {
    let machine = path.strip_prefix(ROOT).and_then(|instance| {
        let machines = machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.get(instance).cloned()
    });
    let response = Response::builder();
    let Some(machine) = machine else {
        return Ok(response.status(StatusCode::NOT_FOUND).body(Full::default())?);
    };
    let page = Page::read(&*machine.refreshed()?)?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(response
        .header(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )
        .body(Full::new(Bytes::from(text)))?)
}

/// The gauges and counters of a slab, as they are now, by name.
#[derive(Debug)]
struct Page(BTreeMap<String, Family>);

#[derive(Debug, Default)]
struct Family {
    help: String,
    samples: Vec<(Vec<(String, String)>, Value)>,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Gauge(f64),
    Counter(u64),
}

impl Page {
    fn read(slab: &Slab) -> Result<Self, rondo_reader::Error> {
        let view = slab.view()?;
        let mut families = BTreeMap::<String, Family>::new();
        for series in slab.series() {
            let value = match slab.latest(series, &view)?.map(|point| point.value) {
                Some(PointValue::Gauge(value)) => Value::Gauge(value),
                Some(PointValue::Counter(total)) => Value::Counter(total),
                _ => continue,
            };
            let family = families.entry(series.name.clone()).or_default();
            family.help.clone_from(&series.help);
            family.samples.push((series.labels.to_vec(), value));
        }
        Ok(Self(families))
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, family) in &self.0 {
            let Some((_, first)) = family.samples.first() else {
                continue;
            };
            // The encoder puts the end of a counter's name there again.
            let name = name.strip_suffix("_total").unwrap_or(name);
            let mut metric =
                encoder.encode_descriptor(name, &family.help, None, first.as_metric().metric_type())?;
            for (labels, value) in &family.samples {
                value.as_metric().encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn as_metric(self) -> Box<dyn EncodeMetric> {
        match self {
            Self::Gauge(value) => Box::new(ConstGauge::new(value)),
            Self::Counter(total) => Box::new(ConstCounter::new(total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_tests::servers::get;
    use rondo_writer::Writer;

    #[test]
    fn a_page_has_the_values_of_now_for_as_long_as_the_machine_is_there() {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
        let exporter = Exporter::start().unwrap();
        let page = || get(exporter.address(), "/machines/vm-1").unwrap();
        assert_eq!(page().0, 404);
        exporter.add("vm-1", Shared::open(writer.paths().next().unwrap()).unwrap());
        assert_eq!(page(), (200, "# EOF\n".to_owned()));

        // Registered after the slab was opened, as the VMM's vCPUs are.
        let exits = writer
            .counter("exits_total")
            .help("Exits.")
            .label("reason", "io_in");
        let mut exits = exits.owned().unwrap();
        let mut load = writer.gauge("load").owned().unwrap();
        load.set(0.5);
        exits.add(3);
        let text = "# HELP exits Exits.\n# TYPE exits counter\nexits_total{reason=\"io_in\"} 3\n\
                    # HELP load \n# TYPE load gauge\nload{} 0.5\n# EOF\n";
        assert_eq!(page(), (200, text.to_owned()));
        exits.add(4);
        assert!(page().1.contains("exits_total{reason=\"io_in\"} 7\n"));

        exporter.remove("vm-1");
        assert_eq!(page().0, 404);
    }
}
