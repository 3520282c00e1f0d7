//! The depth and the oldest due time of each lane, for metrics.

use crate::query::Query;
use crate::{SqliteStore, rows, sql};
use async_trait::async_trait;
use rusqlite::{Row, params};
use tidegate_core::Timestamp;
use tidegate_ports::{PortError, QueueState, QueueStore};

#[async_trait]
impl QueueStore for SqliteStore {
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError> {
        let now = self.writer.now();
        let queues =
            self.readers.read(move |connection| connection.all(sql::queues, params![now.0, count_max], queue)).await?;
        Ok((now, queues))
    }
}

fn queue(row: &Row<'_>) -> rusqlite::Result<QueueState> {
    Ok(QueueState {
        app: rows::name(row, "app")?,
        trigger: rows::name(row, "name")?,
        depth: row.get("depth")?,
        oldest_due: rows::maybe_time(row, "oldest_due")?,
    })
}
