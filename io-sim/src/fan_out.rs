//! Match and fan-out: one row per enabled trigger that an event matches.

use crate::memory::{Memory, Row};
use tidegate_core::{
    AppName, Cause, DeadLetterId, DeliveryId, Event, EventType, Json, Lease, Micros, NewEvent, RetryPolicy,
    RetryPolicySpec, Source, Subject, Timestamp, TriggerId, matching,
};
use tidegate_ports::EmittedEvent;

impl Memory {
    /// Emits one event into the outbox.
    pub(crate) fn emit_one(&mut self, app: &AppName, source: Source, new: NewEvent, cause: &Cause) -> EmittedEvent {
        let event = self.event(app, source, new, cause);
        let ids: Vec<TriggerId> = {
            let living = self.triggers.values().filter(|row| !row.deleted).map(|row| &row.trigger);
            matching(&event, living).map(|trigger| trigger.id).collect()
        };
        ids.iter().for_each(|trigger| self.enqueue(*trigger, &event, None));
        EmittedEvent::new(event.id, ids)
    }

    /// Emits the event of a dead letter; its rows handle that letter, once.
    pub(crate) fn emit_letter(
        &mut self,
        app: &AppName,
        new: NewEvent,
        cause: &Cause,
        letter: DeadLetterId,
    ) -> Vec<TriggerId> {
        let event = self.event(app, Source::DeadLetter, new, cause);
        let living = self.triggers.values().filter(|row| !row.deleted).map(|row| &row.trigger);
        let ids: Vec<TriggerId> = matching(&event, living).map(|trigger| trigger.id).collect();
        ids.iter().for_each(|trigger| self.enqueue(*trigger, &event, Some(letter)));
        ids
    }

    /// Emits an event for one trigger alone.
    pub(crate) fn emit_to(&mut self, trigger: TriggerId, app: &AppName, source: Source, new: NewEvent, cause: &Cause) {
        let event = self.event(app, source, new, cause);
        self.enqueue(trigger, &event, None);
    }

    pub(crate) fn event(&mut self, app: &AppName, source: Source, new: NewEvent, cause: &Cause) -> Event {
        let id = self.next_event_id();
        Event {
            id,
            app: app.clone(),
            source,
            event_type: new.event_type,
            subject: new.subject,
            time: self.now,
            data: new.data,
            actor: cause.actor.clone(),
            root_id: cause.parent.map_or(id, |parent| parent.root_id),
            parent_id: cause.parent.map(|parent| parent.parent_id),
            depth: cause.parent.map_or(0, |parent| parent.depth),
            traceparent: cause.traceparent.clone(),
        }
    }

    fn enqueue(&mut self, trigger: TriggerId, event: &Event, handles_letter: Option<DeadLetterId>) {
        let Some(row) = self.triggers.get(&trigger) else { return };
        let spec = &row.trigger.spec;
        let policy = if handles_letter.is_some() { once(spec.retry) } else { spec.retry };
        let timeout: Micros = spec.timeout_ms.as_micros();
        let row = Row {
            id: DeliveryId(self.next_id()),
            trigger,
            event: event.clone(),
            policy,
            timeout,
            due_at: self.now,
            enqueued_at: self.now,
            lease: Lease(0),
            lease_until: Timestamp::EPOCH,
            leased_at: Timestamp::EPOCH,
            attempt: 0,
            failed: Vec::new(),
            redrive_generation: 0,
            previous_letter: None,
            reply_to: None,
            script: None,
            executed: None,
            call_key: None,
            handles_letter,
        };
        self.insert(row);
    }
}

fn once(policy: RetryPolicy) -> RetryPolicy {
    let spec = RetryPolicySpec { max_attempts: 1, ..policy.into() };
    RetryPolicy::try_from(spec).expect("one attempt lies within the bounds")
}

/// A KV mutation's event.
pub(crate) fn kv_event(
    op: tidegate_core::KvOp,
    collection: &tidegate_core::Collection,
    key: &tidegate_core::Key,
    value: Option<&Json>,
    version: tidegate_core::Version,
) -> NewEvent {
    let name = |text: &str| serde_json::Value::from(text).to_string();
    let data = format!(
        r#"{{"collection":{},"key":{},"value":{},"version":{}}}"#,
        name(collection.as_str()),
        name(key.as_str()),
        value.map_or("null", Json::as_str),
        version.0
    );
    NewEvent {
        event_type: EventType::new(op.event_type()).expect("a constant within the rule"),
        subject: Subject::new(format!("{collection}/{key}")).expect("two names fit into a subject"),
        data: Json::from_store(data),
    }
}
