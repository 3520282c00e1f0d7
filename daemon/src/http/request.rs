//! Converts an HTTP request to the data of an event.

use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tidegate_core::{AppName, Json};

pub(super) struct HttpCall<'a> {
    pub(super) parts: &'a Parts,
    pub(super) app: &'a AppName,
    pub(super) params: &'a BTreeMap<String, String>,
    pub(super) body: &'a [u8],
    /// Leaves `authorization` out of the headers: its token is for the daemon, not for the handler.
    pub(super) hide_token: bool,
}

/// The app and the decoded segments after it, of a path `/http/{app}/{segments}`.
pub(super) fn segments(path: &str) -> (String, Vec<String>) {
    let path = path.strip_prefix("/http/").unwrap_or_default();
    let (app, rest) = path.split_once('/').unwrap_or((path, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decode(app), rest.split('/').map(decode).collect())
}

/// An object with these fields:
///
/// * `method`.
/// * `path`: the path after the app.
/// * `url`: `path` with the query.
/// * `params`: the parameters of the trigger's path.
/// * `query`: the first value of each name.
/// * `headers`: names in lower case. Several values of one name are joined by a comma.
/// * `body`, or `bodyBase64` if the body is not UTF-8 or contains a NUL.
pub(super) fn data(call: &HttpCall<'_>) -> Json {
    let uri = &call.parts.uri;
    let prefix = format!("/http/{}", call.app);
    let path = uri.path().strip_prefix(&prefix).filter(|path| !path.is_empty()).unwrap_or("/");
    let url = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut data = json!({
        "method": call.parts.method.as_str(),
        "path": path,
        "url": url,
        "params": call.params,
        "query": query(uri.query().unwrap_or_default()),
        "headers": headers(call),
    });
    match std::str::from_utf8(call.body) {
        Ok(text) if !text.contains('\0') => data["body"] = json!(text),
        _ => data["bodyBase64"] = json!(STANDARD.encode(call.body)),
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

fn headers(call: &HttpCall<'_>) -> Map<String, Value> {
    const HOP_BY_HOP: [HeaderName; 5] =
        [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE];
    let mut headers = Map::new();
    for name in call.parts.headers.keys() {
        if HOP_BY_HOP.contains(name) || (call.hide_token && *name == header::AUTHORIZATION) {
            continue;
        }
        let values = call.parts.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        headers.insert(name.to_string(), Value::from(values.collect::<Vec<_>>().join(", ")));
    }
    headers
}
