//! The thread that has all sockets, and the two that ask the backend.

use super::answer::{self, Answer, JSON, TEXT, Unsent};
use super::backend::Backend;
use super::connection::{converse, refuse};
use super::error::ApiError;
use super::limits::Limits;
use super::listen::{Listen, Listener};
use super::parameters::Parameters;
use super::query::{QueryParameters, selector_error};
use super::route::{INDEX, Route, find};
use crate::exposition::{MachineLimits, Page, own};
use crate::selector::Selector;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;

/// Threads that ask the backend. One long query does not keep Prometheus waiting, and a third core is a machine's.
const BACKEND_THREADS: usize = 2;

/// Connections beyond the limit that are told so; those beyond that are closed without a word.
const REFUSALS_MAX: usize = 16;

/// How long requests may go on after a shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system's refusal.
    #[error("cannot listen on {at}")]
    Bind {
        /// Where.
        at: Listen,
        /// What it said.
        source: io::Error,
    },
    /// Another process listens there.
    #[error("{0} is another process's socket; stop that, or choose another path")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0} is not a socket, so it is not replaced; remove it, or choose another path")]
    NotASocket(PathBuf),
    /// No thread, or no descriptor for one.
    #[error("cannot start the thread of the HTTP server")]
    Thread(#[from] io::Error),
}

/// A server that runs. Dropping it ends it, as [`Self::shutdown`] does.
#[derive(Debug)]
pub struct Server {
    local_addr: Listen,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it listens, with the port that it got.
    pub fn local_addr(&self) -> &Listen {
        &self.local_addr
    }

    /// Accepts nobody any more, gives the requests at hand two seconds, and ends.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It panics only by a mistake of our own, and then it has ended too.
            let _ = thread.join();
        }
    }
}

/// Listens, and answers from then on.
///
/// # Errors
/// [`ServeError`]: the address or path is taken or not allowed.
pub fn serve(listen: &Listen, backend: Arc<dyn Backend>, limits: Limits) -> Result<Server, ServeError> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BACKEND_THREADS)
        .thread_name("rondo-answer")
        .build()?;
    let listener = runtime.block_on(Listener::bind(listen))?;
    let local_addr = listener.local_addr()?;
    let is_loopback = matches!(&local_addr, Listen::Tcp(address) if address.ip().is_loopback());
    let shared = Arc::new(Shared {
        backend,
        limits,
        is_loopback,
        unsent: Unsent::new(&limits),
        threads: Arc::new(Semaphore::new(BACKEND_THREADS)),
        pending: Semaphore::new(limits.pending_max),
        answered: Mutex::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::Builder::new()
        .name("rondo-http".into())
        .spawn(move || run(runtime, listener, &shared, &stopped))?;
    Ok(Server {
        local_addr,
        stop,
        thread: Some(thread),
    })
}

fn run(runtime: Runtime, listener: Listener, shared: &Arc<Shared>, stop: &watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(shared.limits.connections_max));
    let all = u32::try_from(shared.limits.connections_max).unwrap_or(u32::MAX);
    runtime.block_on(async {
        tokio::select! {
            () = accept(&listener, &connections, shared, stop) => {}
            () = stopped(stop.clone()) => {}
        }
        drop(listener);
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, connections.acquire_many(all)).await;
    });
    // Whoever asks the backend still is left behind.
    runtime.shutdown_background();
}

/// Returns once the server is to end.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the server was dropped, which is the same.
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Accepts connections, for ever.
async fn accept(
    listener: &Listener,
    connections: &Arc<Semaphore>,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let accepted = match listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                // Answers are written whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                admit(stream, connections, &refusals, shared, stop);
            }),
            Listener::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| admit(stream, connections, &refusals, shared, stop)),
        };
        if accepted.is_err() {
            // Out of descriptors, most likely: waiting may help, trying at once does not.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn admit<S>(
    stream: S,
    connections: &Arc<Semaphore>,
    refusals: &Arc<Semaphore>,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Ok(permit) = connections.clone().try_acquire_owned() {
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move {
            converse(stream, shared, stop).await;
            drop(permit);
        });
    } else if let Ok(permit) = refusals.clone().try_acquire_owned() {
        let max = shared.limits.connections_max;
        tokio::spawn(async move {
            let reason = format!("{max} connections are open, and that is the limit; try again");
            refuse(stream, ApiError::unavailable(reason)).await;
            drop(permit);
        });
    }
}

/// What all connections share.
pub(super) struct Shared {
    backend: Arc<dyn Backend>,
    pub(super) limits: Limits,
    is_loopback: bool,
    unsent: Unsent,
    threads: Arc<Semaphore>,
    pending: Semaphore,
    /// Answers by status.
    answered: Mutex<BTreeMap<u16, u64>>,
}

