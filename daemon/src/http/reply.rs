//! Converts the reply of a handler to an HTTP response.

use super::connection::CallerConnection;
use super::problem::{EXECUTION_ID, Problem, execution_id};
use super::receipt::confirm_when_sent;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tidegate_core::{HandlerReply, ReplyBody, SyncReply};
use tidegate_driver::DispatcherEnded;
use tidegate_ports::Receipt;

/// A JSON string is sent as plain text, any other JSON value as JSON, and bytes as they are. A
/// `content-type` header of the reply has precedence.
///
/// `problem` converts a failure for this caller.
pub(super) fn response(
    result: Result<(SyncReply, Receipt), DispatcherEnded>,
    connection: CallerConnection,
    problem: impl FnOnce(Problem) -> Problem,
) -> Response {
    match result {
        Ok((reply, receipt)) => confirm_when_sent(reply_response(reply, problem), receipt, connection),
        Err(ended) => problem(Problem::unavailable(ended.to_string())).into_response(),
    }
}

fn reply_response(SyncReply { execution, result }: SyncReply, problem: impl FnOnce(Problem) -> Problem) -> Response {
    let mut response = match result {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(reply)) => handler_response(reply),
        Err(failure) => return problem(Problem::execution(&failure, execution)).into_response(),
    };
    if let Some(execution) = execution {
        response.headers_mut().insert(EXECUTION_ID, execution_id(execution));
    }
    response
}

fn handler_response(reply: HandlerReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let (body, content_type) = reply.body.map_or((Body::empty(), None), |body| {
        let (bytes, content_type) = bytes_of(body);
        (Body::from(bytes), Some(content_type))
    });
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in reply.headers {
        // The core checked both before the effects were applied.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Some(content_type) = content_type.filter(|_| !headers.contains_key(header::CONTENT_TYPE)) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

fn bytes_of(body: ReplyBody) -> (Vec<u8>, &'static str) {
    match body {
        ReplyBody::Base64(text) => {
            (STANDARD.decode(text).expect("the executor encoded the bytes"), "application/octet-stream")
        }
        ReplyBody::Json(json) => match serde_json::from_str::<Value>(json.as_str()) {
            Ok(Value::String(text)) => (text.into_bytes(), "text/plain; charset=utf-8"),
            _ => (json.to_string().into_bytes(), "application/json"),
        },
    }
}
