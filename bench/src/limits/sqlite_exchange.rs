//! The raw exchange loop on SQLite: one connection, with a settlement and a claim in each
//! transaction, without a handler.

use crate::sql;
use anyhow::ensure;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::task::spawn_blocking;

/// The leases of the loop never expire.
const LEASE_UNTIL: i64 = i64::MAX;

/// Drains a plain table of `rows` rows in the file `path` in batches of `batch`. Returns the rows
/// per second from the first claim to the last commit.
pub async fn sqlite_exchange(path: &Path, rows: u32, batch: u32) -> anyhow::Result<f64> {
    on_sqlite(path, move |client| exchange(client, rows, batch)).await
}

fn exchange(client: &mut Connection, rows: u32, batch: u32) -> anyhow::Result<f64> {
    client.execute_batch(sql::raw_sqlite_setup)?;
    client.execute(sql::raw_sqlite_fill, [rows])?;
    client.query_row(sql::raw_sqlite_checkpoint, (), |_| Ok(()))?;
    let (mut ids, mut drained, mut bytes) = (Vec::<i64>::new(), 0, 0);
    let started_at = Instant::now();
    loop {
        let transaction = client.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !ids.is_empty() {
            let done = serde_json::to_string(&ids)?;
            drained += transaction.prepare_cached(sql::raw_sqlite_settle)?.execute([done])?;
        }
        let mut claimed = Vec::new();
        {
            let mut claim = transaction.prepare_cached(sql::raw_sqlite_claim)?;
            let mut found = claim.query(params![1_i64, LEASE_UNTIL, i64::from(rows), batch])?;
            while let Some(row) = found.next()? {
                claimed.push(row.get("id")?);
                bytes += row.get::<_, String>("data")?.len();
            }
        }
        transaction.commit()?;
        if claimed.is_empty() && ids.is_empty() {
            break;
        }
        ids = claimed;
    }
    let took = started_at.elapsed();
    let left: i64 = client.query_row(sql::raw_sqlite_left, (), |row| row.get(0))?;
    ensure!(left == 0 && drained == rows as usize && bytes > 0, "{drained} of {rows} rows drained, {left} left");
    Ok(f64::from(rows) / took.as_secs_f64())
}

/// Runs `work` with a connection to the file `path`, on a thread that may block.
pub(crate) async fn on_sqlite<T, W>(path: &Path, work: W) -> anyhow::Result<T>
where
    T: Send + 'static,
    W: FnOnce(&mut Connection) -> anyhow::Result<T> + Send + 'static,
{
    let path: PathBuf = path.to_owned();
    spawn_blocking(move || {
        let mut client = connect(&path)?;
        let result = work(&mut client)?;
        client.close().map_err(|(_, error)| error)?;
        Ok(result)
    })
    .await?
}

/// Opens the file as the store does: a WAL, durable commits, the same cache size, and plans that do
/// not depend on bound values.
fn connect(path: &Path) -> anyhow::Result<Connection> {
    let client = Connection::open(path)?;
    client.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    client.pragma_update(None, "journal_mode", "wal")?;
    client.pragma_update(None, "synchronous", "full")?;
    client.pragma_update(None, "cache_size", -16_384)?;
    Ok(client)
}
