//! Reads the return value of a handler as the reply to its caller.

use crate::scope::Scope;
use crate::text::well_formed;
use rquickjs::Value;
use serde::Deserialize;
use std::collections::BTreeMap;
use tidegate_core::{Delivery, ExecError, Failure, HandlerReply, Json, Kind};

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
    headers: BTreeMap<String, String>,
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
        let bytes_max = scope.limits.data_bytes_max;
        if self == Self::None {
            return Ok(None);
        }
        let text = scope.ctx.json_stringify(returned).and_then(|text| text.map(|text| text.to_string()).transpose());
        let text = text.map_err(|error| {
            let reason = scope.failure(error).message;
            invalid(&format!("the return value cannot be written as JSON: {reason}"))
        })?;
        let text = text.map(well_formed);
        if let Some(length) = text.as_ref().map(String::len).filter(|length| *length > bytes_max) {
            return Err(invalid(&format!(
                "the return value is {length} bytes of JSON; scripts.data_bytes_max allows {bytes_max}"
            )));
        }
        match (self, text) {
            (Self::Response, Some(text)) if text.trim_start().starts_with('{') => {
                let response: Response = serde_json::from_str(&text).map_err(|error| invalid(&error.to_string()))?;
                let body = response.body.map(|body| Json::parse(body.get())).transpose();
                let body = body.map_err(|error| invalid(&error.to_string()))?;
                let (status, headers) = (response.status, response.headers.into_iter().collect());
                Ok(Some(HandlerReply { status, headers, body }))
            }
            (Self::Response, other) => {
                Err(invalid(&format!("the handler returned {}", other.as_deref().map_or("nothing", shortened))))
            }
            (_, text) => {
                let body =
                    Json::parse(text.as_deref().unwrap_or("null")).map_err(|error| invalid(&error.to_string()))?;
                Ok(Some(HandlerReply { status: 200, headers: Vec::new(), body: Some(body) }))
            }
        }
    }
}

/// At most the first 80 characters.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(80).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

fn invalid(problem: &str) -> Failure {
    let rule = "an HTTP handler must return { status, headers, body }; an invoked script may return any JSON value";
    Failure::new(ExecError::InvalidReply, format!("{problem}; {rule}"))
}
