//! Emitting: one outbox row per matching trigger, in the transaction of what happened.

use crate::SqliteStore;
use crate::sql;
use crate::writer::{OrRefused, Tx};
use async_trait::async_trait;
use sqlx::Row;
use tidegate_core::{
    AppName, Cause, Collection, DeadLetterId, EventId, EventType, Json, Key, KvOp, Micros, NewEvent, Source, Subject,
    TriggerId, Version,
};
use tidegate_driver::{Emission, Emitted, OutboxStore, PortError};
use uuid::Uuid;

/// For whom an event is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audience {
    /// For this trigger alone.
    pub(crate) only: Option<TriggerId>,
    /// Its rows handle this letter.
    pub(crate) letter: Option<DeadLetterId>,
}

/// How long an idempotency key is remembered.
pub(crate) const KEY_AGE_MAX: Micros = Micros::from_secs(24 * 3_600);

impl Tx<'_> {
    /// Writes the rows of one event.
    pub(crate) async fn fan_out(
        &mut self,
        app: &AppName,
        source: Source,
        new: &NewEvent,
        cause: &Cause,
        audience: Audience,
    ) -> Result<Emitted, PortError> {
        let event_id = Uuid::now_v7();
        let rows = sqlx::query(sql::fan_out)
            .bind(self.now.0)
            .bind(app.as_str())
            .bind(source.as_str())
            .bind(event_id)
            .bind(new.event_type.as_str())
            .bind(new.subject.as_str())
            .bind(cause.actor.as_str())
            .bind(cause.parent.map_or(event_id, |parent| parent.root_id.0))
            .bind(cause.parent.map(|parent| parent.parent_id.0))
            .bind(cause.parent.map_or(0, |parent| parent.depth))
            .bind(cause.traceparent.as_deref())
            .bind(new.data.as_str())
            .bind(audience.only.map(|trigger| trigger.0))
            .bind(audience.letter.map(|letter| letter.0))
            .fetch_all(&mut *self.connection)
            .await
            .or_refused()?;
        let woken = rows.iter().map(|row| row.try_get(0).map(TriggerId)).collect::<Result<_, _>>().or_refused()?;
        Ok(Emitted { event_id: EventId(event_id), woken })
    }

    pub(crate) async fn require_app(&mut self, app: &AppName) -> Result<(), PortError> {
        let exists: bool = sqlx::query_scalar(sql::app_exists)
            .bind(app.as_str())
            .fetch_one(&mut *self.connection)
            .await
            .or_refused()?;
        if exists { Ok(()) } else { Err(PortError::UnknownApp) }
    }

    pub(crate) async fn next_version(&mut self) -> Result<Version, PortError> {
        sqlx::query_scalar(sql::next_version).fetch_one(&mut *self.connection).await.map(Version).or_refused()
    }
}

/// A KV mutation's event. The value's text is taken as it is.
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

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn emit(&self, emission: &Emission) -> Result<Vec<Emitted>, PortError> {
        let emission = emission.clone();
        self.writer.write(move |tx| Box::pin(emit(tx, emission))).await
    }
}

async fn emit(mut tx: Tx<'_>, emission: Emission) -> Result<Vec<Emitted>, PortError> {
    let Emission { app, events, cause, idempotency_key } = emission;
    tx.require_app(&app).await?;
    if let Some(key) = &idempotency_key {
        sqlx::query(sql::idempotency_prune)
            .bind(tx.now.minus(KEY_AGE_MAX).0)
            .execute(&mut *tx.connection)
            .await
            .or_refused()?;
        let seen = sqlx::query_as::<_, (String, String)>(sql::idempotency_get)
            .bind(app.as_str())
            .bind(&key.key)
            .fetch_optional(&mut *tx.connection)
            .await
            .or_refused()?;
        if let Some((digest, event_ids)) = seen {
            if digest != key.digest {
                return Err(PortError::IdempotencyKeyReused);
            }
            let ids: Vec<EventId> = serde_json::from_str(&event_ids).unwrap_or_default();
            return Ok(ids.into_iter().map(|event_id| Emitted { event_id, woken: Vec::new() }).collect());
        }
    }
    let mut emitted = Vec::with_capacity(events.len());
    for event in &events {
        emitted.push(tx.fan_out(&app, Source::App, event, &cause, Audience::default()).await?);
    }
    if let Some(key) = idempotency_key {
        let ids: Vec<EventId> = emitted.iter().map(|one| one.event_id).collect();
        sqlx::query(sql::idempotency_put)
            .bind(app.as_str())
            .bind(key.key)
            .bind(key.digest)
            .bind(serde_json::json!(ids).to_string())
            .bind(tx.now.0)
            .execute(&mut *tx.connection)
            .await
            .or_refused()?;
    }
    Ok(emitted)
}
