//! The smallest exporter that people would run: `prometheus-client` behind hyper, one thread, and nothing else.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rondo_host::workload::{COUNTERS, DEVICES, GAUGES, RECORDS, Values, device};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

/// A machine with an exporter.
#[derive(Parser)]
struct Arguments {
    /// Which machine it is
    #[arg(long)]
    number: u64,
}

type Labels = Vec<(&'static str, String)>;
type FloatGauge = Gauge<f64, AtomicU64>;

/// Says at which port it answers, and then records once a second until it is killed.
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, run(arguments.number))
}

async fn run(number: u64) -> Result<()> {
    let mut registry = Registry::default();
    let (mut gauges, mut counters) = (Vec::new(), Vec::new());
    let labels = |index| vec![("device", device(index))];
    for (metric, (name, help)) in GAUGES.into_iter().enumerate() {
        let family = Family::<Labels, FloatGauge>::default();
        registry.register(name, help, family.clone());
        gauges.extend((0..DEVICES).map(|index| (metric, family.get_or_create_owned(&labels(index)))));
    }
    for (name, help) in COUNTERS {
        let family = Family::<Labels, Counter>::default();
        registry.register(name, help, family.clone());
        counters.extend((0..DEVICES).map(|index| family.get_or_create_owned(&labels(index))));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    tokio::task::spawn_local(serve(listener, Rc::new(registry)));
    let mut values = Values::of(number);
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        for _ in 0..RECORDS {
            for (metric, gauge) in &gauges {
                gauge.set(values.gauge(*metric));
            }
            for counter in &counters {
                counter.inc_by(values.increment());
            }
        }
    }
}

/// Answers every request with the page.
async fn serve(listener: TcpListener, registry: Rc<Registry>) {
    while let Ok((stream, _)) = listener.accept().await {
        let registry = registry.clone();
        let answer = service_fn(move |_: Request<hyper::body::Incoming>| {
            let page = page(&registry);
            async move { page }
        });
        tokio::task::spawn_local(async move {
            // A client that goes away in the middle is none of its business.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn page(registry: &Registry) -> Result<Response<Full<Bytes>>> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(Response::builder()
        .header(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )
        .body(Full::new(Bytes::from(text)))?)
}
