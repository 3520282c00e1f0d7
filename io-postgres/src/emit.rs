//! Emitting an app's own events.

use crate::error::OrFailed;
use crate::{PgStore, sql};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tidegate_core::{AppName, EventId, TriggerId};
use tidegate_driver::{Emission, Emitted, OutboxStore, PortError};

#[async_trait]
impl OutboxStore for PgStore {
    async fn emit(&self, emission: &Emission) -> Result<Vec<Emitted>, PortError> {
        let Emission { app, events, cause, idempotency_key: key } = emission;
        let depth = cause.parent.map_or(0, |parent| i32::try_from(parent.depth).unwrap_or(i32::MAX));
        let mut connection = self.connection().await?;
        let rows = sqlx::query(sql::emit_events)
            .bind(app.as_str())
            .bind(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|event| event.subject.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|event| event.data.as_str()).collect::<Vec<_>>())
            .bind(cause.actor.as_str())
            .bind(cause.parent.map(|parent| parent.root_id.0))
            .bind(cause.parent.map(|parent| parent.parent_id.0))
            .bind(depth)
            .bind(cause.traceparent.as_deref())
            .bind(key.as_ref().map(|key| key.key.as_str()))
            .bind(key.as_ref().map(|key| key.digest.as_str()))
            .fetch_all(&mut *connection)
            .await;
        let rows = connection.finish(rows).or_failed()?;
        let emitted = rows.iter().map(emitted).collect::<Result<Result<Vec<_>, _>, _>>().or_failed()??;
        if emitted.iter().any(|one| !one.woken.is_empty()) {
            self.notify();
        }
        Ok(emitted)
    }
}

/// What one event came to: the outer error is of reading it, the inner one the store's own word.
fn emitted(row: &PgRow) -> Result<Result<Emitted, PortError>, sqlx::Error> {
    Ok(match row.try_get("status")? {
        "unknown_app" => Err(PortError::UnknownApp),
        "key_reused" => Err(PortError::IdempotencyKeyReused),
        _ => {
            let woken: Vec<i64> = row.try_get("woken")?;
            let event_id = EventId(row.try_get("event_id")?);
            Ok(Emitted { event_id, woken: woken.into_iter().map(TriggerId).collect() })
        }
    })
}

pub(crate) async fn require_app(connection: &mut PgConnection, app: &AppName) -> Result<(), PortError> {
    let exists = sqlx::query_scalar(sql::app_exists).bind(app.as_str()).fetch_one(connection).await.or_failed()?;
    if exists { Ok(()) } else { Err(PortError::UnknownApp) }
}
