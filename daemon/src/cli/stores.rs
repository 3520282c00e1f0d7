//! Stores that commands open themselves, without a daemon.

use crate::server::StoreUrl;
use tidegate_core::{DiscoverReply, Reply, Request, StoreError, StoreErrorKind, Timestamp};
use tidegate_io_postgres::{PgError, PgOptions, PgStore};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::DispatchStore;

/// Brings the schema up to date, as a daemon does at its start.
pub(super) async fn migrate(url: &StoreUrl, options: &PgOptions) -> Result<(), StoreError> {
    match url {
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path, SqliteOptions::default()).await.map_err(unavailable)?;
            store.close().await;
            Ok(())
        }
        StoreUrl::Postgres(url) => {
            let store = PgStore::new(url, options).map_err(postgres)?;
            let result = store.migrate().await.map_err(postgres);
            store.close().await;
            result
        }
    }
}

/// The SQL of the migrations that a database lacks.
pub(super) async fn migration_sql(url: &str, options: &PgOptions) -> Result<String, StoreError> {
    let store = PgStore::new(url, options).map_err(postgres)?;
    store.migration_sql().await.map_err(postgres)
}

/// Makes the first request of a dispatcher, and returns the time of the store's clock. A schema
/// that this program does not support is [`StoreErrorKind::Refused`].
pub(super) async fn discover(url: &StoreUrl, options: &PgOptions) -> Result<Timestamp, StoreError> {
    let reply = match url {
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path, SqliteOptions::default()).await.map_err(unavailable)?;
            let reply = store.call(Request::Discover).await;
            store.close().await;
            reply
        }
        StoreUrl::Postgres(url) => {
            let store = PgStore::new(url, options).map_err(postgres)?;
            let reply = async {
                store.check_connection().await.map_err(postgres)?;
                store.ping().await?;
                store.check_schema().await.map_err(schema)?;
                store.call(Request::Discover).await
            };
            let reply = reply.await;
            store.close().await;
            reply
        }
    };
    match reply? {
        Reply::Discover(DiscoverReply { now, .. }) => Ok(now),
        _ => Err(StoreError::not_applied(StoreErrorKind::Refused, "the store answered a discovery with another reply")),
    }
}

fn postgres(error: PgError) -> StoreError {
    match error {
        PgError::Unavailable(error) => error,
        PgError::Refused(error) => StoreError { kind: StoreErrorKind::Unavailable, ..error },
        other => unavailable(other),
    }
}

/// An error of the schema, on a server that answers.
fn schema(error: PgError) -> StoreError {
    match error {
        PgError::Unavailable(error) | PgError::Refused(error) => StoreError { kind: StoreErrorKind::Refused, ..error },
        other => StoreError::not_applied(StoreErrorKind::Refused, other.to_string()),
    }
}

fn unavailable(error: impl ToString) -> StoreError {
    StoreError::not_applied(StoreErrorKind::Unavailable, error.to_string())
}
