//! Reads the return value of a handler as the reply to its caller.

use crate::prelude::TakenBytes;
use crate::scope::Scope;
use crate::text::well_formed;
use rquickjs::Value;
use serde::Deserialize;
use std::collections::BTreeMap;
use tidegate_core::{Delivery, ExecError, Failure, HandlerReply, Json, Kind, ReplyBody};

/// The kind of reply that a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyKind {
    /// No caller waits. The return value is ignored.
    None,
    /// The caller invoked the script. Any JSON value is a reply.
    Value,
    /// The caller is an HTTP client. The reply is `{ status, headers, body }`.
    Response,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    #[serde(default = "status_ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, serde_json::Value>,
    body: Option<Box<serde_json::value::RawValue>>,
}

fn status_ok() -> u16 {
    200
}

impl ReplyKind {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        match (delivery.kind(), delivery.event.event_type.as_str()) {
            (Kind::Sync(_), "http.request") => Self::Response,
            (Kind::Sync(_), _) => Self::Value,
            (Kind::Async | Kind::DeadLetterHandler(_), _) => Self::None,
        }
    }

    /// Turns a return value into a reply of this kind. `None` if no caller waits.
    pub(crate) fn read<'js>(
        self,
        scope: &Scope<'_, 'js>,
        returned: Value<'js>,
    ) -> Result<Option<HandlerReply>, Failure> {
        if self == Self::None {
            return Ok(None);
        }
        let (bytes, rest) = self.take_bytes(scope, returned)?;
        let text = json_of(scope, rest)?;
        match (self, text) {
            (Self::Response, Some(text)) if text.trim_start().starts_with('{') => response(&text, bytes).map(Some),
            (Self::Response, other) => {
                Err(invalid(&format!("the handler returned {}", other.as_deref().map_or("nothing", shortened))))
            }
            (_, text) => {
                let body = bytes.map_or_else(|| json_body(text.as_deref().unwrap_or("null")), Ok)?;
                Ok(Some(HandlerReply { status: 200, headers: Vec::new(), body: Some(body) }))
            }
        }
    }

    /// The bytes that the caller gets, and the rest of the return value.
    fn take_bytes<'js>(
        self,
        scope: &Scope<'_, 'js>,
        returned: Value<'js>,
    ) -> Result<(Option<ReplyBody>, Value<'js>), Failure> {
        if !returned.is_object() {
            return Ok((None, returned));
        }
        let taken = scope.prelude.take_bytes(&scope.ctx, returned.clone(), self == Self::Response);
        let taken = taken
            .map_err(|error| invalid(&format!("the return value cannot be read: {}", scope.failure(error).message)))?;
        let Some(TakenBytes { base64, length, rest }) = taken else { return Ok((None, returned)) };
        check_length("bytes", length, scope.limits.data_bytes_max)?;
        Ok((Some(ReplyBody::Base64(base64)), rest))
    }
}

/// The JSON of a return value. `None` if it is `undefined`.
fn json_of<'js>(scope: &Scope<'_, 'js>, value: Value<'js>) -> Result<Option<String>, Failure> {
    let text = scope.ctx.json_stringify(value).and_then(|text| text.map(|text| text.to_string()).transpose());
    let text = text.map_err(|error| {
        let reason = scope.failure(error).message;
        invalid(&format!("the return value cannot be written as JSON: {reason}"))
    })?;
    let text = text.map(well_formed);
    check_length("bytes of JSON", text.as_ref().map_or(0, String::len), scope.limits.data_bytes_max)?;
    Ok(text)
}

fn check_length(unit: &str, length: usize, max: usize) -> Result<(), Failure> {
    if length <= max {
        return Ok(());
    }
    Err(invalid(&format!("the return value is {length} {unit}; scripts.data_bytes_max allows {max}")))
}

fn response(text: &str, bytes: Option<ReplyBody>) -> Result<HandlerReply, Failure> {
    let Response { status, headers, body } = serde_json::from_str(text).map_err(|error| invalid(&error.to_string()))?;
    let body = match (bytes, body) {
        (None, Some(body)) => Some(json_body(body.get())?),
        (bytes, _) => bytes,
    };
    let mut lines = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        match value {
            serde_json::Value::String(value) => lines.push((name, value)),
            other => {
                let values: Vec<String> = serde_json::from_value(other.clone()).map_err(|_| {
                    let value = other.to_string();
                    invalid(&format!("the header {name} is {}, not a string or an array of strings", shortened(&value)))
                })?;
                lines.extend(values.into_iter().map(|value| (name.clone(), value)));
            }
        }
    }
    Ok(HandlerReply { status, headers: lines, body })
}

fn json_body(text: &str) -> Result<ReplyBody, Failure> {
    Json::parse(text).map(ReplyBody::Json).map_err(|error| invalid(&error.to_string()))
}

/// At most the first 80 characters.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(80).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

fn invalid(problem: &str) -> Failure {
    let rule = "an HTTP handler must return { status, headers, body }; an invoked script may return any JSON value";
    Failure::new(ExecError::InvalidReply, format!("{problem}; {rule}"))
}
