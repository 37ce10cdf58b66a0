//! The collector's pages over HTTP/1.1: queries, facts, health, and metrics for Prometheus.
//!
//! | route | answer |
//! |---|---|
//! | `/metrics/query` | JSON: points of series |
//! | `/metrics/explain` | JSON: what each tier has of them |
//! | `/metrics/info` | JSON: schemas, tiers, usage |
//! | `/metrics/health` | JSON, 200 or 503 |
//! | `/metrics` | the collector's own metrics and the host's totals |
//! | `/metrics/machines` | the newest values of live machines |
//! | `/-/healthy`, `/-/ready` | 200, or 503 |
//!
//! [`serve`] starts a thread that has all sockets and timers; what is answered comes from a [`Backend`],
//! which it asks in at most two further threads. The rules:
//!
//! - Everything is bounded ([`Limits`]): connections, bytes of a request, the time for its head, its
//!   answer and the sending of it, requests that wait, bytes of answers that are not sent yet.
//! - An answer is complete in memory before its first byte is sent. So a client that reads slowly, or not at
//!   all, holds no lock, no slab and no thread; it holds its answer, until the time for sending is over.
//! - All is read-only: GET and HEAD, no bodies, no cookies, no CORS.
//! - What is refused is refused with a reason: `{"error":{"reason":"…","parameter":"…"}}`.

mod answer;
mod backend;
mod connection;
mod encoding;
mod error;
mod guard;
mod limits;
mod listener;
mod parameters;
mod patient;
mod query;
mod respond;
mod route;
mod server;

pub use backend::{Backend, Health};
pub use error::ApiError;
pub use limits::Limits;
pub use server::{ServeError, Server, serve};
