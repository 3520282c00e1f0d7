//! Lists, redrives and discards dead letters.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::rows;
use crate::time::PgTime;
use crate::{PgStore, sql};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection, Row};
use tidegate_core::{AppName, DeadLetterId, DeadReason, DeliveryId, TriggerId, TriggerName};
use tidegate_ports::{
    DeadLetter, DeadLetterFilter, DeadLetterStore, LetterBatch, LetterSelection, Page, PortError, Resolution,
};

#[async_trait]
impl DeadLetterStore for PgStore {
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Page<DeadLetter>, PortError> {
        self.letters(app, filter, None).await
    }

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        Ok(self.letters(app, &DeadLetterFilter::default(), Some(id)).await?.items.pop())
    }

    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let batch = self.run_on_letters(sql::letters_redrive, app, selection).await?;
        self.notifier.notify(batch.woken_lanes.iter().copied());
        Ok(batch)
    }

    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        self.run_on_letters(sql::letters_discard, app, selection).await
    }

    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let all = LetterSelection { limit: u32::MAX, ..selection.clone() };
        self.run_on_letters(sql::letters_count, app, &all).await
    }
}

impl PgStore {
    /// Runs a statement that counts or changes the letters of `selection`.
    async fn run_on_letters(
        &self,
        statement: &'static str,
        app: &AppName,
        selection: &LetterSelection,
    ) -> Result<LetterBatch, PortError> {
        self.pool
            .write_long(async {
                let mut connection = self.connection().await?;
                let mut transaction = connection.begin().await.or_failed()?;
                let limit = self.pool.long_timeout().as_millis().to_string();
                sqlx::query(sql::long_call).bind(limit).execute(&mut *transaction).await.or_failed()?;
                require_app(&mut transaction, app).await?;
                let ids = selection.ids.as_ref().map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>());
                let row = sqlx::query(statement)
                    .bind(app.as_str())
                    .bind(ids)
                    .bind(selection.trigger.as_ref().map(TriggerName::as_str))
                    .bind(selection.fingerprint.as_deref())
                    .bind(selection.reason.map(DeadReason::as_str))
                    .bind(selection.created_from.map(PgTime))
                    .bind(selection.created_before.map(PgTime))
                    .bind(selection.resolution.map(Resolution::as_str))
                    .bind(selection.after.map(|after| after.0))
                    .bind(i64::from(selection.limit))
                    .fetch_one(&mut *transaction)
                    .await
                    .or_failed()?;
                transaction.commit().await.or_failed()?;
                batch(&row).map_err(port)
            })
            .await
    }

    async fn letters(
        &self,
        app: &AppName,
        filter: &DeadLetterFilter,
        id: Option<DeadLetterId>,
    ) -> Result<Page<DeadLetter>, PortError> {
        self.pool
            .read(async {
                let mut reader = self.connection().await?;
                require_app(&mut reader, app).await?;
                let rows = sqlx::query(sql::dead_letter_list)
                    .bind(app.as_str())
                    .bind(filter.trigger.as_ref().map(TriggerName::as_str))
                    .bind(filter.fingerprint.as_deref())
                    .bind(filter.open_only)
                    .bind(filter.before.map(|before| before.0))
                    .bind(i64::from(filter.size.items))
                    .bind(id.map(|id| id.0))
                    .bind(filter.reason.map(DeadReason::as_str))
                    .bind(filter.resolution.map(Resolution::as_str))
                    .bind(rows::bytes(filter.size.bytes))
                    .fetch_all(&mut *reader)
                    .await
                    .or_failed()?;
                rows::page(&rows, |row| letter(row, app)).map_err(port)
            })
            .await
    }
}

fn batch(row: &PgRow) -> Result<LetterBatch, sqlx::Error> {
    let count = |column| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or_default());
    Ok(LetterBatch {
        matched: count("matched")?,
        skipped: count("skipped")?,
        last: row.try_get::<Option<i64>, _>("last")?.map(DeadLetterId),
        woken_lanes: row.try_get::<Vec<i64>, _>("woken")?.into_iter().map(TriggerId).collect(),
    })
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
        event: rows::event(row, rows::EVENT, app.clone(), rows::time(row, "time")?)?,
        // A check constraint allows only known reasons.
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
