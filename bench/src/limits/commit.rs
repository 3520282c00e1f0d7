//! The rate of single commits: one connection inserts one row and commits, in a loop. It is the
//! limit for durable requests that share no commit.

use super::sqlite_exchange::on_sqlite;
use crate::harness::Database;
use crate::sql;
use sqlx::Executor as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Commits per second on Postgres, measured for `time`.
pub(crate) async fn postgres_commits(database: &Database, time: Duration) -> anyhow::Result<f64> {
    let mut client = database.client().await?;
    client.execute(sql::commits_setup).await?;
    let (mut commits, started_at) = (0_u32, Instant::now());
    while started_at.elapsed() < time {
        sqlx::query(sql::commits_postgres).bind(i64::from(commits)).execute(&mut client).await?;
        commits += 1;
    }
    Ok(f64::from(commits) / started_at.elapsed().as_secs_f64())
}

/// Commits per second on SQLite in the file `path`, measured for `time`.
pub(crate) async fn sqlite_commits(path: &Path, time: Duration) -> anyhow::Result<f64> {
    on_sqlite(path, move |client| {
        client.execute_batch(sql::commits_setup)?;
        let (mut commits, started_at) = (0_u32, Instant::now());
        while started_at.elapsed() < time {
            client.prepare_cached(sql::commits_sqlite)?.execute([commits])?;
            commits += 1;
        }
        Ok(f64::from(commits) / started_at.elapsed().as_secs_f64())
    })
    .await
}
