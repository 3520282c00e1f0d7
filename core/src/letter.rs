//! The event that a dead letter is: what its handlers get to see.

use crate::attempt::{Attempt, DeadReason};
use crate::event::{Event, NewEvent};
use crate::json::Json;
use crate::names::{DeadLetterId, EventType, Subject, TriggerName};
use serde_json::json;

/// A dead letter, as far as its event tells of it.
#[derive(Clone, Copy, Debug)]
pub struct LetterEvent<'a> {
    /// The letter.
    pub id: DeadLetterId,
    /// The trigger that failed.
    pub trigger: &'a TriggerName,
    /// Why.
    pub reason: DeadReason,
    /// How many attempts were made.
    pub attempts: u32,
    /// Groups equal failures.
    pub fingerprint: &'a str,
    /// The last attempt, if there was one.
    pub last: Option<&'a Attempt>,
    /// The event that was not handled.
    pub event: &'a Event,
}

impl LetterEvent<'_> {
    /// `dead_letter.created`, on the name of the trigger that failed. Its data is `{"dead_letter_id", "trigger", "reason",
    /// "fingerprint", "attempts", "error", "message", "event": {"id", "source", "type", "subject", "data"}}`; the stores' SQL
    /// writes the same.
    #[must_use]
    pub fn to_event(&self) -> NewEvent {
        let dead = self.event;
        let quoted = |text: &str| json!(text).to_string();
        // By hand, so that the data goes through byte for byte.
        let event = format!(
            r#"{{"id":{},"source":{},"type":{},"subject":{},"data":{}}}"#,
            quoted(&dead.id.to_string()),
            quoted(dead.source.as_str()),
            quoted(dead.event_type.as_str()),
            quoted(dead.subject.as_str()),
            dead.data.as_str()
        );
        let data = format!(
            r#"{{"dead_letter_id":{},"trigger":{},"reason":{},"fingerprint":{},"attempts":{},"error":{},"message":{},"event":{event}}}"#,
            self.id,
            quoted(self.trigger.as_str()),
            quoted(self.reason.as_str()),
            quoted(self.fingerprint),
            self.attempts,
            json!(self.last.map(|last| last.error.code())),
            json!(self.last.map(|last| &last.message)),
        );
        NewEvent {
            event_type: EventType::new("dead_letter.created").expect("a constant within the rule"),
            subject: Subject::new(self.trigger.as_str()).expect("a trigger's name fits into a subject"),
            data: Json::from_store(data),
        }
    }
}
