//! The thread that has all sockets: listens, accepts, and ends.

use super::backend::Backend;
use super::connection::{converse, refuse};
use super::error::ApiError;
use super::limits::Limits;
use super::listener::Listener;
use super::respond::{BACKEND_THREADS, Shared};
use crate::collect::Listen;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};

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
    /// `none` is no place for a server.
    #[error("nowhere to listen")]
    Nowhere,
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
    let is_loopback = matches!(local_addr, Listen::Tcp(_)) && !local_addr.is_exposed();
    let shared = Arc::new(Shared::new(backend, limits, is_loopback));
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
