//! What handlers take of a request, refused as problems and never as plain text.

use super::problem::Problem;
use super::state::{ApiState, Readiness};
use crate::services::Services;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_core::{Cause, InvalidName, PrincipalId};

/// The parameters of the path.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Path(params) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::invalid(format!("the path: {}", rejection.body_text())))?;
        Ok(Self(params))
    }
}

/// The query. An unknown parameter is refused: a misspelt filter must not list everything.
pub(super) struct Filter<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Filter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let Query(query) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| Problem::invalid(format!("the query: {}", rejection.body_text())))?;
        Ok(Self(query))
    }
}

/// A request without a query, and without a precondition that nobody would check.
pub(super) struct Plain;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl FromRequestParts<ApiState> for Plain {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        Filter::<Nothing>::from_request_parts(parts, state).await?;
        let guards = [header::IF_MATCH, header::IF_NONE_MATCH];
        match guards.iter().find(|name| parts.headers.contains_key(*name)) {
            Some(name) if parts.method != Method::GET => {
                Err(Problem::invalid(format!("{name} is not possible here; nothing was changed")))
            }
            _ => Ok(Self),
        }
    }
}

/// The query of a request for a value or for a list of all: there is none.
pub(super) struct NoQuery;

impl FromRequestParts<ApiState> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        Filter::<Nothing>::from_request_parts(parts, state).await.map(|_| Self)
    }
}

/// The body as text, within the limit.
pub(super) struct Text(pub(super) String);

impl FromRequest<ApiState> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let body = whole(request.into_body(), state.limits.body_bytes_max).await?;
        String::from_utf8(body).map(Self).map_err(|_| Problem::invalid_json("the body is not UTF-8"))
    }
}

/// All of a body, if it is at most `max` bytes long.
pub(super) async fn whole(body: Body, max: usize) -> Result<Vec<u8>, Problem> {
    let (mut whole, mut frames) = (Vec::new(), body.into_data_stream());
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| Problem::invalid(format!("the body could not be read: {error}")))?;
        whole.extend_from_slice(&frame);
        if whole.len() > max {
            let detail = format!("the body is longer than {max} bytes (http.body_bytes_max); nothing was done");
            return Err(Problem::too_large(detail));
        }
    }
    Ok(whole)
}

/// The body as the JSON of `T`, which is an object. A derived reader would take an array for one, field by field, and an
/// empty array for one that leaves all out.
pub(super) fn object<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Problem> {
    let is_other = !text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
    if is_other {
        return Err(Problem::invalid(format!("{what} is a JSON object")));
    }
    serde_json::from_str(text).map_err(|error| Problem::json(&error))
}

/// The services, if the store is there.
pub(super) struct Ready(pub(super) Arc<Services>);

impl FromRequestParts<ApiState> for Ready {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match &*state.readiness.borrow() {
            Readiness::Ready(services) => Ok(Self(services.clone())),
            Readiness::Unavailable(reason) => Err(Problem::unavailable(format!("nothing was done: {reason}"))),
            Readiness::ShuttingDown => Err(Problem::unavailable("nothing was done: the daemon is shutting down")),
        }
    }
}

/// Who asks.
pub(super) struct By(pub(super) PrincipalId);

impl FromRequestParts<ApiState> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<PrincipalId>().cloned();
        principal.map(Self).ok_or_else(|| Problem::unauthorized("the request bears no token"))
    }
}

/// A name out of the path or the query.
pub(super) fn name<T: TryFrom<String, Error = InvalidName>>(text: impl Into<String>) -> Result<T, Problem> {
    T::try_from(text.into()).map_err(|error| Problem::invalid(error.to_string()))
}

/// What a text of the query is looked for with. No stored text is longer, nor holds what a store cannot compare.
pub(super) fn searched(parameter: &str, text: String) -> Result<String, Problem> {
    if text.len() > SEARCHED_BYTES_MAX || text.chars().any(char::is_control) {
        let rule = format!("is at most {SEARCHED_BYTES_MAX} bytes long and holds no control characters");
        return Err(Problem::invalid(format!("{parameter} {rule}")));
    }
    Ok(text)
}

/// As long as the longest key.
const SEARCHED_BYTES_MAX: usize = 512;

/// A row's number out of the path.
pub(super) fn number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::invalid(format!("the id {text:?} is not a number")))
}

/// Whom the events of a request come from. A trace context that is none is left out, as its specification asks.
pub(super) fn cause(principal: PrincipalId, headers: &HeaderMap) -> Cause {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    Cause {
        traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
        ..Cause::outside(principal)
    }
}

/// Version 00 of <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_set = |text: &str| text.bytes().any(|b| b != b'0');
    matches!(parts[..], ["00", trace, span, flags]
        if (trace.len(), span.len(), flags.len()) == (32, 16, 2)
            && parts.iter().all(|part| is_hex(part)) && is_set(trace) && is_set(span))
}

/// Whether every `%` of a path begins an escape, and the escapes give UTF-8. What does not would be read as written.
pub(super) fn is_well_escaped(path: &str) -> bool {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => decoded.push((high * 16 + low) as u8),
                _ => return false,
            },
            byte => decoded.push(byte),
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (path, ok) in
            [("/a%2Fb", true), ("/%c3%bc", true), ("/%", false), ("/%2", false), ("/%zz", false), ("/%ff", false)]
        {
            assert_eq!(is_well_escaped(path), ok, "{path}");
        }
    }

    #[test]
    fn trace_contexts() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, ok) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), true),
            (format!("01-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()), false),
            (format!("00-{trace}-00f067aa0ba902b7"), false),
            ("x".to_owned(), false),
        ] {
            assert_eq!(is_traceparent(&text), ok, "{text}");
        }
    }
}
