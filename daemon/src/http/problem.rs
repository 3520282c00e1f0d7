//! Errors as `application/problem+json` (RFC 9457), with a stable code for programs.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tidegate_core::{AppName, Claim, Failure, Fate, InboxFailureKind, StoreError, StoreErrorKind};
use tidegate_ports::PortError;

/// An error response.
///
/// The request changed nothing, unless the detail says that it may have been applied. That is the
/// case for the code `store_outcome_unknown` and for a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    parts: Vec<Part>,
    retry_after_s: Option<u32>,
    execution: Option<Claim>,
}

/// The header with the id of the execution that made the reply.
pub(super) const EXECUTION_ID: HeaderName = HeaderName::from_static("tidegate-execution-id");

pub(super) fn execution_id(execution: Claim) -> HeaderValue {
    HeaderValue::from_str(&execution.to_string()).expect("an execution id is two numbers and a dash")
}

/// One of several errors in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    /// The place of the error in the request, such as `trigger receipt`.
    pub(super) at: String,
    pub(super) message: String,
}

impl Part {
    pub(super) fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}

/// The `retry-after` header of an unavailable store, in seconds.
const RETRY_AFTER_S: u32 = 1;

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), parts: Vec::new(), retry_after_s: None, execution: None }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub(super) fn invalid_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", detail)
    }

    pub(super) fn missing(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(super) fn not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub(super) fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(super) fn script_invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "script_invalid", detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let retry_after_s = Some(RETRY_AFTER_S);
        Self { retry_after_s, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail) }
    }

    /// A request that may succeed after `retry_after_s` seconds.
    pub(super) fn too_many(detail: impl Into<String>, retry_after_s: u32) -> Self {
        let retry_after_s = Some(retry_after_s);
        Self { retry_after_s, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail) }
    }

    /// A sync call that failed.
    pub(super) fn execution(failure: &Failure, execution: Option<Claim>) -> Self {
        let InboxFailureKind { code, status } = failure.error.into();
        let status = StatusCode::from_u16(status).expect("the core maps each error to a valid status");
        let requested_s =
            failure.retry_after.map(|delay| u32::try_from(delay.0.div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1));
        let is_temporary = status == StatusCode::SERVICE_UNAVAILABLE;
        let retry_after_s = requested_s.or(Some(RETRY_AFTER_S)).filter(|_| is_temporary);
        Self { retry_after_s, execution, ..Self::new(status, code.code(), failure.message.clone()) }
    }

    /// The problem for a caller who is no member of the app. The reason may name scripts, files and
    /// the store, so it is only for the log.
    pub(super) fn without_reason(self) -> Self {
        let detail = match self.code {
            "invalid_json" => {
                "the body of the request is not the JSON that is expected; nothing was changed; correct it"
            }
            "handler_missing" | "principal_denied" => "nothing answers this path at the moment; nothing was changed",
            "effects_conflict" => "others changed the same data at the same time; nothing was changed; try again",
            "timeout" => "the request was not answered in time; nothing was changed",
            "lost" | "store_outcome_unknown" => "the outcome is unknown; the request may have been applied",
            "loop_refused" => "the request is part of an endless loop; nothing was changed",
            _ if self.status == StatusCode::SERVICE_UNAVAILABLE => {
                "the request cannot be answered at the moment; nothing was changed; try again later"
            }
            _ if self.status.is_server_error() => "the request could not be answered; nothing was changed",
            _ => return self,
        };
        Self { detail: detail.to_owned(), parts: Vec::new(), ..self }
    }

    /// Adds all errors, in the order of the request.
    pub(super) fn with_parts(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }

    /// An error of the store for a request in `app`.
    pub(super) fn in_app(app: &AppName, error: PortError) -> Self {
        match error {
            PortError::UnknownApp => {
                Self::missing("unknown_app", format!("there is no app {app}; `tidegate deploy` creates it"))
            }
            PortError::PreconditionFailed { current } => {
                let current = current.map_or("absent".to_owned(), |version| format!("at version {}", version.0));
                let detail = format!("the precondition failed: the key is {current}; nothing was changed");
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
            }
            PortError::IdempotencyKeyReused => {
                let detail = "this Idempotency-Key was used for a different request; nothing was emitted";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
            }
            PortError::Store(error) => Self::store(&error),
            other => Self::unexpected(&other),
        }
    }

    /// An error of the store for a request outside of any app.
    pub(super) fn without_app(error: &PortError) -> Self {
        match error {
            PortError::Store(error) => Self::store(error),
            other => Self::unexpected(other),
        }
    }

    fn unexpected(error: &PortError) -> Self {
        tracing::error!("the store returned an error that the API does not expect: {error}");
        Self::internal(error.to_string())
    }

    fn store(error: &StoreError) -> Self {
        if error.kind == StoreErrorKind::TooLarge {
            tracing::warn!("a request of the API has too much data for the store: {}", error.report());
            return Self::too_large(
                "the request has more data than the store can take; nothing was changed".to_owned(),
            );
        }
        if error.kind.is_refusal() {
            tracing::error!("the store refused a request of the API: {}", error.report());
            return Self::internal("the store refused the request; nothing was changed; see the log of the daemon");
        }
        // The dispatcher logs the outage once, as a warning.
        tracing::debug!("the store failed a request of the API: {}", error.report());
        match error.fate {
            Fate::NotApplied => Self::unavailable(format!("{}; nothing was changed", state_of_store(error))),
            Fate::Unknown => {
                let detail = "the store did not confirm the request, so it may have been applied; read the state \
                              before you repeat the request";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_outcome_unknown", detail)
            }
        }
    }
}

/// A sentence about a store that failed. The error itself names files, hosts and roles, which are
/// for the log and not for clients.
pub(super) fn state_of_store(error: &StoreError) -> &'static str {
    match error.kind {
        StoreErrorKind::Replaced => {
            "a file of the store was deleted or replaced while the daemon runs; put the file back or restart the daemon"
        }
        StoreErrorKind::Unavailable if error.message == StoreError::READ_ONLY => StoreError::READ_ONLY,
        StoreErrorKind::Contention => "other requests change the same rows of the store; try again",
        StoreErrorKind::Unavailable
        | StoreErrorKind::Refused
        | StoreErrorKind::TooLarge
        | StoreErrorKind::Unstorable => {
            "the store does not answer or refuses writes; the log of the daemon has the reason"
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(execution) = self.execution {
            body["execution_id"] = json!(execution.to_string());
        }
        if !self.parts.is_empty() {
            body["errors"] = json!(self.parts);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(HeaderName::from_static("tidegate-code"), HeaderValue::from_static(self.code));
        if let Some(execution) = self.execution {
            headers.insert(EXECUTION_ID, execution_id(execution));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
