//! Dead letters.

use crate::error::port;
use crate::letters::Picked;
use crate::rows;
use crate::writer::OrRefused;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::{AppName, DeadLetterId, DeadReason, DeliveryId, TriggerName};
use tidegate_driver::{
    DeadLetter, DeadLetterFilter, DeadLetterStore, LetterBatch, LetterSelection, PortError, Resolution,
};

#[async_trait]
impl DeadLetterStore for SqliteStore {
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, PortError> {
        self.letters(app, filter, None).await
    }

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        let filter = DeadLetterFilter { limit: 1, ..DeadLetterFilter::default() };
        Ok(self.letters(app, &filter, Some(id)).await?.pop())
    }

    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let (app, selection) = (app.clone(), selection.clone());
        self.writer.write(move |tx| Box::pin(tx.redrive(app, selection))).await
    }

    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let (app, selection) = (app.clone(), selection.clone());
        self.writer.write(move |tx| Box::pin(tx.discard(app, selection))).await
    }

    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let mut reader = self.reader(app).await?;
        let all = LetterSelection { limit: u32::MAX, ..selection.clone() };
        Ok(Picked::find(&mut reader, app, &all).await?.batch())
    }
}

impl SqliteStore {
    async fn letters(
        &self,
        app: &AppName,
        filter: &DeadLetterFilter,
        id: Option<DeadLetterId>,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let mut reader = self.reader(app).await?;
        let rows = sqlx::query(sql::dead_letter_list)
            .bind(app.as_str())
            .bind(filter.trigger.as_ref().map(TriggerName::as_str))
            .bind(filter.fingerprint.as_deref())
            .bind(filter.open_only)
            .bind(filter.before.map(|before| before.0))
            .bind(filter.limit)
            .bind(id.map(|id| id.0))
            .bind(filter.reason.map(DeadReason::as_str))
            .bind(filter.resolution.map(Resolution::as_str))
            .fetch_all(&mut *reader)
            .await
            .or_refused()?;
        rows.iter().map(|row| letter(row, app)).collect::<Result<_, _>>().map_err(port)
    }
}

fn letter(row: &SqliteRow, app: &AppName) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        id: DeadLetterId(row.try_get("id")?),
        delivery_id: DeliveryId(row.try_get("delivery_id")?),
        trigger: rows::name(row, "trigger_name")?,
        trigger_version: row.try_get("trigger_version")?,
        handler: rows::handler(row)?,
        script_version: row.try_get("script_version")?,
        principal: rows::name(row, "principal")?,
        event: rows::event(row, app.clone())?,
        reason: DeadReason::from_name(row.try_get("reason")?).unwrap_or(DeadReason::AttemptsExhausted),
        attempts: rows::count(row, "attempts")?,
        failed: rows::failed(row)?,
        fingerprint: row.try_get("fingerprint")?,
        enqueued_at: rows::time(row, "enqueued_at")?,
        created_at: rows::time(row, "created_at")?,
        resolution: row.try_get::<Option<&str>, _>("resolution")?.and_then(Resolution::from_name),
        handler_failure: rows::maybe_json(row, "handler_failure")?,
        redrive_generation: rows::count(row, "redrive_generation")?,
        previous_letter_id: row.try_get::<Option<i64>, _>("previous_letter_id")?.map(DeadLetterId),
    })
}
