//! The JSON of stored rows in responses.
//!
//! Times are in RFC 3339, durations in milliseconds, events are CloudEvents. The types are structs
//! and not `json!` values, because the text of a value must not change. As a `serde_json::Value`,
//! `12.50` would become `12.5` and a long integer would become a float.

use serde::Serialize;
use tidegate_core::{
    Attempt, CloudEvent, DeadLetterId, DeadReason, DeliveryId, Handler, Json, Key, PrincipalId, TriggerName, Version,
};
use tidegate_ports::{DeadLetter, DeliveryState, DeliverySummary, KvEntry, Resolution};

#[derive(Serialize)]
pub(super) struct Entries<'a> {
    pub(super) entries: Vec<EntryView<'a>>,
    pub(super) cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Deliveries<'a> {
    pub(super) deliveries: Vec<DeliveryView<'a>>,
    pub(super) cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct DeadLetters<'a> {
    pub(super) dead_letters: Vec<DeadLetterView<'a>>,
    pub(super) cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct EntryView<'a> {
    key: &'a Key,
    value: &'a Json,
    version: Version,
    updated_at: String,
}

#[derive(Serialize)]
pub(super) struct DeliveryView<'a> {
    id: DeliveryId,
    trigger: &'a TriggerName,
    state: DeliveryState,
    attempt: u32,
    lost: u32,
    max_attempts: u32,
    due_at: String,
    enqueued_at: String,
    event: CloudEvent,
    failed: Vec<AttemptView<'a>>,
}

#[derive(Serialize)]
pub(super) struct DeadLetterView<'a> {
    id: DeadLetterId,
    delivery_id: DeliveryId,
    trigger: &'a TriggerName,
    trigger_version: i64,
    handler: &'a Option<Handler>,
    script_version: Option<i64>,
    principal: &'a PrincipalId,
    event: CloudEvent,
    reason: DeadReason,
    attempts: u32,
    failed: Vec<AttemptView<'a>>,
    fingerprint: &'a str,
    enqueued_at: String,
    created_at: String,
    resolution: Option<Resolution>,
    handler_failure: Option<AttemptView<'a>>,
    redrive_generation: u32,
    previous_letter_id: Option<DeadLetterId>,
}

#[derive(Serialize)]
struct AttemptView<'a> {
    attempt: u32,
    started_at: String,
    /// `null` if the attempt was lost.
    duration_ms: Option<f64>,
    error: &'static str,
    message: &'a str,
}

impl<'a> From<&'a KvEntry> for EntryView<'a> {
    fn from(entry: &'a KvEntry) -> Self {
        let KvEntry { key, value, version, updated_at } = entry;
        Self { key, value, version: *version, updated_at: updated_at.to_rfc3339() }
    }
}

impl<'a> From<&'a DeliverySummary> for DeliveryView<'a> {
    fn from(delivery: &'a DeliverySummary) -> Self {
        Self {
            id: delivery.id,
            trigger: &delivery.trigger,
            state: delivery.state,
            attempt: delivery.attempt,
            lost: delivery.lost,
            max_attempts: delivery.max_attempts,
            due_at: delivery.due_at.to_rfc3339(),
            enqueued_at: delivery.enqueued_at.to_rfc3339(),
            event: CloudEvent::from(&delivery.event),
            failed: delivery.failed.iter().map(AttemptView::from).collect(),
        }
    }
}

impl<'a> From<&'a DeadLetter> for DeadLetterView<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        Self {
            id: letter.id,
            delivery_id: letter.delivery_id,
            trigger: &letter.trigger,
            trigger_version: letter.trigger_version,
            handler: &letter.handler,
            script_version: letter.script_version,
            principal: &letter.principal,
            event: CloudEvent::from(&letter.event),
            reason: letter.reason,
            attempts: letter.attempts,
            failed: letter.failed.iter().map(AttemptView::from).collect(),
            fingerprint: &letter.fingerprint,
            enqueued_at: letter.enqueued_at.to_rfc3339(),
            created_at: letter.created_at.to_rfc3339(),
            resolution: letter.resolution,
            handler_failure: letter.handler_failure.as_ref().map(AttemptView::from),
            redrive_generation: letter.redrive_generation,
            previous_letter_id: letter.previous_letter_id,
        }
    }
}

impl<'a> From<&'a Attempt> for AttemptView<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: attempt.started_at.to_rfc3339(),
            duration_ms: attempt.duration.map(|duration| duration.0 as f64 / 1_000.0),
            error: attempt.error.code(),
            message: &attempt.message,
        }
    }
}
