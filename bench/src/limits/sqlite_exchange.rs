//! The raw exchange loop on SQLite: one connection, with a settlement and a claim in each
//! transaction, without a handler.

use crate::sql;
use anyhow::ensure;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::task::spawn_blocking;

/// The leases of the loop never expire.
const LEASE_UNTIL: i64 = i64::MAX;
const TRIGGER: i64 = 1;

/// The form of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawClaim {
    /// One row for each claim, as in Tidegate. The claimed rows do not change.
    OneRow,
    /// A lease in each claimed row.
    Leases,
}

/// Drains a plain table of `rows` rows in the file `path` in batches of `batch`. Returns the rows
/// per second from the first claim to the last commit.
pub async fn sqlite_exchange(path: &Path, claim: RawClaim, rows: u32, batch: u32) -> anyhow::Result<f64> {
    on_sqlite(path, move |client| exchange(client, claim, rows, batch)).await
}

/// The rows of a claim.
#[derive(Default)]
struct Claimed {
    ids: Vec<i64>,
    /// The due time of the last row, where the next claim begins.
    floor: i64,
    /// The length of the data.
    bytes: usize,
}

fn exchange(client: &mut Connection, claim: RawClaim, rows: u32, batch: u32) -> anyhow::Result<f64> {
    client.execute_batch(sql::raw_sqlite_setup)?;
    if claim == RawClaim::Leases {
        client.execute_batch(sql::raw_sqlite_leases_setup)?;
    }
    client.execute(sql::raw_sqlite_fill, [rows])?;
    client.query_row(sql::raw_sqlite_checkpoint, (), |_| Ok(()))?;
    let (mut held, mut drained, mut bytes) = (Claimed::default(), 0, 0);
    let started_at = Instant::now();
    loop {
        let transaction = client.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !held.ids.is_empty() {
            drained += settle(&transaction, claim, &held.ids)?;
        }
        let claimed = match claim {
            RawClaim::OneRow => claim_in_one_row(&transaction, held.floor, rows, batch)?,
            RawClaim::Leases => claim_with_leases(&transaction, rows, batch)?,
        };
        transaction.commit()?;
        bytes += claimed.bytes;
        if claimed.ids.is_empty() && held.ids.is_empty() {
            break;
        }
        held = claimed;
    }
    let took = started_at.elapsed();
    let left: i64 = client.query_row(sql::raw_sqlite_left, (), |row| row.get(0))?;
    ensure!(left == 0 && drained == rows as usize && bytes > 0, "{drained} of {rows} rows drained, {left} left");
    Ok(f64::from(rows) / took.as_secs_f64())
}

fn settle(transaction: &Transaction<'_>, claim: RawClaim, ids: &[i64]) -> anyhow::Result<usize> {
    let done = serde_json::to_string(ids)?;
    Ok(match claim {
        RawClaim::OneRow => {
            transaction.prepare_cached(sql::raw_sqlite_claim_delete)?.execute(())?;
            transaction.prepare_cached(sql::raw_sqlite_settle)?.execute([done])?
        }
        RawClaim::Leases => transaction.prepare_cached(sql::raw_sqlite_leases_settle)?.execute([done])?,
    })
}

fn claim_in_one_row(transaction: &Transaction<'_>, floor: i64, rows: u32, batch: u32) -> anyhow::Result<Claimed> {
    let mut claimed = Claimed { floor, ..Claimed::default() };
    let mut claim = transaction.prepare_cached(sql::raw_sqlite_claim)?;
    let mut found = claim.query(params![TRIGGER, floor, i64::from(rows), batch])?;
    while let Some(row) = found.next()? {
        claimed.ids.push(row.get("id")?);
        claimed.floor = row.get("due_at")?;
        claimed.bytes += row.get::<_, String>("data")?.len();
    }
    if !claimed.ids.is_empty() {
        let deliveries = serde_json::to_string(&claimed.ids)?;
        transaction.prepare_cached(sql::raw_sqlite_claim_add)?.execute(params![LEASE_UNTIL, deliveries])?;
    }
    Ok(claimed)
}

fn claim_with_leases(transaction: &Transaction<'_>, rows: u32, batch: u32) -> anyhow::Result<Claimed> {
    let mut claimed = Claimed::default();
    let mut claim = transaction.prepare_cached(sql::raw_sqlite_leases_claim)?;
    let mut found = claim.query(params![TRIGGER, LEASE_UNTIL, i64::from(rows), batch])?;
    while let Some(row) = found.next()? {
        claimed.ids.push(row.get("id")?);
        claimed.bytes += row.get::<_, String>("data")?.len();
    }
    Ok(claimed)
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

/// Opens the file as the store does: a WAL, durable commits, the same sizes of pages and cache, and
/// plans that do not depend on bound values.
fn connect(path: &Path) -> anyhow::Result<Connection> {
    let client = Connection::open(path)?;
    client.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    client.pragma_update(None, "page_size", 8_192)?;
    client.pragma_update(None, "journal_mode", "wal")?;
    client.pragma_update(None, "synchronous", "full")?;
    client.pragma_update(None, "cache_size", -16_384)?;
    Ok(client)
}
