//! How much waits.

use crate::error::port;
use crate::writer::OrRefused;
use crate::{SqliteStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::Timestamp;
use tidegate_driver::{PortError, QueueState, QueueStore};

#[async_trait]
impl QueueStore for SqliteStore {
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError> {
        let now = self.writer.now();
        let query = sqlx::query(sql::queues).bind(now.0).bind(count_max);
        let found = query.fetch_all(&self.readers).await.or_refused()?;
        let queues = found.iter().map(queue).collect::<Result<_, _>>().map_err(port)?;
        Ok((now, queues))
    }
}

fn queue(row: &SqliteRow) -> Result<QueueState, sqlx::Error> {
    Ok(QueueState {
        app: rows::name(row, "app")?,
        trigger: rows::name(row, "name")?,
        depth: rows::count(row, "depth")?,
        oldest_due: row.try_get::<Option<i64>, _>("oldest_due")?.map(Timestamp),
    })
}
