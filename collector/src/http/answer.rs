//! Answers: complete in memory, compressed where that pays, and counted until they are sent.

use super::encoding;
use super::error::ApiError;
use super::limits::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Smaller bodies are not worth compressing.
const GZIP_BYTES_MIN: usize = 1 << 10;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    is_compressed: bool,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            is_compressed: false,
        }
    }

    pub(super) fn ok(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(StatusCode::OK, content_type, body)
    }

    /// Compresses the body if the client takes that. Costs some 10 ms for a megabyte, so not in the thread of I/O.
    pub(super) fn compressed(mut self, headers: &HeaderMap) -> Self {
        if self.body.len() > GZIP_BYTES_MIN && encoding::takes_gzip(&joined(headers, ACCEPT_ENCODING)) {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing into memory does not fail; if it did, the body would go as it is.
            if let Ok(body) = encoder.write_all(&self.body).and_then(|()| encoder.finish()) {
                (self.body, self.is_compressed) = (body, true);
            }
        }
        self
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Self::new(error.status, JSON, error.json())
    }
}

/// All values of a header that is a list.
pub(super) fn joined(headers: &HeaderMap, name: hyper::header::HeaderName) -> String {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.join(",")
}

/// How many bytes of answers wait to be taken by clients.
#[derive(Debug, Clone)]
pub(super) struct Unsent {
    kibibytes: Arc<Semaphore>,
    kibibytes_max: usize,
}

/// A body, counted for as long as it is anywhere on its way.
struct Counted {
    body: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Unsent {
    pub(super) fn new(limits: &Limits) -> Self {
        let kibibytes_max = (limits.unsent_bytes_max >> 10).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            kibibytes: Arc::new(Semaphore::new(kibibytes_max)),
            kibibytes_max,
        }
    }

    fn count(&self, body: Vec<u8>) -> Result<Bytes, ApiError> {
        let kibibytes = body.len().div_ceil(1 << 10);
        if kibibytes > self.kibibytes_max {
            return Err(ApiError::too_much(format!(
                "the answer has {kibibytes} KiB, more than the {} that an answer may have; ask for fewer series or a shorter range",
                self.kibibytes_max
            )));
        }
        let permits = u32::try_from(kibibytes).unwrap_or(u32::MAX);
        match self.kibibytes.clone().try_acquire_many_owned(permits) {
            Ok(permit) => Ok(Bytes::from_owner(Counted {
                body,
                _permit: permit,
            })),
            Err(_) => Err(ApiError::unavailable(
                "too many answers wait for clients to take them; try again",
            )),
        }
    }

    /// The answer as it is sent, or the reason why it is not.
    pub(super) fn response(&self, answer: Answer) -> Response<Full<Bytes>> {
        let (status, content_type, is_compressed) =
            (answer.status, answer.content_type, answer.is_compressed);
        // Errors are small, and told even when nothing else is.
        let is_small = answer.body.len() <= GZIP_BYTES_MIN;
        let body = if is_small {
            Ok(answer.body.into())
        } else {
            self.count(answer.body)
        };
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return self.response(refusal.into()),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        if is_compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // Whatever follows the head is not read.
            StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Which format the client wants.
pub(super) fn format(headers: &HeaderMap) -> crate::exposition::Format {
    encoding::format(&joined(headers, ACCEPT))
}
