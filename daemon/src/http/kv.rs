//! `…/kv/{collection}/{key}`: values. The `ETag` of a value is its version.

use super::etag::{etag, guard, is_unchanged, not_modified};
use super::extract::{Filter, NoQuery, Params, Ready, Requester, Text, name, search_text};
use super::paging::{self, Limit, key_cursor};
use super::problem::Problem;
use super::state::ApiState;
use super::trace_context::cause;
use super::view::{Entries, EntryView};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tidegate_core::{AppName, Collection, Json as JsonText, Key};
use tidegate_ports::KvPage;

const UPDATED_AT: HeaderName = HeaderName::from_static("tidegate-updated-at");

struct KeyPath {
    app: AppName,
    collection: Collection,
    key: Key,
}

impl KeyPath {
    fn parse((app, collection, key): (String, String, String)) -> Result<Self, Problem> {
        Ok(Self { app: name(app)?, collection: name(collection)?, key: name(key)? })
    }

    fn missing(&self) -> Problem {
        Problem::missing("key_not_found", format!("there is no key {}/{} in {}", self.collection, self.key, self.app))
    }
}

/// The body is the value, byte for byte as it was put.
pub(super) async fn get(
    Ready(services): Ready,
    _: NoQuery,
    Params(at): Params<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = KeyPath::parse(at)?;
    let entry =
        services.kv.get(&at.app, &at.collection, &at.key).await.map_err(|error| Problem::in_app(&at.app, error))?;
    let entry = entry.ok_or_else(|| at.missing())?;
    let etag = etag(entry.version.0);
    if is_unchanged(&headers, &etag) {
        return Ok(not_modified(etag));
    }
    let updated_at =
        HeaderValue::from_str(&entry.updated_at.to_rfc3339()).expect("a time in RFC 3339 is visible ASCII");
    let content_type = HeaderValue::from_static("application/json");
    let headers = [(header::CONTENT_TYPE, content_type), (header::ETAG, etag), (UPDATED_AT, updated_at)];
    Ok((headers, entry.value.to_string()).into_response())
}

pub(super) async fn put(
    Ready(services): Ready,
    State(state): State<ApiState>,
    Requester(principal): Requester,
    _: NoQuery,
    Params(at): Params<(String, String, String)>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    let at = KeyPath::parse(at)?;
    let guard = guard(&Method::PUT, &headers)?;
    let (length, max) = (body.trim().len(), state.limits.data_bytes_max);
    if length > max {
        let detail = format!(
            "the value is {length} bytes long, but at most {max} bytes are allowed (scripts.data_bytes_max); nothing was changed"
        );
        return Err(Problem::too_large(detail));
    }
    let value = JsonText::parse(&body).map_err(|error| Problem::invalid_json(error.to_string()))?;
    let cause = cause(principal, &headers);
    let mutation = services.kv.put(&at.app, &at.collection, &at.key, value, guard, &cause).await;
    let mutation = mutation.map_err(|error| Problem::in_app(&at.app, error))?;
    let body = json!({
        "version": mutation.version,
        "updated_at": mutation.updated_at.to_rfc3339(),
        "event_id": mutation.emitted.event_id,
        "deliveries": mutation.emitted.lanes.len(),
    });
    Ok(([(header::ETAG, etag(mutation.version.0))], Json(body)).into_response())
}

pub(super) async fn delete(
    Ready(services): Ready,
    Requester(principal): Requester,
    _: NoQuery,
    Params(at): Params<(String, String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let at = KeyPath::parse(at)?;
    let guard = guard(&Method::DELETE, &headers)?;
    let cause = cause(principal, &headers);
    let mutation = services.kv.delete(&at.app, &at.collection, &at.key, guard, &cause).await;
    mutation.map_err(|error| Problem::in_app(&at.app, error))?.ok_or_else(|| at.missing())?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    prefix: String,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    Ready(services): Ready,
    Params((app, collection)): Params<(String, String)>,
    Filter(query): Filter<ListQuery>,
) -> Result<Response, Problem> {
    let (app, collection): (AppName, Collection) = (name(app)?, name(collection)?);
    let limit = Limit::new(query.limit)?;
    let after = paging::key(query.cursor.as_deref())?;
    let page = KvPage { prefix: search_text("prefix", query.prefix)?, after, size: limit.size() };
    let entries = services.kv.list(&app, &collection, &page).await.map_err(|error| Problem::in_app(&app, error))?;
    let cursor = paging::next(&entries, |entry| key_cursor(&entry.key));
    Ok(Json(Entries { entries: entries.items.iter().map(EntryView::from).collect(), cursor }).into_response())
}
