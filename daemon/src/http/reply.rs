//! Converts the reply of a handler to an HTTP response.

use super::connection::CallerConnection;
use super::problem::{EXECUTION_ID, Problem, execution_id};
use super::receipt::confirm_when_sent;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tidegate_core::{HandlerReply, Json, SyncReply};
use tidegate_driver::DispatcherEnded;
use tidegate_ports::Receipt;

/// A JSON string is sent as plain text and any other value as JSON. A `content-type` header of the
/// reply has precedence.
pub(super) fn response(
    result: Result<(SyncReply, Receipt), DispatcherEnded>,
    connection: CallerConnection,
) -> Response {
    match result {
        Ok((reply, receipt)) => confirm_when_sent(reply_response(reply), receipt, connection),
        Err(ended) => Problem::unavailable(ended.to_string()).into_response(),
    }
}

fn reply_response(SyncReply { execution, result }: SyncReply) -> Response {
    let mut response = match result {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(reply)) => handler_response(reply),
        Err(failure) => return Problem::execution(&failure, execution).into_response(),
    };
    if let Some(execution) = execution {
        response.headers_mut().insert(EXECUTION_ID, execution_id(execution));
    }
    response
}

fn handler_response(reply: HandlerReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let (body, content_type) = reply.body.as_ref().map_or((String::new(), None), body);
    let may_have_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = (status, if may_have_body { Body::from(body) } else { Body::empty() }).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in reply.headers {
        // The core checked both before the effects were applied.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Some(content_type) = content_type.filter(|_| may_have_body && !headers.contains_key(header::CONTENT_TYPE)) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

fn body(json: &Json) -> (String, Option<&'static str>) {
    match serde_json::from_str::<Value>(json.as_str()) {
        Ok(Value::String(text)) => (text, Some("text/plain; charset=utf-8")),
        _ => (json.to_string(), Some("application/json")),
    }
}
