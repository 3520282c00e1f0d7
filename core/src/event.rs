//! Events: facts that happened.

use crate::json::Json;
use crate::names::{AppName, EventId, EventType, PrincipalId, Subject};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A KV mutation: `kv.set`, `kv.delete`.
    Kv,
    /// A synchronous request: `http.request`.
    Http,
    /// The app itself, by `emit`.
    App,
    /// A tick of a cron trigger: `cron.tick`.
    Cron,
    /// A change of a table that a user's own trigger emits.
    Table,
    /// A dead letter came to be: `dead_letter.created`.
    DeadLetter,
}

impl Source {
    /// Every source, with its name in SQL, API and metrics.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Kv, "kv"),
        (Self::Http, "http"),
        (Self::App, "app"),
        (Self::Cron, "cron"),
        (Self::Table, "table"),
        (Self::DeadLetter, "dead_letter"),
    ];

    /// Its name in SQL, API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(source, _)| *source == self).map_or("", |(_, name)| name)
    }

    /// The source of that name.
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
    /// UUIDv7.
    pub id: EventId,
    /// The app it happened in.
    pub app: AppName,
    /// Where it comes from.
    pub source: Source,
    /// What happened, such as `kv.set` or `order.created`.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What it happened to; for KV `collection/key`.
    pub subject: Subject,
    /// When, by the store's clock.
    pub time: Timestamp,
    /// What else is to be known.
    pub data: Json,
    /// Who caused it.
    pub actor: PrincipalId,
    /// The event that began the chain; its own id for one from outside.
    pub root_id: EventId,
    /// The event whose handler emitted this one.
    pub parent_id: Option<EventId>,
    /// 0 from outside, one more than its parent's from a handler.
    pub depth: u32,
    /// W3C trace context, carried along.
    pub traceparent: Option<String>,
}

/// An event that is about to be emitted by an app. Id, time and chain are given by the store, never by a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What it happened to.
    pub subject: Subject,
    /// What else is to be known.
    pub data: Json,
}

/// What an event's chain is: who caused it and from which event it follows. It comes from the execution that emits,
/// never from a payload or a header, so a caller can neither hide a loop nor feign one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Who.
    pub actor: PrincipalId,
    /// The root and the parent, and the new event's depth; `None` from outside.
    pub parent: Option<Parent>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// The event that an execution was handling when it emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The root of the chain.
    pub root_id: EventId,
    /// The event being handled.
    pub parent_id: EventId,
    /// The depth of the new event: the handled event's depth and one.
    pub depth: u32,
}

impl Cause {
    /// Caused from outside by `actor`.
    #[must_use]
    pub fn outside(actor: PrincipalId) -> Self {
        Self { actor, parent: None, traceparent: None }
    }

    /// Caused by an execution that handles `event` as `actor`.
    #[must_use]
    pub fn handling(event: &Event, actor: PrincipalId) -> Self {
        Self {
            actor,
            parent: Some(Parent { root_id: event.root_id, parent_id: event.id, depth: event.depth.saturating_add(1) }),
            traceparent: event.traceparent.clone(),
        }
    }
}
