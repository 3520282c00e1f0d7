//! Events: facts that happened.

use crate::json::Json;
use crate::names::{AppName, EventId, EventType, PrincipalId, Subject};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The origin of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A KV mutation: `kv.set`, `kv.delete`.
    Kv,
    /// A sync call by HTTP: `http.request`.
    Http,
    /// The app itself, through `emit`.
    App,
    /// A tick of a cron trigger: `cron.tick`.
    Cron,
    /// A change of a table, emitted by a database trigger of the user.
    Table,
    /// The creation of a dead letter: `dead_letter.created`.
    DeadLetter,
}

impl Source {
    /// Every source with its name in SQL, the API and metrics.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Kv, "kv"),
        (Self::Http, "http"),
        (Self::App, "app"),
        (Self::Cron, "cron"),
        (Self::Table, "table"),
        (Self::DeadLetter, "dead_letter"),
    ];

    /// The name in SQL, the API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(source, _)| *source == self).map_or("", |(_, name)| name)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(source, _)| *source)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A fact that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub app: AppName,
    pub source: Source,
    /// The kind of the event, such as `kv.set` or `order.created`.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The object that the event is about. For a KV event it is `collection/key`.
    pub subject: Subject,
    /// The time of the event, by the store's clock.
    pub time: Timestamp,
    pub data: Json,
    /// The principal that caused the event.
    pub actor: PrincipalId,
    /// The first event of the chain. For an event from outside it is the id of the event itself.
    pub root_id: EventId,
    /// The event whose handler emitted this one. `None` for an event from outside.
    pub parent_id: Option<EventId>,
    /// 0 for an event from outside, otherwise the depth of the parent plus 1.
    pub depth: u32,
    /// The W3C trace context. Tidegate passes it on and does not read it.
    pub traceparent: Option<String>,
}

impl Event {
    /// The bytes of the data, which a claim counts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.data.as_str().len() as u64
    }
}

/// An event that is not emitted yet. The store sets its id, its time and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub subject: Subject,
    pub data: Json,
}

impl NewEvent {
    /// The bytes of the type, the subject and the data.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.event_type.as_str().len() + self.subject.as_str().len() + self.data.as_str().len()) as u64
    }
}

/// The cause of an event: a principal, and the event that the principal was handling.
///
/// The engine sets it from the execution that emits, never from a payload or a header. So a caller
/// can neither hide a loop nor fake one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub actor: PrincipalId,
    /// `None` if the event comes from outside.
    pub parent: Option<Parent>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
}

/// The place of a new event in its chain: after the event that the emitting execution handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The first event of the chain.
    pub root_id: EventId,
    /// The event that the execution handles.
    pub parent_id: EventId,
    /// The depth of the new event: the depth of the handled event plus 1.
    pub depth: u32,
}

impl Cause {
    /// The cause of an event that `actor` emits from outside.
    #[must_use]
    pub fn outside(actor: PrincipalId) -> Self {
        Self { actor, parent: None, traceparent: None }
    }

    /// The cause of an event that an execution emits while it handles `event` as `actor`.
    #[must_use]
    pub fn handling(event: &Event, actor: PrincipalId) -> Self {
        Self {
            actor,
            parent: Some(Parent { root_id: event.root_id, parent_id: event.id, depth: event.depth.saturating_add(1) }),
            traceparent: event.traceparent.clone(),
        }
    }
}
