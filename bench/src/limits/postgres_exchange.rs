//! The raw exchange loops on Postgres: two connections and one function that settles and claims,
//! without a handler. In the faster loop a claim is a row of its own. The other loop marks claimed
//! rows in lease columns.

use crate::harness::Database;
use crate::sql;
use anyhow::ensure;
use futures_util::future::try_join_all;
use sqlx::types::Json;
use sqlx::{Executor as _, PgConnection, Row as _};
use std::time::Instant;

/// With two connections, the server works on one batch while the client decodes the other.
const CLIENTS: usize = 2;
const LANE: i64 = 1;

/// Whether a claim writes one row or all claimed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresLoop {
    /// A claim is one row with the ids and places of its rows. The event is one encoded column.
    Claims,
    /// A claim updates the lease columns of each row.
    Leases,
}

/// Drains a plain table of `rows` rows in batches of `batch`. Returns the rows per second from the
/// first claim to the last commit.
pub async fn postgres_exchange(
    database: &Database,
    exchange_loop: PostgresLoop,
    rows: u32,
    batch: u32,
) -> anyhow::Result<f64> {
    let (setup, fill) = match exchange_loop {
        PostgresLoop::Claims => (sql::raw_postgres_claims_setup, sql::raw_postgres_claims_fill),
        PostgresLoop::Leases => (sql::raw_postgres_leases_setup, sql::raw_postgres_leases_fill),
    };
    let mut client = database.client().await?;
    client.execute(setup).await?;
    sqlx::query(fill).bind(i64::from(rows)).execute(&mut client).await?;
    database.vacuum_and_checkpoint().await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(database.client().await?);
    }
    let quota = i32::try_from(batch)?;
    let started_at = Instant::now();
    let working = clients.into_iter().map(|client| async move {
        let work = match exchange_loop {
            PostgresLoop::Claims => tokio::spawn(exchange_claims(client, quota)),
            PostgresLoop::Leases => tokio::spawn(exchange_leases(client, quota)),
        };
        work.await?
    });
    let drained: usize = try_join_all(working).await?.iter().sum();
    let took = started_at.elapsed();
    let left: i64 = sqlx::query_scalar(sql::raw_postgres_left).fetch_one(&mut client).await?;
    ensure!(left == 0 && drained == rows as usize, "{drained} of {rows} rows drained, {left} left");
    Ok(f64::from(rows) / took.as_secs_f64())
}

/// Settles and claims until no row is left. Returns the number of rows.
async fn exchange_claims(mut client: PgConnection, quota: i32) -> anyhow::Result<usize> {
    let (mut claim, mut drained, mut bytes) = (0_i64, 0, 0);
    loop {
        let exchange = sqlx::query(sql::raw_postgres_claims_exchange).bind(claim).bind(LANE).bind(quota);
        let claimed = exchange.fetch_all(&mut client).await?;
        let Some(first) = claimed.first() else { break };
        claim = first.try_get("claim")?;
        for row in &claimed {
            bytes += row.try_get::<&[u8], _>("event")?.len();
        }
        drained += claimed.len();
    }
    ensure!(drained == 0 || bytes > 0, "the events were not read");
    Ok(drained)
}

/// The same with lease columns.
async fn exchange_leases(mut client: PgConnection, quota: i32) -> anyhow::Result<usize> {
    let (mut ids, mut leases, mut drained, mut bytes) = (Vec::<i64>::new(), Vec::<i64>::new(), 0, 0);
    loop {
        let exchange = sqlx::query(sql::raw_postgres_leases_exchange).bind(&ids).bind(&leases).bind([LANE]);
        let claimed = exchange.bind([quota]).fetch_all(&mut client).await?;
        if claimed.is_empty() {
            break;
        }
        (ids, leases) = (Vec::with_capacity(claimed.len()), Vec::with_capacity(claimed.len()));
        for row in &claimed {
            ids.push(row.try_get("id")?);
            leases.push(row.try_get("lease")?);
            bytes += row.try_get::<Json<&serde_json::value::RawValue>, _>("data")?.get().len();
        }
        drained += claimed.len();
    }
    ensure!(drained == 0 || bytes > 0, "the events were not read");
    Ok(drained)
}
