//! One connection: requests one after the other, until either side has enough.

use super::answer::Answer;
use super::error::ApiError;
use super::patient::Patient;
use super::respond::Shared;
use super::server::stopped;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long, and for how much, a peer that was refused is still read, so that it sees why: closing a socket
/// with unread bytes in it takes back what was written to it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 << 10;

/// Serves `stream` until it ends, or `stop` says so and the request at hand is answered.
pub(super) async fn converse<S>(stream: S, shared: Arc<Shared>, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = shared.limits;
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let shared = shared.clone();
        Box::pin(async move { Ok::<_, std::convert::Infallible>(shared.respond(request).await) })
    });
    let stream = Patient::new(stream, limits.send_timeout);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_header_size(limits.head_bytes_max)
        // What does not even fit in here is refused without a body.
        .max_buf_size((limits.head_bytes_max * 2).max(64 << 10))
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = stopped(stop) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    match ended {
        Ok(()) => {
            let _ = stream.shutdown().await;
        }
        // An idle connection just ends; half a request is told.
        Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
            let reason = format!(
                "the request's head did not arrive within {} s",
                limits.head_timeout.as_secs()
            );
            refuse(stream, ApiError::new(StatusCode::REQUEST_TIMEOUT, reason)).await;
        }
        // hyper has written a status.
        Err(error) if error.is_parse() => linger(stream).await,
        // The peer is gone, or did not take its answer.
        Err(_) => {}
    }
}

/// Tells `stream` why it is closed, in one small write.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, error: ApiError) {
    let status = error.status;
    let answer = Answer::from(error);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.content_type,
        answer.body.len(),
    );
    let whole = [head.as_bytes(), &answer.body].concat();
    if let Ok(Ok(())) = timeout(LINGER, stream.write_all(&whole)).await {
        linger(stream).await;
    }
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let read_rest = async {
        stream.shutdown().await?;
        let mut buffer = [0; 4 << 10];
        let mut total = 0;
        while total < LINGER_BYTES_MAX {
            match stream.read(&mut buffer).await? {
                0 => break,
                count => total += count,
            }
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(LINGER, read_rest).await;
}
