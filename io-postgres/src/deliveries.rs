//! Lists the deliveries in the outbox.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::rows;
use crate::{PgStore, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::{AppName, DeliveryId, TriggerName};
use tidegate_ports::{DeliveryFilter, DeliveryState, DeliveryStore, DeliverySummary, Page, PortError};

#[async_trait]
impl DeliveryStore for PgStore {
    async fn list(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Page<DeliverySummary>, PortError> {
        self.deliveries(app, filter, None).await
    }

    async fn get(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError> {
        Ok(self.deliveries(app, &DeliveryFilter::default(), Some(id)).await?.items.pop())
    }
}

impl PgStore {
    async fn deliveries(
        &self,
        app: &AppName,
        filter: &DeliveryFilter,
        id: Option<DeliveryId>,
    ) -> Result<Page<DeliverySummary>, PortError> {
        self.pool
            .read(async {
                let mut reader = self.connection().await?;
                require_app(&mut reader, app).await?;
                let rows = sqlx::query(sql::delivery_list)
                    .bind(app.as_str())
                    .bind(filter.trigger.as_ref().map(TriggerName::as_str))
                    .bind(filter.state.map(state_name))
                    .bind(filter.after.map(|after| after.0))
                    .bind(i64::from(filter.size.items))
                    .bind(id.map(|id| id.0))
                    .bind(rows::bytes(filter.size.bytes))
                    .fetch_all(&mut *reader)
                    .await
                    .or_failed()?;
                rows::page(&rows, |row| summary(row, app)).map_err(port)
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

fn summary(row: &PgRow, app: &AppName) -> Result<DeliverySummary, sqlx::Error> {
    let state = match row.try_get("state")? {
        "leased" => DeliveryState::Leased,
        "scheduled" => DeliveryState::Scheduled,
        _ => DeliveryState::Ready,
    };
    Ok(DeliverySummary {
        id: DeliveryId(row.try_get("id")?),
        trigger: rows::name(row, "trigger_name")?,
        state,
        event: rows::event(row, rows::EVENT, app.clone(), rows::time(row, "time")?)?,
        attempt: rows::count(row, "attempt")?,
        lost: rows::count(row, "lost")?,
        max_attempts: rows::count(row, "max_attempts")?,
        due_at: rows::time(row, "due_at")?,
        enqueued_at: rows::time(row, "enqueued_at")?,
        failed: rows::failed(row)?,
    })
}
