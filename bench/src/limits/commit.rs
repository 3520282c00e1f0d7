//! The single-commit rate: one connection that inserts one row and commits, again and again. It is what every request
//! would cost that is durable and shares its commit with nobody.

use super::sqlite_exchange::on_sqlite;
use crate::harness::Database;
use crate::sql;
use sqlx::Executor as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Commits per second on Postgres, during `time`.
pub(crate) async fn postgres_commits(database: &Database, time: Duration) -> anyhow::Result<f64> {
    let mut client = database.client().await?;
    client.execute(sql::commits_setup).await?;
    let (mut commits, begun) = (0_u32, Instant::now());
    while begun.elapsed() < time {
        sqlx::query(sql::commits_postgres).bind(i64::from(commits)).execute(&mut client).await?;
        commits += 1;
    }
    Ok(f64::from(commits) / begun.elapsed().as_secs_f64())
}

/// The same on SQLite, in the file `path`.
pub(crate) async fn sqlite_commits(path: &Path, time: Duration) -> anyhow::Result<f64> {
    on_sqlite(path, move |client| {
        client.execute_batch(sql::commits_setup)?;
        let (mut commits, begun) = (0_u32, Instant::now());
        while begun.elapsed() < time {
            client.prepare_cached(sql::commits_sqlite)?.execute([commits])?;
            commits += 1;
        }
        Ok(f64::from(commits) / begun.elapsed().as_secs_f64())
    })
    .await
}
