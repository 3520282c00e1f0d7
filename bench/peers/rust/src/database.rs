//! A new database for each run, and a check that the commits of the server are durable.

use anyhow::{Context as _, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use std::str::FromStr as _;

const DATABASE: &str = "tidegate_peer_rust";

/// Creates an empty database and returns the options to connect to it.
pub async fn fresh(server: &str) -> anyhow::Result<PgConnectOptions> {
    drop_again(server).await?;
    as_administrator(server, &format!("create database {DATABASE}")).await?;
    Ok(PgConnectOptions::from_str(server)?.database(DATABASE))
}

pub async fn drop_again(server: &str) -> anyhow::Result<()> {
    as_administrator(server, &format!("drop database if exists {DATABASE} with (force)")).await
}

/// Fails unless commits wait for the disk. Without that, the queues would not do the same work.
pub async fn demand_durability(client: &mut PgConnection) -> anyhow::Result<()> {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut *client).await?;
        ensure!(value == "on", "the server has {setting} = {value}; it must be on");
    }
    Ok(())
}

pub async fn count(client: &mut PgConnection, statement: &'static str) -> anyhow::Result<u64> {
    let count: i64 = sqlx::query_scalar(statement).fetch_one(client).await?;
    Ok(u64::try_from(count)?)
}

async fn as_administrator(server: &str, statement: &str) -> anyhow::Result<()> {
    let mut client = PgConnection::connect(server).await.context("no connection to the server")?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut client).await?;
    client.close().await?;
    Ok(())
}
