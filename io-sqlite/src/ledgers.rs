//! The ledgers of deliveries that ended without a dead letter: loops and abandoned executions.

use crate::query::Query;
use crate::{SqliteStore, rows, sql};
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use tidegate_core::{AbandonCause, AppName, DeliveryId};
use tidegate_ports::{AbandonedExecution, LedgerStore, LoopEntry, PortError};

#[async_trait]
impl LedgerStore for SqliteStore {
    async fn loops(&self, app: &AppName, limit: u32) -> Result<Vec<LoopEntry>, PortError> {
        let read = move |connection: &Connection, app: &AppName| {
            connection.all(sql::loop_list, params![app.as_str(), limit], loop_entry)
        };
        self.read_app(app.clone(), read).await
    }

    async fn abandoned(
        &self,
        app: &AppName,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<AbandonedExecution>, PortError> {
        let read = move |connection: &Connection, app: &AppName| {
            let params = params![app.as_str(), before.map(|id| id.0), limit];
            connection.all(sql::abandoned_list, params, abandoned)
        };
        self.read_app(app.clone(), read).await
    }
}

fn loop_entry(row: &Row<'_>) -> rusqlite::Result<LoopEntry> {
    Ok(LoopEntry {
        trigger: rows::name(row, "trigger_name")?,
        root_id: rows::event_id(row, "root_id")?,
        count: u64::try_from(row.get::<_, i64>("count")?).unwrap_or_default(),
        last_event_id: rows::event_id(row, "last_event_id")?,
        last_at: rows::time(row, "last_at")?,
    })
}

fn abandoned(row: &Row<'_>) -> rusqlite::Result<AbandonedExecution> {
    Ok(AbandonedExecution {
        delivery_id: DeliveryId(row.get("delivery_id")?),
        trigger: rows::name(row, "trigger_name")?,
        event_id: rows::event_id(row, "event_id")?,
        // A check on the column allows only these names.
        cause: AbandonCause::from_name(rows::text(row, "cause")?).unwrap_or(AbandonCause::NodeLost),
        outcome: row.get("outcome")?,
        status: row.get::<_, Option<i64>>("status")?.and_then(|status| u16::try_from(status).ok()),
        message: row.get("message")?,
        at: rows::time(row, "at")?,
    })
}
