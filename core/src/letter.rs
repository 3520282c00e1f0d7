//! The event that a dead-letter handler receives.

use crate::attempt::{Attempt, DeadReason};
use crate::event::{Event, NewEvent};
use crate::json::Json;
use crate::names::{DeadLetterId, EventType, Subject, TriggerName};
use serde_json::json;

/// The fields of a dead letter that its event contains.
#[derive(Clone, Copy, Debug)]
pub struct LetterEvent<'a> {
    pub id: DeadLetterId,
    /// The trigger that failed.
    pub trigger: &'a TriggerName,
    pub reason: DeadReason,
    /// The number of attempts.
    pub attempts: u32,
    /// Equal for equal failures.
    pub fingerprint: &'a str,
    /// The last attempt that began. `None` if the handler was never executed.
    pub last: Option<&'a Attempt>,
    /// The event that was not handled.
    pub event: &'a Event,
}

impl LetterEvent<'_> {
    /// Builds the event `dead_letter.created`. Its subject is the name of the trigger that failed.
    /// Its data is:
    ///
    /// ```json
    /// {"dead_letter_id", "trigger", "reason", "fingerprint", "attempts", "error", "message",
    ///  "event": {"id", "source", "type", "subject", "data"}}
    /// ```
    ///
    /// The stores write the same event in SQL.
    #[must_use]
    pub fn to_event(&self) -> NewEvent {
        let dead = self.event;
        let quoted = |text: &str| json!(text).to_string();
        // The text is written by hand, so that the data of the event stays the same byte for byte.
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
            event_type: EventType::new("dead_letter.created").expect("the constant is a valid event type"),
            subject: Subject::new(self.trigger.as_str()).expect("every trigger name is a valid subject"),
            data: Json::from_store(data),
        }
    }
}