impl Shared {
    /// Answers a request, whatever it is.
    pub(super) async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = self.answer(&request).await.unwrap_or_else(Answer::from);
        let response = self.unsent.response(answer);
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered.entry(response.status().as_u16()).or_default() += 1;
        response
    }

    async fn answer(&self, request: &Request<Incoming>) -> Result<Answer, ApiError> {
        let route = find(request, self.is_loopback, &self.limits)?;
        let parameters = request.uri().query().unwrap_or_default();
        let deadline = Instant::now() + self.limits.answer_timeout;
        let backend = self.backend.clone();
        let headers = request.headers();
        let format = answer::format(headers);
        if !matches!(route, Route::Query | Route::Machines) {
            Parameters::parse(parameters, &[])?;
        }
        match route {
            Route::Index => Ok(Answer::ok(TEXT, INDEX)),
            Route::Healthy => Ok(Answer::ok(TEXT, "rondo answers\n")),
            Route::Ready if backend.is_ready() => Ok(Answer::ok(TEXT, "rondo is ready\n")),
            Route::Ready => Err(ApiError::unavailable(
                "not ready yet: the first pass over the bus is not done",
            )),
            Route::Health => {
                let health = backend.health();
                let is_healthy = health.problems.is_empty();
                let status = if is_healthy {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                Ok(Answer::new(status, JSON, health.json()))
            }
            Route::Info => {
                self.ask(deadline, headers, move || Ok(Answer::ok(JSON, backend.info()?)))
                    .await
            }
            Route::Query => {
                let query = QueryParameters::parse(parameters, deadline)?;
                self.ask(deadline, headers, move || {
                    Ok(Answer::ok(JSON, backend.query(&query)?))
                })
                .await
            }
            Route::Metrics => {
                let requests = self.request_counts();
                let answer = move || {
                    let mut page = Page::from(backend.self_metrics());
                    page.add(own::HTTP_REQUESTS.by("code", requests));
                    Ok(Answer::ok(format.content_type(), page.write(format)))
                };
                self.ask(deadline, headers, answer).await
            }
            Route::Machines => {
                let matches = matches(parameters)?;
                let limits = MachineLimits {
                    series_max: self.limits.machine_series_max,
                    deadline: Some(deadline),
                };
                let answer = move || {
                    let page = backend.machines(&matches, &limits)?;
                    Ok(Answer::ok(format.content_type(), page.write(format)))
                };
                self.ask(deadline, headers, answer).await
            }
        }
    }

    /// Has a thread make the answer, and waits for it no longer than until `deadline`.
    async fn ask(
        &self,
        deadline: Instant,
        headers: &HeaderMap,
        make: impl FnOnce() -> Result<Answer, ApiError> + Send + 'static,
    ) -> Result<Answer, ApiError> {
        let too_late =
            |_| ApiError::unavailable("there was no answer in time; ask for fewer series or a shorter range");
        let _pending = self.pending.try_acquire().map_err(|_| {
            let reason = "too many requests wait for an answer; try again";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, reason)
        })?;
        let thread = timeout_at(deadline.into(), self.threads.clone().acquire_owned())
            .await
            .map_err(too_late)?;
        let headers = headers.clone();
        let made = tokio::task::spawn_blocking(move || {
            // Given back when the thread is free, not when nobody waits for it any more.
            let _thread = thread;
            make().map(|answer| answer.compressed(&headers))
        });
        let made = timeout_at(deadline.into(), made).await.map_err(too_late)?;
        made.unwrap_or_else(|_| {
            let reason =
                "this request made the collector panic; please report it with what is in the collector's log";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, reason))
        })
    }

    fn request_counts(&self) -> Vec<(String, f64)> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered
            .iter()
            .map(|(status, &count)| (status.to_string(), count as f64))
            .collect()
    }
}

/// The selectors of `match` and `match[]`, which is how Prometheus calls it.
fn matches(parameters: &str) -> Result<Vec<Selector>, ApiError> {
    const KNOWN: [&str; 2] = ["match", "match[]"];
    let parameters = Parameters::parse(parameters, &KNOWN)?;
    let of = |name: &'static str| {
        let parse = move |text: &str| text.parse().map_err(|error| selector_error(name, &error));
        parameters
            .all(name)
            .map(parse)
            .collect::<Result<Vec<Selector>, ApiError>>()
    };
    Ok([of(KNOWN[0])?, of(KNOWN[1])?].concat())
}
