//! Deliveries and dead letters as the API shows them: times in RFC 3339, durations in milliseconds, events as
//! CloudEvents.

use serde_json::{Value, json};
use tidegate_core::{Attempt, CloudEvent};
use tidegate_driver::{DeadLetter, DeliverySummary};

pub(super) fn delivery(delivery: &DeliverySummary) -> Value {
    json!({
        "id": delivery.id,
        "trigger": delivery.trigger,
        "state": delivery.state,
        "attempt": delivery.attempt,
        "max_attempts": delivery.max_attempts,
        "due_at": delivery.due_at.to_rfc3339(),
        "enqueued_at": delivery.enqueued_at.to_rfc3339(),
        "event": CloudEvent::from(&delivery.event),
        "failed": delivery.failed.iter().map(attempt).collect::<Vec<_>>(),
    })
}

pub(super) fn dead_letter(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "delivery_id": letter.delivery_id,
        "trigger": letter.trigger,
        "trigger_version": letter.trigger_version,
        "handler": letter.handler,
        "script_version": letter.script_version,
        "principal": letter.principal,
        "event": CloudEvent::from(&letter.event),
        "reason": letter.reason,
        "attempts": letter.attempts,
        "failed": letter.failed.iter().map(attempt).collect::<Vec<_>>(),
        "fingerprint": letter.fingerprint,
        "enqueued_at": letter.enqueued_at.to_rfc3339(),
        "created_at": letter.created_at.to_rfc3339(),
        "resolution": letter.resolution,
        "redrive_generation": letter.redrive_generation,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "started_at": attempt.started_at.to_rfc3339(),
        "duration_ms": attempt.duration.map(|duration| duration.0 as f64 / 1_000.0),
        "error": attempt.error.code(),
        "message": attempt.message,
    })
}
