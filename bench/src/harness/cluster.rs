//! The throw-away Postgres server of a run. It is removed with this process.

use crate::sql;
use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::{PgCluster, PgOptions};

/// A server with the defaults of Postgres, except for [`SETTINGS`].
#[derive(Debug)]
pub struct Cluster {
    cluster: PgCluster,
    database_count: AtomicU32,
}

/// A database for one repeat of a scenario.
#[derive(Clone, Debug)]
pub struct Database {
    /// The URL for clients.
    pub url: String,
    name: String,
}

/// The settings that differ from the defaults of Postgres, and the defaults that make commits
/// durable. Each report shows them.
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
    /// Creates and starts a server.
    pub async fn start() -> anyhow::Result<Self> {
        let settings = SETTINGS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let options = PgOptions {
            max_connections: CONNECTIONS_MAX,
            shared_buffers_mb: SHARED_BUFFERS_MB,
            settings,
            ..PgOptions::default()
        };
        let cluster = tokio::task::spawn_blocking(move || PgCluster::create(&options)).await??;
        Ok(Self { cluster, database_count: AtomicU32::new(0) })
    }

    /// The version of the server as text.
    #[must_use]
    pub fn version(&self) -> String {
        self.cluster.version()
    }

    /// The process of the server, the parent of all its other processes.
    pub async fn process_id(&self) -> anyhow::Result<u32> {
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        let backend: i32 = sqlx::query_scalar(sql::backend_process).fetch_one(&mut connection).await?;
        crate::process::parent(u32::try_from(backend)?)
    }

    /// The URL of a user that may create databases.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// Creates an empty database.
    pub async fn database(&self) -> anyhow::Result<Database> {
        let name = format!("bench_{}", self.database_count.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        connection.execute(AssertSqlSafe(format!("create database {name}"))).await?;
        Ok(Database { url: self.cluster.url_of(&name), name })
    }

    /// Drops a database, so that its files and vacuums do not slow down the next repeat.
    pub async fn remove(&self, database: Database) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        let remove = AssertSqlSafe(format!("drop database {} with (force)", database.name));
        connection.execute(remove).await.context("the database of a repeat was not dropped")?;
        Ok(())
    }
}

impl Database {
    /// Opens a connection with default options.
    pub async fn client(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.url).await.context("no connection to the database of a repeat")
    }

    /// Runs a vacuum, an analyze and a checkpoint. Every measurement begins after it.
    pub async fn vacuum_and_checkpoint(&self) -> anyhow::Result<()> {
        let mut client = self.client().await?;
        // A vacuum cannot share a message with other statements.
        for statement in sql::vacuum_and_checkpoint.lines().filter(|line| !line.starts_with("--")) {
            client.execute(statement).await?;
        }
        Ok(())
    }

    /// The number of rows in the outbox.
    pub async fn outbox_count(&self) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(sql::outbox_count).fetch_one(&mut self.client().await?).await?)
    }
}
