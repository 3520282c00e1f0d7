//! An HTTP request as the data of an event.

use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tidegate_core::{AppName, Json};

pub(super) struct Asked<'a> {
    pub(super) parts: &'a Parts,
    pub(super) app: &'a AppName,
    pub(super) params: &'a BTreeMap<String, String>,
    pub(super) body: &'a [u8],
    /// The token is one of ours, and no handler's business.
    pub(super) hide_token: bool,
}

/// The app and the decoded segments after it, of a path that begins with `/http/`.
pub(super) fn segments(path: &str) -> (String, Vec<String>) {
    let path = path.strip_prefix("/http/").unwrap_or_default();
    let (app, rest) = path.split_once('/').unwrap_or((path, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decode(app), rest.split('/').map(decode).collect())
}

/// `method`, `path` (from the app on), `url` (the path with its query), `params`, `query` (the first value of each name),
/// `headers` (in lower case, several values joined by a comma) and `body`, or `bodyBase64` if it is no text.
pub(super) fn data(asked: &Asked<'_>) -> Json {
    let uri = &asked.parts.uri;
    let prefix = format!("/http/{}", asked.app);
    let path = uri.path().strip_prefix(&prefix).filter(|path| !path.is_empty()).unwrap_or("/");
    let url = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut data = json!({
        "method": asked.parts.method.as_str(),
        "path": path,
        "url": url,
        "params": asked.params,
        "query": query(uri.query().unwrap_or_default()),
        "headers": headers(asked),
    });
    match std::str::from_utf8(asked.body) {
        Ok(text) if !text.contains('\0') => data["body"] = json!(text),
        _ => data["bodyBase64"] = json!(STANDARD.encode(asked.body)),
    }
    Json::from(data)
}

fn query(text: &str) -> Map<String, Value> {
    let mut query = Map::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let without_nul = |text: &str| text.replace('\0', "\u{fffd}");
        query.entry(without_nul(&name)).or_insert_with(|| Value::from(without_nul(&value)));
    }
    query
}

fn headers(asked: &Asked<'_>) -> Map<String, Value> {
    const HOP_BY_HOP: [HeaderName; 5] =
        [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE];
    let mut headers = Map::new();
    for name in asked.parts.headers.keys() {
        if HOP_BY_HOP.contains(name) || (asked.hide_token && *name == header::AUTHORIZATION) {
            continue;
        }
        let values = asked.parts.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        headers.insert(name.to_string(), Value::from(values.collect::<Vec<_>>().join(", ")));
    }
    headers
}
