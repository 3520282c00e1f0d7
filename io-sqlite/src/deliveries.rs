//! The list of deliveries in the outbox.

use crate::query::Query;
use crate::rows;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use rusqlite::{Row, params};
use tidegate_core::{AppName, DeliveryId, TriggerName};
use tidegate_ports::{DeliveryFilter, DeliveryState, DeliveryStore, DeliverySummary, Page, PortError};

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn list(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Page<DeliverySummary>, PortError> {
        self.deliveries(app, filter.clone(), None).await
    }

    async fn get(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError> {
        Ok(self.deliveries(app, DeliveryFilter::default(), Some(id)).await?.items.pop())
    }
}

impl SqliteStore {
    async fn deliveries(
        &self,
        app: &AppName,
        filter: DeliveryFilter,
        id: Option<DeliveryId>,
    ) -> Result<Page<DeliverySummary>, PortError> {
        let now = self.writer.now();
        self.read_app(app.clone(), move |connection, app| {
            let params = params![
                app.as_str(),
                filter.trigger.as_ref().map(TriggerName::as_str),
                filter.state.map(state_name),
                filter.after.map(|after| after.0),
                now.0,
                filter.size.rows(),
                id.map(|id| id.0),
            ];
            connection.page(sql::delivery_list, params, |row| summary(row, app), filter.size, DeliverySummary::bytes)
        })
        .await
    }
}

fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Ready => "ready",
        DeliveryState::Scheduled => "scheduled",
        DeliveryState::Leased => "leased",
    }
}

fn summary(row: &Row<'_>, app: &AppName) -> rusqlite::Result<DeliverySummary> {
    let state = match rows::text(row, "state")? {
        "leased" => DeliveryState::Leased,
        "scheduled" => DeliveryState::Scheduled,
        _ => DeliveryState::Ready,
    };
    Ok(DeliverySummary {
        id: DeliveryId(row.get("id")?),
        trigger: rows::name(row, "trigger_name")?,
        state,
        event: rows::named_event(row, app.clone())?,
        attempt: row.get("attempt")?,
        lost: row.get("lost")?,
        max_attempts: row.get("max_attempts")?,
        due_at: rows::time(row, "due_at")?,
        enqueued_at: rows::time(row, "enqueued_at")?,
        failed: rows::failed(row)?,
    })
}
