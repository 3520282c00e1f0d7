//! `…/kv/{collection}/{key}`: values, with their version as `ETag`.

use super::extract::{By, Filter, Params, Text, name, page_limit};
use super::problem::Problem;
use super::state::ApiState;
use super::view::{Entries, EntryView};
use crate::server::Services;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tidegate_core::{AppName, Cause, Collection, Json as JsonText, Key, Version};
use tidegate_driver::{Guard, KvPage};

struct At {
    app: AppName,
    collection: Collection,
    key: Key,
}

impl At {
    fn parse((app, collection, key): (String, String, String)) -> Result<Self, Problem> {
        Ok(Self { app: name(app)?, collection: name(collection)?, key: name(key)? })
    }

    fn missing(&self) -> Problem {
        Problem::missing("key_not_found", format!("there is no {}/{} in {}", self.collection, self.key, self.app))
    }
}

pub(super) async fn get(services: Services, Params(at): Params<(String, String, String)>) -> Result<Response, Problem> {
    let at = At::parse(at)?;
    let entry =
        services.kv.get(&at.app, &at.collection, &at.key).await.map_err(|error| Problem::port(&at.app, error))?;
    let entry = entry.ok_or_else(|| at.missing())?;
    let mut response = entry.value.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ETAG, etag(entry.version));
    if let Ok(updated_at) = HeaderValue::from_str(&entry.updated_at.to_rfc3339()) {
        headers.insert("tidegate-updated-at", updated_at);
    }
    Ok(response)
}

pub(super) async fn put(
    services: Services,
    State(state): State<ApiState>,
    By(principal): By,
    Params(at): Params<(String, String, String)>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    let at = At::parse(at)?;
    let guard = guard(&headers)?;
    let (length, max) = (body.trim().len(), state.limits.data_bytes_max);
    if length > max {
        let detail = format!("the value is {length} bytes long; at most {max} are allowed; nothing was changed");
        return Err(Problem::too_large(detail));
    }
    let value = JsonText::parse(&body).map_err(|error| Problem::new(400, "invalid_json", error.to_string()))?;
    let cause = cause(principal, &headers);
    let done = services.kv.put(&at.app, &at.collection, &at.key, value, guard, &cause).await;
    let done = done.map_err(|error| Problem::port(&at.app, error))?;
    services.wake.wake(done.emitted.woken.iter().copied());
    let body = json!({
        "version": done.version,
        "updated_at": done.updated_at.to_rfc3339(),
        "event_id": done.emitted.event_id,
        "deliveries": done.emitted.woken.len(),
    });
    Ok(([(header::ETAG, etag(done.version))], Json(body)).into_response())
}

pub(super) async fn delete(
    services: Services,
    By(principal): By,
    Params(at): Params<(String, String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let at = At::parse(at)?;
    let guard = guard(&headers)?;
    let cause = cause(principal, &headers);
    let done = services.kv.delete(&at.app, &at.collection, &at.key, guard, &cause).await;
    let done = done.map_err(|error| Problem::port(&at.app, error))?.ok_or_else(|| at.missing())?;
    services.wake.wake(done.emitted.woken);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    prefix: String,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    services: Services,
    Params((app, collection)): Params<(String, String)>,
    Filter(page): Filter<Page>,
) -> Result<Response, Problem> {
    let (app, collection): (AppName, Collection) = (name(app)?, name(collection)?);
    let limit = page_limit(page.limit)?;
    let after = page.cursor.map(name::<Key>).transpose()?;
    let page = KvPage { prefix: page.prefix, after, limit };
    let entries = services.kv.list(&app, &collection, &page).await.map_err(|error| Problem::port(&app, error))?;
    let cursor = entries.last().filter(|_| entries.len() == limit as usize).map(|entry| &entry.key);
    Ok(Json(Entries { entries: entries.iter().map(EntryView::from).collect(), cursor }).into_response())
}

fn etag(version: Version) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", version.0)).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn cause(principal: tidegate_core::PrincipalId, headers: &HeaderMap) -> Cause {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Cause { traceparent, ..Cause::outside(principal) }
}

/// `If-Match: "version"` and `If-None-Match: *`.
fn guard(headers: &HeaderMap) -> Result<Guard, Problem> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Guard::Any),
        (None, Some("*")) => Ok(Guard::Absent),
        (Some(version), None) => version
            .trim_matches('"')
            .parse()
            .map(|version| Guard::Version(Version(version)))
            .map_err(|_| Problem::invalid("If-Match takes one version as an ETag gave it, such as \"7\"")),
        (None, Some(_)) => Err(Problem::invalid("If-None-Match takes only *: the key must be absent")),
        (Some(_), Some(_)) => Err(Problem::invalid("send If-Match or If-None-Match, not both")),
    }
}
