//! The store: its connections, and the migration of its schema.

use crate::inline_claim::OutboxWriter;
use crate::mutations::Mutations;
use crate::notify::Notifier;
use crate::pool::{Pool, Pooled};
use crate::presence::Presence;
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
    pub(crate) presence: Arc<Presence>,
}

/// Options of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgOptions {
    /// The most connections. The store opens one more, which listens to notifications.
    pub connections_max: u32,
    /// How long a call waits for a connection before it fails.
    pub acquire_timeout: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self { connections_max: 16, acquire_timeout: Duration::from_secs(5) }
    }
}

/// The store cannot be opened or migrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The connection string does not parse.
    #[error("the Postgres URL is not valid: {0}")]
    Url(#[source] sqlx::Error),
    /// The server refused the connection or did not answer.
    #[error("Postgres cannot be reached: {0}")]
    Connect(#[source] sqlx::Error),
    /// The schema belongs to a newer version of Tidegate.
    #[error("the database was migrated by a newer Tidegate (to version {0}); nothing was changed; use that version")]
    Newer(i64),
    /// A migration failed and was rolled back.
    #[error("the schema could not be migrated; nothing was changed: {0}")]
    Migrate(#[source] MigrateError),
}

impl PgStore {
    /// Creates a store. It opens its first connection at the first call.
    pub fn new(url: &str, options: &PgOptions) -> Result<Self, PgError> {
        let mut connect = PgConnectOptions::from_str(url).map_err(PgError::Url)?;
        if connect.get_application_name().is_none() {
            connect = connect.application_name("tidegate");
        }
        let connect = connect.options([
            // Hides notices, such as the notice that the schema already exists.
            ("client_min_messages", "warning"),
            // The SQL functions rely on this level: each statement sees all that was committed
            // before it began.
            ("default_transaction_isolation", "read committed"),
        ]);
        let pool = Pool::new(connect.clone(), options.connections_max.max(1), options.acquire_timeout);
        let notifier = Arc::new(Notifier::new(pool.clone()));
        let writer = OutboxWriter::new(pool.clone(), Arc::clone(&notifier));
        let mutations = Mutations::new(writer.clone());
        Ok(Self { pool, connect, notifier, writer, mutations, presence: Arc::default() })
    }

    /// Applies the missing migrations. If several daemons call it at once, one applies them and the
    /// others wait.
    pub async fn migrate(&self) -> Result<(), PgError> {
        // sqlx creates the table of applied migrations in the first schema of the search path.
        let connect = self.connect.clone().options([("search_path", "tidegate")]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(connect).await.map_err(PgError::Connect)?;
        let result = migrate(&pool).await;
        pool.close().await;
        result
    }

    /// Checks that the server answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let result = sqlx::query(sql::ping).execute(&mut *connection).await;
        connection.finish(result).map(drop).map_err(error::store)
    }

    /// Takes a connection from the pool. An error means that nothing was sent.
    pub(crate) async fn connection(&self) -> Result<Pooled, StoreError> {
        self.pool.acquire().await.map_err(error::unreachable)
    }

    /// Waits for the calls in flight, then closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn migrate(pool: &PgPool) -> Result<(), PgError> {
    // If two daemons create the schema at once, one of them fails. Its second try finds the schema.
    if pool.execute(sql::schema_make).await.is_err() {
        pool.execute(sql::schema_make).await.map_err(PgError::Connect)?;
    }
    sqlx::migrate!("../migrations/postgres").run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => PgError::Newer(version),
        other => PgError::Migrate(other),
    })
}
