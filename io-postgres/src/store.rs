//! The store: its options and its connections.

use crate::error;
use crate::inline_claim::OutboxWriter;
use crate::mutations::Mutations;
use crate::notify::Notifier;
use crate::pool::{Pool, Pooled};
use crate::presence::Presence;
use crate::sql;
use sqlx::Row;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{StoreError, StoreErrorKind};

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
    /// How long a call may take, with the wait for a connection. Then the connection is dropped.
    pub call_timeout: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self { connections_max: 16, call_timeout: Duration::from_secs(5) }
    }
}

/// The store cannot be opened or migrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The connection string does not parse.
    #[error("the Postgres URL is not valid: {0}")]
    Url(#[source] sqlx::Error),
    /// The server does not answer now. A later try may succeed.
    #[error("{}", .0.report())]
    Unavailable(StoreError),
    /// The server refuses the role, the password or the database, or does not fit. A later try
    /// fails too.
    #[error("{}", .0.report())]
    Refused(StoreError),
    /// The schema belongs to a newer version of Tidegate.
    #[error("the database was migrated by a newer Tidegate (to version {0}); nothing was changed; use that version")]
    Newer(i64),
    /// A migration failed and was rolled back.
    #[error("the schema could not be migrated; nothing was changed: {0}")]
    Migrate(String),
}

impl PgError {
    /// Whether waiting does not help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for PgError {
    fn from(error: sqlx::Error) -> Self {
        let variant = if error::is_final(&error) { Self::Refused } else { Self::Unavailable };
        variant(error::store(error))
    }
}

impl PgStore {
    /// Creates a store. It opens its first connection at the first call.
    pub fn new(url: &str, options: &PgOptions) -> Result<Self, PgError> {
        let mut connect = PgConnectOptions::from_str(url).map_err(PgError::Url)?;
        if connect.get_application_name().is_none() {
            connect = connect.application_name("tidegate");
        }
        // A proxy may refuse start-up parameters. The session sets them later.
        let connect = connect.extra_float_digits(None);
        let pool = Pool::new(connect.clone(), options.connections_max.max(1), options.call_timeout);
        let notifier = Arc::new(Notifier::new(pool.clone()));
        let writer = OutboxWriter::new(pool.clone(), Arc::clone(&notifier));
        let mutations = Mutations::new(writer.clone());
        Ok(Self { pool, connect, notifier, writer, mutations, presence: Arc::default() })
    }

    /// Opens a connection. The error says whether a later try may succeed.
    pub async fn check_connection(&self) -> Result<(), PgError> {
        self.pool.acquire().await.map(drop).map_err(PgError::from)
    }

    /// Checks that the server answers and allows writes, that no call is overdue, and that the last
    /// write was not refused.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.pool.is_overdue() {
            return Err(StoreError::unknown("Postgres does not answer calls"));
        }
        self.pool.read(self.ping_once()).await?;
        self.pool.refusal().map_or(Ok(()), Err)
    }

    async fn ping_once(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(sql::ping).fetch_one(&mut *connection).await;
        let reason = connection
            .finish(row)
            .and_then(|row| row.try_get::<Option<&str>, _>("read_only").map(|reason| reason.map(str::to_owned)));
        match reason.map_err(error::store)? {
            None => Ok(()),
            Some(reason) => {
                Err(StoreError::not_applied(StoreErrorKind::Unavailable, error::READ_ONLY).with_detail(reason))
            }
        }
    }

    /// Takes a connection from the pool, for a call that `read` or `write` of the pool runs. An
    /// error means that nothing was sent.
    pub(crate) async fn connection(&self) -> Result<Pooled, StoreError> {
        debug_assert!(self.pool.has_call_in_flight(), "a call without a deadline");
        self.pool.acquire().await.map_err(error::unreachable)
    }

    /// Waits for the calls in flight, then closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
