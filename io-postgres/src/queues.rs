//! Reads the depth of the lanes.

use crate::error::{OrFailed, port};
use crate::time::PgTime;
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tidegate_core::Timestamp;
use tidegate_ports::{PortError, QueueState, QueueStore};

#[async_trait]
impl QueueStore for PgStore {
    async fn queues(&self, count_max: u32) -> Result<(Timestamp, Vec<QueueState>), PortError> {
        self.pool
            .read(async {
                let query = sqlx::query(sql::queues).bind(i64::from(count_max));
                let found = query.fetch_all(&mut *self.connection().await?).await.or_failed()?;
                queue_states(&found).map_err(port)
            })
            .await
    }
}

/// Each row contains the store's time. If the outbox is empty, there is one row with the time
/// alone.
fn queue_states(found: &[PgRow]) -> Result<(Timestamp, Vec<QueueState>), sqlx::Error> {
    let now = rows::time(found.first().ok_or(sqlx::Error::RowNotFound)?, "now")?;
    let mut queues = Vec::new();
    for row in found {
        if row.try_get::<Option<&str>, _>("name")?.is_some() {
            queues.push(QueueState {
                app: rows::name(row, "app")?,
                trigger: rows::name(row, "name")?,
                depth: u32::try_from(row.try_get::<i64, _>("depth")?).unwrap_or(u32::MAX),
                oldest_due: row.try_get::<Option<PgTime>, _>("oldest_due")?.map(|time| time.0),
            });
        }
    }
    Ok((now, queues))
}
