//! The Postgres that everything on Postgres is measured on: a server of our own, gone with this process.

use crate::sql;
use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::{PgCluster, PgOptions};

/// The server, with Postgres's defaults but for [`SETTINGS`].
#[derive(Debug)]
pub struct Cluster {
    cluster: PgCluster,
    made: AtomicU32,
}

/// A database of its own for one run.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where clients connect.
    pub url: String,
    name: String,
}

/// How the server differs from Postgres's defaults, and what it keeps of them for safety's sake; shown in each report.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
];
const SHARED_BUFFERS_MB: u32 = 512;
const CONNECTIONS_MAX: u32 = 200;

impl Cluster {
    /// Makes and starts it.
    pub async fn start() -> anyhow::Result<Self> {
        let settings = SETTINGS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let options = PgOptions { max_connections: CONNECTIONS_MAX, shared_buffers_mb: SHARED_BUFFERS_MB, settings };
        let cluster = tokio::task::spawn_blocking(move || PgCluster::create(&options)).await??;
        Ok(Self { cluster, made: AtomicU32::new(0) })
    }

    /// The server's version, for people.
    #[must_use]
    pub fn version(&self) -> String {
        self.cluster.version()
    }

    /// Where somebody connects who makes databases of his own.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// A new, empty database.
    pub async fn database(&self) -> anyhow::Result<Database> {
        let name = format!("bench_{}", self.made.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        connection.execute(AssertSqlSafe(format!("create database {name}"))).await?;
        Ok(Database { url: self.cluster.url_of(&name), name })
    }

    /// Removes it, so that its files and its vacuums do not weigh on the next run.
    pub async fn remove(&self, database: Database) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        let remove = AssertSqlSafe(format!("drop database {} with (force)", database.name));
        connection.execute(remove).await.context("the database of a run cannot be removed")?;
        Ok(())
    }
}

impl Database {
    /// A connection as any client has it.
    pub async fn client(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.url).await.context("the database of a run cannot be reached")
    }

    /// Vacuums, analyzes and writes a checkpoint: what every run begins after.
    pub async fn settle_down(&self) -> anyhow::Result<()> {
        let mut client = self.client().await?;
        // Statement by statement: a vacuum refuses to be one of several in a message.
        for statement in sql::settle_down.lines().filter(|line| !line.starts_with("--")) {
            client.execute(statement).await?;
        }
        Ok(())
    }

    /// Rows in the outbox.
    pub async fn outbox_count(&self) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(sql::outbox_count).fetch_one(&mut self.client().await?).await?)
    }
}
