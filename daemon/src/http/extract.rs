//! Extractors of requests. A rejection is a [`Problem`], never plain text.

use super::json;
use super::problem::Problem;
use super::state::{ApiState, HttpLimits, Readiness};
use crate::services::Services;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tidegate_core::{InvalidName, PrincipalId};

/// The decoded parameters of the path.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Path(params) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::invalid(format!("the path is not valid: {}", rejection.body_text())))?;
        Ok(Self(params))
    }
}

/// The query, read into `T`.
///
/// `T` denies unknown fields: otherwise a misspelled filter would select everything.
pub(super) struct Filter<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Filter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let Query(query) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| Problem::invalid(format!("the query is not valid: {}", query_error(&rejection))))?;
        Ok(Self(query))
    }
}

/// The reason why a query was rejected, without the names of Rust types.
fn query_error(rejection: &QueryRejection) -> String {
    let text = rejection.body_text();
    let message = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    match message.split_once(": ") {
        Some((parameter, message)) if !parameter.contains(' ') => json::describe(parameter, message),
        _ => json::describe("", message),
    }
}

/// A request without a query, and without a precondition that its handler would ignore.
pub(super) struct Plain;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyQuery {}

impl FromRequestParts<ApiState> for Plain {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        PlainQuery::<EmptyQuery>::from_request_parts(parts, state).await.map(|_| Self)
    }
}

/// A request with a query, and without a precondition that its handler would ignore.
pub(super) struct PlainQuery<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for PlainQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Filter(query) = Filter::from_request_parts(parts, state).await?;
        let guards = [header::IF_MATCH, header::IF_NONE_MATCH];
        match guards.iter().find(|name| parts.headers.contains_key(*name)) {
            Some(name) if parts.method != Method::GET => {
                Err(Problem::invalid(format!("this path does not support the header {name}; nothing was changed")))
            }
            _ => Ok(Self(query)),
        }
    }
}

/// A request without a query. Its handler reads the preconditions, if there are any.
pub(super) struct NoQuery;

impl FromRequestParts<ApiState> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        Filter::<EmptyQuery>::from_request_parts(parts, state).await.map(|_| Self)
    }
}

/// The body as text, at most `http.body_bytes_max` long.
pub(super) struct Text(pub(super) String);

impl FromRequest<ApiState> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let body = read_body(request.into_body(), state.limits).await?;
        String::from_utf8(body).map(Self).map_err(|_| Problem::invalid_json("the body is not UTF-8"))
    }
}

/// Reads a body of at most `body_bytes_max` bytes within `body_timeout`.
///
/// The error of `axum::body::to_bytes` does not say whether the body was too long or broken.
pub(super) async fn read_body(body: Body, limits: HttpLimits) -> Result<Vec<u8>, Problem> {
    let (max, timeout) = (limits.body_bytes_max, limits.body_timeout);
    let read = async {
        let (mut bytes, mut frames) = (Vec::new(), body.into_data_stream());
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| Problem::invalid(format!("the body could not be read: {error}")))?;
            bytes.extend_from_slice(&frame);
            if bytes.len() > max {
                let detail = format!("the body is longer than {max} bytes (http.body_bytes_max); nothing was done");
                return Err(Problem::too_large(detail));
            }
        }
        Ok(bytes)
    };
    tokio::time::timeout(timeout, read).await.unwrap_or_else(|_| {
        let ms = timeout.as_millis();
        let detail = format!("the body did not arrive within {ms} ms (http.body_timeout_ms); nothing was done");
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
    })
}

/// The services, if the store is available.
pub(super) struct Ready(pub(super) Arc<Services>);

impl FromRequestParts<ApiState> for Ready {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match &*state.readiness.borrow() {
            Readiness::Ready(services) => Ok(Self(services.clone())),
            Readiness::Unavailable(reason) => {
                Err(Problem::unavailable(format!("the daemon is not ready: {reason}; nothing was done")))
            }
            Readiness::ShuttingDown => Err(Problem::unavailable("the daemon is shutting down; nothing was done")),
        }
    }
}

/// The principal of the request.
pub(super) struct Requester(pub(super) PrincipalId);

impl FromRequestParts<ApiState> for Requester {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<PrincipalId>().cloned();
        principal.map(Self).ok_or_else(|| Problem::unauthorized("the request has no bearer token"))
    }
}

/// A name in the path or the query.
pub(super) fn name<T: TryFrom<String, Error = InvalidName>>(text: impl Into<String>) -> Result<T, Problem> {
    T::try_from(text.into()).map_err(|error| Problem::invalid(error.to_string()))
}

/// A search text in the query. No stored text is longer or contains control characters, and a store
/// may fail to compare such a text.
pub(super) fn search_text(parameter: &str, text: String) -> Result<String, Problem> {
    if text.len() > SEARCH_TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        let rule =
            format!("must be at most {SEARCH_TEXT_BYTES_MAX} bytes long and must not contain control characters");
        return Err(Problem::invalid(format!("{parameter} {rule}")));
    }
    Ok(text)
}

/// The length of the longest key.
const SEARCH_TEXT_BYTES_MAX: usize = 512;

/// The number of a row in the path.
pub(super) fn row_number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::invalid(format!("the id {text:?} is not a number")))
}
