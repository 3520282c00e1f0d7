//! Lists loops and abandoned executions, which end deliveries without a dead letter.

use crate::emit::require_app;
use crate::error::{OrFailed, port};
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::{AbandonCause, AppName, DeliveryId, EventId};
use tidegate_ports::{AbandonedExecution, LedgerStore, LoopEntry, PortError};

#[async_trait]
impl LedgerStore for PgStore {
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError> {
        self.pool
            .read(async {
                let mut reader = self.connection().await?;
                require_app(&mut reader, app).await?;
                let query = sqlx::query(sql::loop_list).bind(app.as_str()).bind(i64::from(limit));
                let found = query.fetch_all(&mut *reader).await.or_failed()?;
                found.iter().map(loop_entry).collect::<Result<_, _>>().map_err(port)
            })
            .await
    }

    async fn abandoned(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError> {
        self.pool
            .read(async {
                let mut reader = self.connection().await?;
                require_app(&mut reader, app).await?;
                let query = sqlx::query(sql::abandoned_list)
                    .bind(app.as_str())
                    .bind(before.map(|id| id.0))
                    .bind(i64::from(limit));
                let found = query.fetch_all(&mut *reader).await.or_failed()?;
                found.iter().map(abandoned).collect::<Result<_, _>>().map_err(port)
            })
            .await
    }
}

fn loop_entry(row: &PgRow) -> Result<LoopEntry, sqlx::Error> {
    Ok(LoopEntry {
        trigger: rows::name(row, "trigger_name")?,
        root_id: EventId(row.try_get("root_id")?),
        count: u64::try_from(row.try_get::<i64, _>("count")?).unwrap_or_default(),
        last_event_id: EventId(row.try_get("last_event_id")?),
        last_at: rows::time(row, "last_at")?,
    })
}

fn abandoned(row: &PgRow) -> Result<AbandonedExecution, sqlx::Error> {
    Ok(AbandonedExecution {
        delivery_id: DeliveryId(row.try_get("delivery_id")?),
        trigger: rows::name(row, "trigger_name")?,
        event_id: EventId(row.try_get("event_id")?),
        // A check constraint allows only known causes.
        cause: AbandonCause::from_name(row.try_get("cause")?).unwrap_or(AbandonCause::NodeLost),
        outcome: row.try_get("outcome")?,
        status: row.try_get::<Option<i32>, _>("status")?.and_then(|status| u16::try_from(status).ok()),
        message: row.try_get("message")?,
        at: rows::time(row, "at")?,
    })
}
