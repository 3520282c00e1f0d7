//! What handlers take of a request, refused as problems and never as plain text.

use super::problem::Problem;
use super::state::{ApiState, Readiness};
use crate::server::Services;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tidegate_core::{InvalidName, PrincipalId};

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

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::invalid(format!("the query: {}", rejection.body_text())))?;
        Ok(Self(query))
    }
}

/// The body as text, within the limit.
pub(super) struct Text(pub(super) String);

impl FromRequest<ApiState> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let max = state.limits.body_bytes_max;
        let (mut body, mut length) = (Vec::new(), 0_usize);
        let mut frames = request.into_body().into_data_stream();
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| Problem::invalid(format!("the body could not be read: {error}")))?;
            length = length.saturating_add(frame.len());
            if length <= max {
                body.extend_from_slice(&frame);
            } else if length > max.saturating_add(DRAINED_MAX) {
                break;
            }
        }
        if length > max {
            let detail = format!("the body is longer than {max} bytes (http.body_bytes_max); nothing was changed");
            return Err(Problem::too_large(detail));
        }
        String::from_utf8(body).map(Self).map_err(|_| Problem::new(400, "invalid_json", "the body is not UTF-8"))
    }
}

/// How much of a body that is too long is read over all the same. A caller that is still sending when the connection
/// closes does not get to see why.
const DRAINED_MAX: usize = 8 << 20;

/// The services, if the store is there.
impl FromRequestParts<ApiState> for Services {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        let reason = match &*state.readiness.borrow() {
            Readiness::Ready(services) => return Ok(services.clone()),
            Readiness::Unavailable(reason) => reason.clone(),
            Readiness::ShuttingDown => "the daemon is shutting down".to_owned(),
        };
        Err(Problem::unavailable(format!("nothing was done: {reason}")).into_response())
    }
}

/// Who asks.
pub(super) struct By(pub(super) PrincipalId);

impl FromRequestParts<ApiState> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<PrincipalId>().cloned();
        principal.map(Self).ok_or_else(|| Problem::new(401, "unauthorized", "the request bears no token"))
    }
}

/// A name out of the path or the query.
pub(super) fn name<T: TryFrom<String, Error = InvalidName>>(text: impl Into<String>) -> Result<T, Problem> {
    T::try_from(text.into()).map_err(|error| Problem::invalid(error.to_string()))
}

/// How many entries a page has: 100 unless said otherwise, at most 1,000.
pub(super) fn page_limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(100) {
        limit @ 1..=1_000 => Ok(limit),
        limit => Err(Problem::invalid(format!("limit must be from 1 to 1000, it is {limit}"))),
    }
}

/// A number that an earlier page gave as its cursor.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<i64>, Problem> {
    text.map(|text| text.parse().map_err(|_| Problem::invalid(format!("{text:?} is no cursor of this list"))))
        .transpose()
}
