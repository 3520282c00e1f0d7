//! The raw exchange loop on Postgres: one connection and one function that settles and claims,
//! without a handler.

use crate::harness::Database;
use crate::sql;
use anyhow::ensure;
use sqlx::{Executor as _, Row as _};
use std::time::Instant;

/// Drains a plain table of `rows` rows in batches of `batch`. Returns the rows per second from the
/// first claim to the last commit.
pub(crate) async fn postgres_exchange(database: &Database, rows: u32, batch: u32) -> anyhow::Result<f64> {
    let mut client = database.client().await?;
    client.execute(sql::raw_postgres_setup).await?;
    sqlx::query(sql::raw_postgres_fill).bind(i64::from(rows)).execute(&mut client).await?;
    database.vacuum_and_checkpoint().await?;
    let (mut ids, mut leases, mut drained) = (Vec::<i64>::new(), Vec::<i64>::new(), 0);
    let mut bytes = 0;
    let started_at = Instant::now();
    loop {
        let claimed = sqlx::query(sql::raw_postgres_exchange)
            .bind(&ids)
            .bind(&leases)
            .bind([1_i64])
            .bind([i32::try_from(batch)?])
            .fetch_all(&mut client)
            .await?;
        drained += ids.len();
        if claimed.is_empty() && ids.is_empty() {
            break;
        }
        (ids, leases) = (Vec::with_capacity(claimed.len()), Vec::with_capacity(claimed.len()));
        for row in &claimed {
            ids.push(row.try_get("id")?);
            leases.push(row.try_get("lease")?);
            bytes += row.try_get::<sqlx::types::Json<&serde_json::value::RawValue>, _>("data")?.get().len();
        }
    }
    let took = started_at.elapsed();
    let left: i64 = sqlx::query_scalar(sql::raw_postgres_left).fetch_one(&mut client).await?;
    ensure!(left == 0 && drained == rows as usize && bytes > 0, "{drained} of {rows} rows drained, {left} left");
    Ok(f64::from(rows) / took.as_secs_f64())
}
