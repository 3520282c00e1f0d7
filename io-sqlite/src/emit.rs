//! Emission: one outbox row per matching trigger, in the transaction of the event.

use crate::SqliteStore;
use crate::inline_claim::InlineClaims;
use crate::query::Query;
use crate::sql;
use crate::writer::Tx;
use async_trait::async_trait;
use rusqlite::params;
use std::borrow::Cow;
use tidegate_core::{
    AppName, Cause, Collection, DeadLetterId, DeliveryId, EventId, EventType, Json, Key, KvOp, Micros, NewEvent,
    Source, Subject, TriggerId, Version,
};
use tidegate_ports::{Emission, EmittedEvent, OutboxStore, PortError, WakeHandle};
use uuid::Uuid;

/// Restricts the rows of an event. The default is one row for each matching trigger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audience {
    /// Only this trigger gets a row.
    pub(crate) only: Option<TriggerId>,
    /// The dead letter that the rows handle.
    pub(crate) letter: Option<DeadLetterId>,
}

/// The time that an idempotency key is kept.
pub(crate) const KEY_AGE_MAX: Micros = Micros::from_secs(24 * 3_600);

impl Tx<'_> {
    /// Writes one row of the event for each matching trigger.
    pub(crate) fn fan_out(
        &self,
        app: &AppName,
        source: Source,
        new: &NewEvent,
        cause: &Cause,
        audience: Audience,
        inline: &mut InlineClaims,
    ) -> Result<EmittedEvent, PortError> {
        let lanes = self.matching(app, source, new, audience.only)?;
        inline.plan(self, lanes.iter());
        self.write_rows(lanes, source, new, cause, audience.letter, inline)
    }

    /// Writes one row of the event for each of `lanes`.
    fn write_rows(
        &self,
        lanes: Vec<TriggerId>,
        source: Source,
        new: &NewEvent,
        cause: &Cause,
        letter: Option<DeadLetterId>,
        inline: &mut InlineClaims,
    ) -> Result<EmittedEvent, PortError> {
        let event_id = Uuid::now_v7();
        let root_id = cause.parent.map_or(event_id, |parent| parent.root_id.0);
        for trigger in &lanes {
            let params = params![
                self.now.0,
                trigger.0,
                source.as_str(),
                event_id.as_bytes(),
                new.event_type.as_str(),
                new.subject.as_str(),
                cause.actor.as_str(),
                root_id.as_bytes(),
                cause.parent.map(|parent| *parent.parent_id.0.as_bytes()),
                cause.parent.map_or(0, |parent| parent.depth),
                cause.traceparent,
                new.data.as_str(),
                letter.map(|letter| letter.0),
                inline.waits(*trigger),
            ];
            self.connection.run(sql::fan_out, params)?;
            inline.wrote(*trigger, DeliveryId(self.connection.last_insert_rowid()));
        }
        Ok(EmittedEvent::new(EventId(event_id), lanes))
    }

    /// The triggers that match an event, in the order of their ids.
    fn matching(
        &self,
        app: &AppName,
        source: Source,
        new: &NewEvent,
        only: Option<TriggerId>,
    ) -> Result<Vec<TriggerId>, PortError> {
        let (event_type, subject) = (new.event_type.as_str(), new.subject.as_str());
        let (first, second) = match source {
            Source::Kv => subject.split_once('/').unwrap_or(("", subject)),
            Source::App => (event_type, subject),
            _ => (subject, subject),
        };
        let only = only.map(|trigger| trigger.0);
        let params = params![app.as_str(), source.as_str(), event_type, for_glob(first), for_glob(second), only];
        self.connection.all(sql::fan_match, params, |row| row.get(0).map(TriggerId))
    }

    /// The next version for a value or a script. Versions only grow, so that no version is used
    /// twice.
    pub(crate) fn next_version(&self) -> Result<Version, PortError> {
        // The statement has no `returning`, because SQLite would build a temporary table for it at
        // each call.
        self.connection.run(sql::next_version, ())?;
        self.connection.one(sql::version, (), |row| row.get(0).map(Version))
    }
}

/// Replaces the two noncharacters that GLOB reads as U+FFFD by control characters, which are in no
/// name. See `fan_match.sql`.
fn for_glob(text: &str) -> Cow<'_, str> {
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        Cow::Owned(text.replace('\u{fffe}', "\u{1}").replace('\u{ffff}', "\u{2}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The event of a KV mutation. It contains the text of the value byte for byte.
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
        event_type: EventType::new(op.event_type()).expect("the constant is valid"),
        subject: Subject::new(format!("{collection}/{key}")).expect("a collection and a key are a valid subject"),
        data: Json::from_store(data),
    }
}

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError> {
        let emission = emission.clone();
        self.write_events(move |tx, inline| tx.emit(emission, inline), Vec::as_mut_slice).await
    }

    fn attach(&self, wake: WakeHandle) {
        self.dispatcher.set(wake).ok();
    }
}

impl Tx<'_> {
    fn emit(&self, emission: Emission, inline: &mut InlineClaims) -> Result<Vec<EmittedEvent>, PortError> {
        let Emission { app, events, cause, idempotency_key } = emission;
        self.connection.require_app(&app)?;
        if let Some(key) = &idempotency_key {
            self.connection.run(sql::idempotency_prune, [self.now.minus(KEY_AGE_MAX).0])?;
            let params = [app.as_str(), &key.key];
            let known: Option<(String, String)> =
                self.connection.maybe(sql::idempotency_get, params, |row| row.try_into())?;
            if let Some((digest, event_ids)) = known {
                if digest != key.digest {
                    return Err(PortError::IdempotencyKeyReused);
                }
                let ids: Vec<EventId> = serde_json::from_str(&event_ids).unwrap_or_default();
                return Ok(ids.into_iter().map(|event_id| EmittedEvent::new(event_id, Vec::new())).collect());
            }
        }
        let mut emitted = Vec::with_capacity(events.len());
        let matching = |event| self.matching(&app, Source::App, event, None);
        let lanes = events.iter().map(matching).collect::<Result<Vec<_>, _>>()?;
        inline.plan(self, lanes.iter().flatten());
        for (event, lanes) in events.iter().zip(lanes) {
            emitted.push(self.write_rows(lanes, Source::App, event, &cause, None, inline)?);
        }
        if let Some(key) = idempotency_key {
            let ids: Vec<EventId> = emitted.iter().map(|one| one.event_id).collect();
            let ids = serde_json::json!(ids).to_string();
            self.connection.run(sql::idempotency_put, params![app.as_str(), key.key, key.digest, ids, self.now.0])?;
        }
        Ok(emitted)
    }
}
