//! Removes the records that are older than their retention.

use crate::query::Query;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use rusqlite::params;
use tidegate_core::Micros;
use tidegate_ports::{PortError, RecordKind, RetentionStore};

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn prune(&self, kind: RecordKind, age: Micros, limit: u32) -> Result<u32, PortError> {
        let statement = match kind {
            RecordKind::OpenLetters | RecordKind::HandledLetters | RecordKind::DiscardedLetters => sql::prune_letters,
            RecordKind::AbandonedExecutions => sql::prune_abandoned,
            RecordKind::Loops => sql::prune_loops,
            RecordKind::Sessions => sql::prune_sessions,
        };
        self.writer
            .write(move |tx| {
                let removed = tx.connection.run(statement, params![kind.as_str(), tx.now.minus(age).0, limit])?;
                Ok(u32::try_from(removed).unwrap_or(u32::MAX))
            })
            .await
    }

    async fn count_old(&self, kind: RecordKind, age: Micros, count_max: u32) -> Result<u32, PortError> {
        let before = self.writer.now().minus(age);
        self.readers
            .read(move |connection| {
                connection.one(sql::prune_count, params![kind.as_str(), before.0, count_max], |row| row.get(0))
            })
            .await
    }
}
