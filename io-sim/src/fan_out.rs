//! Fan-out: an event gets one row for each enabled trigger that matches it.

use crate::memory::Memory;
use crate::rows::Row;
use tidegate_core::{
    AppName, Cause, Collection, DeadLetterId, Event, EventType, Json, Key, KvOp, Micros, NewEvent, RetryPolicy,
    RetryPolicySpec, Source, Subject, TriggerId, Version, matching_triggers,
};
use tidegate_ports::EmittedEvent;

impl Memory {
    /// Emits one event into the outbox.
    pub(crate) fn emit_one(&mut self, app: &AppName, source: Source, new: NewEvent, cause: &Cause) -> EmittedEvent {
        let event = self.event(app, source, new, cause);
        let lanes = self.fan_out(&event, None);
        EmittedEvent::new(event.id, lanes)
    }

    /// Emits the event of a dead letter. Its rows handle that letter in one attempt.
    pub(crate) fn emit_letter(
        &mut self,
        app: &AppName,
        new: NewEvent,
        cause: &Cause,
        letter: DeadLetterId,
    ) -> Vec<TriggerId> {
        let event = self.event(app, Source::DeadLetter, new, cause);
        self.fan_out(&event, Some(letter))
    }

    /// Inserts a row for each trigger that matches, and returns the lanes of these rows.
    fn fan_out(&mut self, event: &Event, handles_letter: Option<DeadLetterId>) -> Vec<TriggerId> {
        let triggers = self.triggers.values().filter(|row| !row.deleted).map(|row| &row.trigger);
        let lanes: Vec<TriggerId> = matching_triggers(event, triggers).map(|trigger| trigger.id).collect();
        lanes.iter().for_each(|trigger| self.enqueue(*trigger, event, handles_letter));
        lanes
    }

    /// Emits an event for one trigger only.
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
        let policy = if handles_letter.is_some() { single_attempt(spec.retry) } else { spec.retry };
        let timeout: Micros = spec.timeout_ms.as_micros();
        let row = Row { handles_letter, ..self.new_row(trigger, event.clone(), policy, timeout) };
        self.insert(row);
    }
}

fn single_attempt(policy: RetryPolicy) -> RetryPolicy {
    let spec = RetryPolicySpec { max_attempts: 1, ..policy.into() };
    RetryPolicy::try_from(spec).expect("one attempt lies within the bounds")
}

/// The event of a KV write or delete.
pub(crate) fn kv_event(
    op: KvOp,
    collection: &Collection,
    key: &Key,
    value: Option<&Json>,
    version: Version,
) -> NewEvent {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let data = format!(
        r#"{{"collection":{},"key":{},"value":{},"version":{}}}"#,
        quoted(collection.as_str()),
        quoted(key.as_str()),
        value.map_or("null", Json::as_str),
        version.0
    );
    NewEvent {
        event_type: EventType::new(op.event_type()).expect("a constant within the rule"),
        subject: Subject::new(format!("{collection}/{key}")).expect("two names fit into a subject"),
        data: Json::from_store(data),
    }
}
