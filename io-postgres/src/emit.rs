//! Emits the events of an app.

use crate::error::OrFailed;
use crate::inline_claim::{WriteStatement, Written};
use crate::{PgStore, sql};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tidegate_core::{AppName, EventId, StoreError, TriggerId};
use tidegate_ports::{Emission, EmittedEvent, OutboxStore, PortError, WakeHandle};

const EMIT: WriteStatement = WriteStatement { plain: sql::emit_events, and_claim: sql::emit_and_claim };

#[async_trait]
impl OutboxStore for PgStore {
    /// The emission runs in a task of its own. So it ends, and hands over its inline claim, even if
    /// the caller drops this future.
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError> {
        let task = tokio::spawn(self.clone().emit_owned(emission.clone()));
        task.await.unwrap_or_else(|error| {
            Err(StoreError::unknown(format!("the emission was interrupted; it may have been applied: {error}")).into())
        })
    }

    fn attach(&self, wake: WakeHandle) {
        self.writer.attach(wake);
    }
}

impl PgStore {
    async fn emit_owned(self, emission: Emission) -> Result<Vec<EmittedEvent>, PortError> {
        let Emission { app, events, cause, idempotency_key: key } = &emission;
        let depth = cause.parent.map_or(0, |parent| i32::try_from(parent.depth).unwrap_or(i32::MAX));
        let written = self.writer.write(EMIT, |query| {
            query
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
        });
        let Written { rows, inline_claim } = written.await?;
        let decoded = rows.iter().map(emitted_event).collect::<Result<Result<Vec<_>, _>, _>>();
        let mut emitted = decoded.or_failed()??;
        self.writer.publish(inline_claim, emitted.iter_mut());
        Ok(emitted)
    }
}

/// Decodes the row of one event. The outer error means that the row is unreadable. The inner error
/// is the status that the SQL function returned.
fn emitted_event(row: &PgRow) -> Result<Result<EmittedEvent, PortError>, sqlx::Error> {
    Ok(match row.try_get("status")? {
        "unknown_app" => Err(PortError::UnknownApp),
        "key_reused" => Err(PortError::IdempotencyKeyReused),
        _ => {
            let woken: Vec<i64> = row.try_get("woken")?;
            Ok(EmittedEvent::new(EventId(row.try_get("emitted_id")?), woken.into_iter().map(TriggerId).collect()))
        }
    })
}

pub(crate) async fn require_app(connection: &mut PgConnection, app: &AppName) -> Result<(), PortError> {
    let exists = sqlx::query_scalar(sql::app_exists).bind(app.as_str()).fetch_one(connection).await.or_failed()?;
    if exists { Ok(()) } else { Err(PortError::UnknownApp) }
}
