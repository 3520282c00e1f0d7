//! Dead letters.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::rows;
use crate::{PgStore, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::{AppName, DeadLetterId, DeadReason, DeliveryId, TriggerName};
use tidegate_driver::{DeadLetter, DeadLetterFilter, DeadLetterStore, PortError, Resolution};

#[async_trait]
impl DeadLetterStore for PgStore {
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, PortError> {
        self.letters(app, filter, None).await
    }

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        let filter = DeadLetterFilter { limit: 1, ..DeadLetterFilter::default() };
        Ok(self.letters(app, &filter, Some(id)).await?.pop())
    }
}

impl PgStore {
    async fn letters(
        &self,
        app: &AppName,
        filter: &DeadLetterFilter,
        id: Option<DeadLetterId>,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let mut reader = self.connection().await?;
        require_app(&mut reader, app).await?;
        let rows = sqlx::query(sql::dead_letter_list)
            .bind(app.as_str())
            .bind(filter.trigger.as_ref().map(TriggerName::as_str))
            .bind(filter.fingerprint.as_deref())
            .bind(filter.open_only)
            .bind(filter.before.map(|before| before.0))
            .bind(i64::from(filter.limit))
            .bind(id.map(|id| id.0))
            .fetch_all(&mut *reader)
            .await
            .or_failed()?;
        rows.iter().map(|row| letter(row, app)).collect::<Result<_, _>>().map_err(port)
    }
}

fn letter(row: &PgRow, app: &AppName) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        id: DeadLetterId(row.try_get("id")?),
        delivery_id: DeliveryId(row.try_get("delivery_id")?),
        trigger: rows::name(row, "trigger_name")?,
        trigger_version: row.try_get("trigger_version")?,
        handler: rows::handler(row)?,
        script_version: row.try_get("script_version")?,
        principal: rows::name(row, "principal")?,
        event: rows::event(row, app.clone())?,
        reason: reason(row.try_get("reason")?),
        attempts: rows::count(row, "attempts")?,
        failed: rows::failed(row)?,
        fingerprint: row.try_get("fingerprint")?,
        enqueued_at: rows::time(row, "enqueued_at")?,
        created_at: rows::time(row, "created_at")?,
        resolution: row.try_get::<Option<&str>, _>("resolution")?.map(resolution),
        redrive_generation: rows::count(row, "redrive_generation")?,
    })
}

/// The column's check lets no other text in.
fn reason(name: &str) -> DeadReason {
    match name {
        "max_age" => DeadReason::MaxAge,
        "permanent" => DeadReason::Permanent,
        "principal_denied" => DeadReason::PrincipalDenied,
        "handler_missing" => DeadReason::HandlerMissing,
        _ => DeadReason::AttemptsExhausted,
    }
}

/// The column's check lets no other text in.
fn resolution(name: &str) -> Resolution {
    match name {
        "handled" => Resolution::Handled,
        "handler_failed" => Resolution::HandlerFailed,
        "redriven" => Resolution::Redriven,
        _ => Resolution::Discarded,
    }
}
