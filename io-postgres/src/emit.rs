//! Emitting an app's own events.

use crate::claimed::Claimed;
use crate::error::OrFailed;
use crate::{PgStore, sql};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tidegate_core::{AppName, EventId, StoreError, TriggerId};
use tidegate_ports::{Emission, EmittedEvent, OutboxStore, PortError, WakeHandle};

#[async_trait]
impl OutboxStore for PgStore {
    /// A caller that is gone does not stop its emission: the rows may be claimed by then.
    async fn emit(&self, emission: &Emission) -> Result<Vec<EmittedEvent>, PortError> {
        let emitting = tokio::spawn(self.clone().emit_owned(emission.clone()));
        emitting
            .await
            .unwrap_or_else(|error| Err(StoreError::unknown(format!("the emission broke off: {error}")).into()))
    }

    fn attach(&self, wake: WakeHandle) {
        self.dispatcher.set(wake).ok();
    }
}

impl PgStore {
    async fn emit_owned(self, emission: Emission) -> Result<Vec<EmittedEvent>, PortError> {
        let Emission { app, events, cause, idempotency_key: key } = &emission;
        let depth = cause.parent.map_or(0, |parent| i32::try_from(parent.depth).unwrap_or(i32::MAX));
        let mut connection = self.connection().await?;
        let offer = self.try_inline_claim();
        let query = sqlx::query(if offer.is_some() { sql::emit_and_claim } else { sql::emit_events })
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
            .bind(key.as_ref().map(|key| key.digest.as_str()));
        let rows = Claimed::bind(query, offer.as_ref()).fetch_all(&mut *connection).await;
        let mut rows = connection.finish(rows).or_failed()?;
        let claimed = if offer.is_some() { Claimed::split_off(&mut rows) } else { Vec::new() };
        let mut emitted = rows.iter().map(emitted).collect::<Result<Result<Vec<_>, _>, _>>().or_failed()??;
        if let Some(offer) = offer {
            emitted.iter_mut().for_each(|one| one.note_claimed(&claimed));
            offer.claimed(claimed);
        }
        self.tell_of(emitted.iter());
        Ok(emitted)
    }
}

/// What one event came to: the outer error is of reading it, the inner one the store's own word.
fn emitted(row: &PgRow) -> Result<Result<EmittedEvent, PortError>, sqlx::Error> {
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
