//! The raw exchange loop on SQLite: one connection, a settlement and a claim in one transaction, no handler.

use crate::sql;
use anyhow::ensure;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection};
use std::path::Path;
use std::time::Instant;

/// Leases never run out here.
const FOREVER: i64 = i64::MAX;

/// Drains `rows` rows of a plain table in the file `path` in batches of `batch`; rows per second, from the first claim to
/// the last commit.
pub async fn sqlite_exchange(path: &Path, rows: u32, batch: u32) -> anyhow::Result<f64> {
    let mut client = connect(path).await?;
    client.execute(sql::raw_sqlite_setup).await?;
    sqlx::query(sql::raw_sqlite_fill).bind(rows).execute(&mut client).await?;
    client.execute("pragma wal_checkpoint(truncate)").await?;
    let (mut ids, mut drained, mut bytes) = (Vec::<i64>::new(), 0, 0);
    let begun = Instant::now();
    loop {
        let mut transaction = client.begin_with("begin immediate").await?;
        if !ids.is_empty() {
            let done = serde_json::to_string(&ids)?;
            let settled = sqlx::query(sql::raw_sqlite_settle).bind(done).execute(&mut *transaction).await?;
            drained += settled.rows_affected();
        }
        let now = i64::from(rows);
        let claimed = sqlx::query(sql::raw_sqlite_claim)
            .bind(1_i64)
            .bind(FOREVER)
            .bind(now)
            .bind(batch)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        if claimed.is_empty() && ids.is_empty() {
            break;
        }
        ids = Vec::with_capacity(claimed.len());
        for row in &claimed {
            ids.push(row.try_get("id")?);
            bytes += row.try_get::<&str, _>("data")?.len();
        }
    }
    let took = begun.elapsed();
    let left: i64 = sqlx::query_scalar(sql::raw_sqlite_left).fetch_one(&mut client).await?;
    ensure!(left == 0 && drained == u64::from(rows) && bytes > 0, "{drained} of {rows} rows drained, {left} left");
    client.close().await?;
    Ok(f64::from(rows) / took.as_secs_f64())
}

/// Opened as the store opens its file: a log, durable commits, the same cache.
pub(crate) async fn connect(path: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-65536");
    Ok(options.connect().await?)
}
