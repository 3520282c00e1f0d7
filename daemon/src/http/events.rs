//! `POST …/events`: CloudEvents 1.0, one or a batch, emitted together or not at all.

use super::extract::{By, Params, Text, name};
use super::problem::Problem;
use super::state::ApiState;
use crate::server::Services;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_core::{AppName, Cause, IncomingCloudEvent, NewEvent};
use tidegate_driver::{Emission, IdempotencyKey};

/// The most events of one request: they share a transaction.
const BATCH_MAX: usize = 1_000;

pub(super) async fn emit(
    services: Services,
    State(state): State<ApiState>,
    By(principal): By,
    Params(app): Params<String>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let app: AppName = name(app)?;
    let events = parse(&body, state.limits.data_bytes_max)?;
    let mut cause = Cause::outside(principal);
    cause.traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let emission = Emission { app: app.clone(), events, cause, idempotency_key: idempotency_key(&headers, &body)? };
    let emitted = services.emitter.emit(emission).await.map_err(|error| Problem::port(&app, error))?;
    let events: Vec<Value> =
        emitted.iter().map(|one| json!({ "id": one.event_id, "deliveries": one.woken.len() })).collect();
    Ok((StatusCode::ACCEPTED, Json(json!({ "events": events }))))
}

fn parse(body: &str, data_bytes_max: usize) -> Result<Vec<NewEvent>, Problem> {
    let incoming: Vec<IncomingCloudEvent> = if body.trim_start().starts_with('[') {
        serde_json::from_str(body).map_err(|error| Problem::json(&error))?
    } else {
        vec![serde_json::from_str(body).map_err(|error| Problem::json(&error))?]
    };
    if !(1..=BATCH_MAX).contains(&incoming.len()) {
        return Err(Problem::invalid(format!("a batch has 1 to {BATCH_MAX} events, this one has {}", incoming.len())));
    }
    let of = |(at, event): (usize, IncomingCloudEvent)| {
        let length = event.data.as_str().len();
        if length > data_bytes_max {
            let detail = format!(
                "event {at} has {length} bytes of data; at most {data_bytes_max} are allowed; nothing was emitted"
            );
            return Err(Problem::too_large(detail));
        }
        NewEvent::try_from(event).map_err(|error| Problem::invalid(format!("event {at}: {error}; nothing was emitted")))
    };
    incoming.into_iter().enumerate().map(of).collect()
}

fn idempotency_key(headers: &HeaderMap, body: &str) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.ok_or_else(|| Problem::invalid("Idempotency-Key must be 1 to 255 visible ASCII characters"))?;
    let digest = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(IdempotencyKey { key: key.to_owned(), digest }))
}
