//! Errors as `application/problem+json` (RFC 9457), with a code that programs can rely on.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidegate_core::{AppName, Fate, StoreError};
use tidegate_driver::PortError;

/// Why a request was refused. Nothing was changed, but where the code is `store_outcome_unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after_s: Option<u32>,
}

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, detail: detail.into(), retry_after_s: None }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", detail)
    }

    pub(super) fn missing(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(404, code, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "payload_too_large", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(503, "store_unavailable", detail) }
    }

    /// JSON that does not parse, or parses into something else.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Data => Self::invalid(error.to_string()),
            _ => Self::new(400, "invalid_json", error.to_string()),
        }
    }

    /// What a store said about a request for `app`.
    pub(super) fn port(app: &AppName, error: PortError) -> Self {
        match error {
            PortError::UnknownApp => {
                Self::missing("unknown_app", format!("there is no app {app}; `tidegate deploy` makes one"))
            }
            PortError::PreconditionFailed { current } => {
                let current = current.map_or("absent".to_owned(), |version| format!("at version {}", version.0));
                Self::new(412, "precondition_failed", format!("the key is {current}; nothing was changed"))
            }
            PortError::IdempotencyKeyReused => {
                let detail = "this Idempotency-Key was used for another request; nothing was emitted";
                Self::new(422, "idempotency_key_reused", detail)
            }
            PortError::Store(error) => Self::store(&error),
            other => Self::new(500, "internal", other.to_string()),
        }
    }

    pub(super) fn store(error: &StoreError) -> Self {
        match error.fate {
            Fate::NotApplied => Self::unavailable(error.message.clone()),
            Fate::Unknown => Self {
                retry_after_s: Some(1),
                ..Self::new(
                    503,
                    "store_outcome_unknown",
                    format!("it may have been done all the same: {}", error.message),
                )
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(HeaderName::from_static("tidegate-code"), HeaderValue::from_static(self.code));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
