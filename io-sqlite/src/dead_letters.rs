//! The dead letters of an app: list, redrive and discard.

use crate::letters::SelectedLetters;
use crate::query::Query;
use crate::rows;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use rusqlite::{Row, params};
use tidegate_core::{AppName, DeadLetterId, DeadReason, DeliveryId, TriggerName};
use tidegate_ports::{
    DeadLetter, DeadLetterFilter, DeadLetterStore, LetterBatch, LetterSelection, Page, PortError, Resolution,
};

#[async_trait]
impl DeadLetterStore for SqliteStore {
    async fn list(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Page<DeadLetter>, PortError> {
        self.letters(app, filter.clone(), None).await
    }

    async fn get(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        Ok(self.letters(app, DeadLetterFilter::default(), Some(id)).await?.items.pop())
    }

    async fn redrive(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let (app, selection) = (app.clone(), selection.clone());
        self.writer.write(move |tx| tx.redrive(&app, &selection)).await
    }

    async fn discard(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let (app, selection) = (app.clone(), selection.clone());
        self.writer.write(move |tx| tx.discard(&app, &selection)).await
    }

    async fn count(&self, app: &AppName, selection: &LetterSelection) -> Result<LetterBatch, PortError> {
        let all = LetterSelection { limit: u32::MAX, ..selection.clone() };
        self.read_app(app.clone(), move |connection, app| Ok(SelectedLetters::find(connection, app, &all)?.batch()))
            .await
    }
}

impl SqliteStore {
    async fn letters(
        &self,
        app: &AppName,
        filter: DeadLetterFilter,
        id: Option<DeadLetterId>,
    ) -> Result<Page<DeadLetter>, PortError> {
        self.read_app(app.clone(), move |connection, app| {
            let params = params![
                app.as_str(),
                filter.trigger.as_ref().map(TriggerName::as_str),
                filter.fingerprint.as_deref(),
                filter.open_only,
                filter.before.map(|before| before.0),
                filter.size.rows(),
                id.map(|id| id.0),
                filter.reason.map(DeadReason::as_str),
                filter.resolution.map(Resolution::as_str),
            ];
            connection.page(sql::dead_letter_list, params, |row| letter(row, app), filter.size, DeadLetter::bytes)
        })
        .await
    }
}

fn letter(row: &Row<'_>, app: &AppName) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: DeadLetterId(row.get("id")?),
        delivery_id: DeliveryId(row.get("delivery_id")?),
        trigger: rows::name(row, "trigger_name")?,
        trigger_version: row.get("trigger_version")?,
        handler: rows::handler(row)?,
        script_version: row.get("script_version")?,
        principal: rows::name(row, "principal")?,
        event: rows::named_event(row, app.clone())?,
        reason: DeadReason::from_name(rows::text(row, "reason")?).unwrap_or(DeadReason::AttemptsExhausted),
        attempts: row.get("attempts")?,
        failed: rows::failed(row)?,
        fingerprint: row.get("fingerprint")?,
        enqueued_at: rows::time(row, "enqueued_at")?,
        created_at: rows::time(row, "created_at")?,
        resolution: rows::maybe_text(row, "resolution")?.and_then(Resolution::from_name),
        handler_failure: rows::maybe_json(row, "handler_failure")?,
        redrive_generation: row.get("redrive_generation")?,
        previous_letter_id: row.get::<_, Option<i64>>("previous_letter_id")?.map(DeadLetterId),
    })
}
