//! What a handler's return value is to whoever waits for it.

use rquickjs::{Ctx, Error, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use tidegate_core::{Delivery, ExecError, Failure, HandlerReply, Json, Kind};

/// Who waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nobody: what is returned is nothing to anybody.
    None,
    /// Who invoked the script: any JSON.
    Value,
    /// An HTTP client: `{ status, headers, body }`.
    Response,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Box<serde_json::value::RawValue>>,
}

fn ok() -> u16 {
    200
}

impl Answer {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        match (delivery.kind(), delivery.event.event_type.as_str()) {
            (Kind::Sync(_), "http.request") => Self::Response,
            (Kind::Sync(_), _) => Self::Value,
            (Kind::Async | Kind::DeadLetterHandler(_), _) => Self::None,
        }
    }

    pub(crate) fn read<'js>(
        self,
        ctx: &Ctx<'js>,
        returned: Value<'js>,
        bytes_max: usize,
    ) -> Result<Option<HandlerReply>, Failure> {
        if self == Self::None {
            return Ok(None);
        }
        let text = match ctx.json_stringify(returned) {
            Ok(text) => text.map(|text| text.to_string()).transpose(),
            Err(error) => Err(error),
        };
        let text = text.map_err(|error| invalid(&format!("what it returned is no JSON: {}", caught(ctx, error))))?;
        if let Some(length) = text.as_ref().map(String::len).filter(|length| *length > bytes_max) {
            return Err(invalid(&format!("what it returned is {length} bytes long, at most {bytes_max} are allowed")));
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
                Err(invalid(&format!("it returned {}", other.as_deref().map_or("nothing", shown))))
            }
            (_, text) => {
                let body =
                    Json::parse(text.as_deref().unwrap_or("null")).map_err(|error| invalid(&error.to_string()))?;
                Ok(Some(HandlerReply { status: 200, headers: Vec::new(), body: Some(body) }))
            }
        }
    }
}

fn caught(ctx: &Ctx<'_>, error: Error) -> String {
    crate::failure::thrown(ctx, error).message
}

/// The beginning of a value, for a message.
fn shown(text: &str) -> &str {
    text.char_indices().nth(80).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

fn invalid(what: &str) -> Failure {
    let rule = "a handler of HTTP requests returns { status, headers, body }, one that is invoked any JSON";
    Failure::new(ExecError::InvalidReply, format!("{what}; {rule}"))
}
