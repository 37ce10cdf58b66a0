//! From a request to its answer, and the two threads that ask the backend.

use super::answer::{self, Answer, JSON, TEXT, Unsent};
use super::backend::Backend;
use super::error::ApiError;
use super::limits::Limits;
use super::parameters::Parameters;
use super::query;
use super::route::{INDEX, Route, find};
use crate::exposition::{MachineLimits, Page, own};
use crate::selector::{Selector, SelectorError};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

/// Threads that ask the backend. One long query does not keep Prometheus waiting, and a third core is a machine's.
pub(super) const BACKEND_THREADS: usize = 2;

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
    pub(super) fn new(backend: Arc<dyn Backend>, limits: Limits, is_loopback: bool) -> Self {
        Self {
            backend,
            limits,
            is_loopback,
            unsent: Unsent::new(&limits),
            threads: Arc::new(Semaphore::new(BACKEND_THREADS)),
            pending: Semaphore::new(limits.pending_max),
            answered: Mutex::default(),
        }
    }

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
        if !matches!(route, Route::Query | Route::Explain | Route::Machines) {
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
                let params = query::parse(parameters)?;
                self.ask(deadline, headers, move || {
                    Ok(Answer::ok(JSON, backend.query(&params, deadline)?))
                })
                .await
            }
            Route::Explain => {
                let params = query::parse(parameters)?;
                self.ask(deadline, headers, move || {
                    Ok(Answer::ok(JSON, backend.explain(&params, deadline)?))
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
        let wrong = move |error: SelectorError| ApiError::parameter(name, error.to_string());
        let parse = move |text: &str| text.parse().map_err(wrong);
        parameters
            .all(name)
            .map(parse)
            .collect::<Result<Vec<Selector>, ApiError>>()
    };
    Ok([of(KNOWN[0])?, of(KNOWN[1])?].concat())
}
