//! Encodes settlements for `tidegate.exchange`.
//!
//! Two groups of settlements are arrays in the order of ids, which is the order of row locks: plain
//! successes, and those of sync calls that have no effects and store no reply. All others are JSON,
//! in the order of the dispatcher.

use serde_json::{Value, json};
use tidegate_core::{Attempt, Effects, Micros, Settlement, SyncOutcome, Verdict};

#[derive(Debug)]
pub(crate) struct Settlements {
    pub(crate) done_ids: Vec<i64>,
    pub(crate) done_leases: Vec<i64>,
    pub(crate) call_ids: Vec<i64>,
    pub(crate) call_leases: Vec<i64>,
    /// `None` for a call whose reply is delivered.
    pub(crate) outcomes: Vec<Option<Value>>,
    /// `None` if the arrays hold all settlements.
    pub(crate) others: Option<Value>,
}

impl Settlements {
    pub(crate) fn of(settlements: &[Settlement]) -> Self {
        let mut done = Vec::with_capacity(settlements.len());
        let (mut calls, mut others) = (Vec::new(), Vec::new());
        for Settlement { claim, verdict } in settlements {
            let (id, lease) = (claim.delivery.0, claim.lease.0);
            match verdict {
                Verdict::Done { .. } if verdict.effects().is_none() => done.push((id, lease)),
                Verdict::Replied => calls.push((id, lease, None)),
                Verdict::Executed { outcome, reply: None, .. } if verdict.effects().is_none() => {
                    calls.push((id, lease, Some(outcome_json(outcome))));
                }
                verdict => others.push(json!({ "id": id, "lease": lease, "verdict": to_json(verdict) })),
            }
        }
        done.sort_unstable();
        let (done_ids, done_leases) = done.into_iter().unzip();
        calls.sort_unstable_by_key(|(id, ..)| *id);
        Self {
            done_ids,
            done_leases,
            call_ids: calls.iter().map(|(id, ..)| *id).collect(),
            call_leases: calls.iter().map(|(_, lease, _)| *lease).collect(),
            outcomes: calls.into_iter().map(|(.., outcome)| outcome).collect(),
            others: (!others.is_empty()).then_some(Value::Array(others)),
        }
    }
}

fn to_json(verdict: &Verdict) -> Value {
    let kind = verdict.name();
    // `effects()` is `None` for effects without writes and events: their reads need no check.
    let effects = verdict.effects().map(effects_json);
    match verdict {
        Verdict::Done { .. } | Verdict::Handled { .. } => with_effects(json!({ "kind": kind }), effects),
        Verdict::Retry { delay, failed } => {
            json!({ "kind": kind, "delay_us": bounded(*delay), "failed": storable(failed) })
        }
        Verdict::Deferred { delay } => json!({ "kind": kind, "delay_us": bounded(*delay) }),
        Verdict::Dead { reason, attempts, failed, fingerprint, disable_trigger } => json!({
            "kind": kind, "reason": reason, "attempts": attempts,
            "failed": failed.as_ref().map(storable), "fingerprint": fingerprint,
            "disable_trigger": disable_trigger,
        }),
        Verdict::Abandoned { cause } => json!({ "kind": kind, "cause": cause }),
        Verdict::HandlerFailed { failed } => json!({ "kind": kind, "failed": storable(failed) }),
        Verdict::Executed { outcome, reply, .. } => {
            let mut json = with_effects(json!({ "kind": kind, "outcome": outcome_json(outcome) }), effects);
            // As text, so that its bytes do not change.
            if let Some(reply) = reply {
                json["reply"] = json!(serde_json::to_string(reply).unwrap_or_default());
            }
            json
        }
        Verdict::Replied | Verdict::Dropped => json!({ "kind": kind }),
    }
}

/// The stored outcome of a sync execution.
fn outcome_json(outcome: &SyncOutcome) -> Value {
    let message = outcome.message.as_deref().map(without_nul);
    json!({ "outcome": outcome.name(), "status": outcome.status, "message": message })
}

fn with_effects(mut json: Value, effects: Option<Value>) -> Value {
    if let Some(effects) = effects {
        json["effects"] = effects;
    }
    json
}

/// Limits a delay to 100 years. A longer delay may exceed the last date of Postgres.
fn bounded(delay: Micros) -> Micros {
    delay.min(Micros::from_secs(100 * 365 * 24 * 3_600))
}

/// Replaces U+0000, which Postgres cannot store in a text. Otherwise each exchange with such a
/// message would fail.
fn storable(failed: &Attempt) -> Attempt {
    Attempt { message: without_nul(&failed.message), ..failed.clone() }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Values are texts within the JSON, so that their bytes do not change. A read of an absent key has
/// the version -1.
fn effects_json(effects: &Effects) -> Value {
    let reads: Vec<Value> = effects
        .reads
        .iter()
        .map(|read| json!([read.collection, read.key, read.version.map_or(-1, |version| version.0)]))
        .collect();
    let writes: Vec<Value> = effects
        .writes
        .iter()
        .map(|write| json!([write.collection, write.key, write.value.as_ref().map(tidegate_core::Json::as_str)]))
        .collect();
    let events: Vec<Value> =
        effects.events.iter().map(|event| json!([event.event_type, event.subject, event.data.as_str()])).collect();
    json!({ "reads": reads, "writes": writes, "events": events })
}
