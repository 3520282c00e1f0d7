//! `POST …/events`: one event of CloudEvents 1.0, or a batch.
//!
//! The events of a batch are emitted together or not at all.

use super::extract::{Params, Plain, Ready, Requester, Text, name};
use super::json::{self, JsonError};
use super::problem::{Part, Problem};
use super::state::ApiState;
use super::trace_context::cause;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_core::{AppName, IdempotencyKey, IncomingCloudEvent, NewEvent};
use tidegate_ports::Emission;

/// The most events of one request, because they share a transaction.
const BATCH_MAX: usize = 1_000;

pub(super) async fn emit(
    Ready(services): Ready,
    State(state): State<ApiState>,
    Requester(principal): Requester,
    _: Plain,
    Params(app): Params<String>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let app: AppName = name(app)?;
    let events = match shape(&headers, &body)? {
        Shape::Single => vec![parse_event(&body, state.limits.data_bytes_max).map_err(EventError::problem)?],
        Shape::Batch => parse_batch(&body, state.limits.data_bytes_max)?,
    };
    let idempotency_key = idempotency_key(&headers, "", &body)?;
    let emission = Emission { app: app.clone(), events, cause: cause(principal, &headers), idempotency_key };
    let emitted = services.emitter.emit(emission).await.map_err(|error| Problem::in_app(&app, error))?;
    let events: Vec<Value> =
        emitted.iter().map(|event| json!({ "id": event.event_id, "deliveries": event.lanes.len() })).collect();
    Ok((StatusCode::ACCEPTED, Json(json!({ "events": events }))))
}

enum Shape {
    Single,
    Batch,
}

/// Reads the shape from the content type. With `application/json` the body decides.
fn shape(headers: &HeaderMap, body: &str) -> Result<Shape, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_array = body.trim_start().starts_with('[');
    match (essence.as_str(), is_array) {
        ("application/cloudevents+json" | "application/json" | "", false) => Ok(Shape::Single),
        ("application/cloudevents-batch+json" | "application/json" | "", true) => Ok(Shape::Batch),
        ("application/cloudevents+json", true) => {
            Err(Problem::invalid("the body is an array; send it with content-type application/cloudevents-batch+json"))
        }
        // A body that is not JSON gets the error `invalid_json`, not an error about its shape.
        ("application/cloudevents-batch+json", false) => {
            json::value(body)?;
            Err(Problem::invalid("the body is not an array; send it with content-type application/cloudevents+json"))
        }
        _ => {
            let detail = format!(
                "content-type {content_type:?} is not supported; send application/cloudevents+json, \
                 application/cloudevents-batch+json or application/json"
            );
            Err(Problem::invalid(detail))
        }
    }
}

enum EventError {
    Json(JsonError),
    TooLarge(String),
    Invalid(String),
}

impl EventError {
    fn problem(self) -> Problem {
        match self {
            Self::Json(error) => error.into(),
            Self::TooLarge(detail) => Problem::too_large(format!("{detail}; nothing was emitted")),
            Self::Invalid(detail) => Problem::invalid(format!("{detail}; nothing was emitted")),
        }
    }

    fn message(self) -> String {
        match self {
            Self::Json(error) => error.message(),
            Self::TooLarge(message) | Self::Invalid(message) => message,
        }
    }
}

fn parse_event(text: &str, data_bytes_max: usize) -> Result<NewEvent, EventError> {
    let event: IncomingCloudEvent = json::object(text, "an event").map_err(EventError::Json)?;
    let event = NewEvent::try_from(event).map_err(|error| EventError::Invalid(error.to_string()))?;
    let length = event.data.as_str().len();
    if length > data_bytes_max {
        return Err(EventError::TooLarge(format!(
            "data is {length} bytes long, but at most {data_bytes_max} bytes are allowed (scripts.data_bytes_max)"
        )));
    }
    Ok(event)
}

fn parse_batch(body: &str, data_bytes_max: usize) -> Result<Vec<NewEvent>, Problem> {
    let texts: Vec<&RawValue> = serde_json::from_str(body)
        .map_err(|error| Problem::invalid_json(format!("the body is not valid JSON: {error}")))?;
    if !(1..=BATCH_MAX).contains(&texts.len()) {
        return Err(Problem::invalid(format!("a batch must have 1 to {BATCH_MAX} events, but has {}", texts.len())));
    }
    let (mut events, mut parts, mut is_too_large) = (Vec::with_capacity(texts.len()), Vec::new(), false);
    for (at, text) in texts.iter().enumerate() {
        match parse_event(text.get(), data_bytes_max) {
            Ok(event) => events.push(event),
            Err(error) => {
                is_too_large |= matches!(error, EventError::TooLarge(_));
                parts.push(Part::new(format!("[{at}]"), error.message()));
            }
        }
    }
    let Some(first) = parts.first() else { return Ok(events) };
    let detail = format!("event {}: {}; nothing was emitted", first.at, first.message);
    let problem = if is_too_large { Problem::too_large(detail) } else { Problem::invalid(detail) };
    Err(problem.with_parts(parts))
}

/// The idempotency key of a request, with a digest of `operation` and the body.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    operation: &str,
    body: &str,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.ok_or_else(|| Problem::invalid("Idempotency-Key must be 1 to 255 visible ASCII characters"))?;
    Ok(Some(IdempotencyKey {
        key: key.to_owned(),
        digest: hex::encode(Sha256::new().chain_update(operation).chain_update(body).finalize()),
    }))
}
