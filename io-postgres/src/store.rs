//! The pool, and the schema.

use crate::inline_claim::OutboxWriter;
use crate::mutations::Mutations;
use crate::notify::Notifier;
use crate::pool::{Pool, Pooled};
use crate::{error, sql};
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::StoreError;

/// The store on a Postgres database.
#[derive(Clone, Debug)]
pub struct PgStore {
    pub(crate) pool: Pool,
    pub(crate) connect: PgConnectOptions,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) writer: OutboxWriter,
    pub(crate) mutations: Mutations,
}

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgOptions {
    /// Connections at the most, beyond the one that listens.
    pub connections_max: u32,
    /// How long a call waits for a connection before it fails.
    pub acquire_timeout: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self { connections_max: 16, acquire_timeout: Duration::from_secs(5) }
    }
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The connection string does not parse.
    #[error("the Postgres URL is not valid: {0}")]
    Url(#[source] sqlx::Error),
    /// No connection.
    #[error("Postgres cannot be reached: {0}")]
    Connect(#[source] sqlx::Error),
    /// The schema is of a newer Tidegate.
    #[error("the database was migrated by a newer Tidegate (to version {0}); use that one")]
    Newer(i64),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date, nothing was changed: {0}")]
    Migrate(#[source] MigrateError),
}

impl PgStore {
    /// A store that connects when it is first used.
    pub fn new(url: &str, options: &PgOptions) -> Result<Self, PgError> {
        let mut connect = PgConnectOptions::from_str(url).map_err(PgError::Url)?;
        if connect.get_application_name().is_none() {
            connect = connect.application_name("tidegate");
        }
        let connect = connect.options([
            // Nobody needs to hear that a table exists already.
            ("client_min_messages", "warning"),
            // The functions rely on it: each statement sees what was committed before it began.
            ("default_transaction_isolation", "read committed"),
        ]);
        let pool = Pool::new(connect.clone(), options.connections_max.max(1), options.acquire_timeout);
        let notifier = Arc::new(Notifier::new(pool.clone()));
        let writer = OutboxWriter::new(pool.clone(), Arc::clone(&notifier));
        let mutations = Mutations::new(writer.clone());
        Ok(Self { pool, connect, notifier, writer, mutations })
    }

    /// Brings the schema up to date. It may be called by many daemons at once: one of them does it, the others wait.
    pub async fn migrate(&self) -> Result<(), PgError> {
        // The table of applied migrations goes where the path begins.
        let connect = self.connect.clone().options([("search_path", "tidegate")]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(connect).await.map_err(PgError::Connect)?;
        let result = migrate(&pool).await;
        pool.close().await;
        result
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let result = sqlx::query(sql::ping).execute(&mut *connection).await;
        connection.finish(result).map(drop).map_err(error::store)
    }

    /// A connection of the pool. Where there is none, nothing was sent to anybody, and the error says so.
    pub(crate) async fn connection(&self) -> Result<Pooled, StoreError> {
        self.pool.acquire().await.map_err(error::unreachable)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn migrate(pool: &PgPool) -> Result<(), PgError> {
    // Two that make the schema at the same moment: one of them fails, and finds it there at the second try.
    if pool.execute(sql::schema_make).await.is_err() {
        pool.execute(sql::schema_make).await.map_err(PgError::Connect)?;
    }
    sqlx::migrate!("../migrations/postgres").run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => PgError::Newer(version),
        other => PgError::Migrate(other),
    })
}
