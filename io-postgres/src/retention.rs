//! Removes the records that are older than their retention.

use crate::error::OrFailed;
use crate::time::micros;
use crate::{PgStore, sql};
use async_trait::async_trait;
use tidegate_core::Micros;
use tidegate_ports::{PortError, RecordKind, RetentionStore};

#[async_trait]
impl RetentionStore for PgStore {
    async fn prune(&self, kind: RecordKind, age: Micros, limit: u32) -> Result<u32, PortError> {
        let statement = match kind {
            RecordKind::OpenLetters | RecordKind::HandledLetters | RecordKind::DiscardedLetters => sql::prune_letters,
            RecordKind::AbandonedExecutions => sql::prune_abandoned,
            RecordKind::Loops => sql::prune_loops,
            RecordKind::Sessions => sql::prune_sessions,
        };
        let query = sqlx::query(statement).bind(kind.as_str()).bind(micros(age)).bind(i64::from(limit));
        self.pool
            .write(async {
                let removed = query.execute(&mut *self.connection().await?).await.or_failed()?.rows_affected();
                Ok(u32::try_from(removed).unwrap_or(u32::MAX))
            })
            .await
    }

    async fn count_old(&self, kind: RecordKind, age: Micros, count_max: u32) -> Result<u32, PortError> {
        let query = sqlx::query_scalar::<_, i64>(sql::prune_count);
        let query = query.bind(kind.as_str()).bind(micros(age)).bind(i64::from(count_max));
        self.pool
            .read(async {
                let count = query.fetch_one(&mut *self.connection().await?).await.or_failed()?;
                Ok(u32::try_from(count).unwrap_or(u32::MAX))
            })
            .await
    }
}
