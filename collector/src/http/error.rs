//! Why a request is refused.

use crate::exposition::MachinesError;
use hyper::StatusCode;
use serde_json::json;

/// A refusal: a status, a reason for the person who asked, and the parameter that is to blame, if one is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ApiError {
    pub(super) status: StatusCode,
    pub(super) reason: String,
    pub(super) parameter: Option<String>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            parameter: None,
        }
    }

    /// 400: a parameter cannot be understood.
    pub fn parameter(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            parameter: Some(name.into()),
            ..Self::new(StatusCode::BAD_REQUEST, reason)
        }
    }

    /// 404: what was asked for does not exist.
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// 422: understood, but the answer would exceed a limit. Say how to ask for less.
    pub fn too_much(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, reason)
    }

    /// 503: not at present; the same request may work later.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// The same, blamed on a parameter.
    #[must_use]
    pub fn of(self, parameter: impl Into<String>) -> Self {
        Self {
            parameter: Some(parameter.into()),
            ..self
        }
    }

    /// `{"error":{"reason":"…","parameter":"…"}}`.
    pub(super) fn json(&self) -> Vec<u8> {
        let error = match &self.parameter {
            Some(parameter) => json!({"reason": self.reason, "parameter": parameter}),
            None => json!({"reason": self.reason}),
        };
        format!("{}\n", json!({ "error": error })).into_bytes()
    }
}

impl From<MachinesError> for ApiError {
    fn from(error: MachinesError) -> Self {
        match error {
            MachinesError::TooMany(_) => Self::too_much(error.to_string()).of("match"),
            MachinesError::TooLate => Self::unavailable(error.to_string()).of("match"),
        }
    }
}
