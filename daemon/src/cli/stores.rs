//! Stores that commands open themselves, without a daemon.

use crate::server::StoreUrl;
use tidegate_core::{DiscoverReply, Reply, Request, StoreError, StoreErrorKind, Timestamp};
use tidegate_io_postgres::{PgError, PgOptions, PgStore};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{DispatchStore, InvalidTrigger, TriggerStore};

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

/// Makes the first request of a dispatcher. Returns the time of the store's clock, and a line for
/// each trigger that cannot be read. A schema that this program does not support is
/// [`StoreErrorKind::Refused`].
pub(super) async fn discover(url: &StoreUrl, options: &PgOptions) -> Result<(Timestamp, Vec<String>), StoreError> {
    let (reply, invalid) = match url {
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path, SqliteOptions::default()).await.map_err(unavailable)?;
            let found = (store.call(Request::Discover).await, store.invalid().await);
            store.close().await;
            found
        }
        StoreUrl::Postgres(url) => {
            let store = PgStore::new(url, options).map_err(postgres)?;
            let reply = async {
                store.check_connection().await.map_err(postgres)?;
                store.ping().await?;
                store.check_schema().await.map_err(schema)?;
                store.call(Request::Discover).await
            };
            let found = (reply.await, store.invalid().await);
            store.close().await;
            found
        }
    };
    // A request that fails is reported by the reply to the discovery.
    let line = |one: &InvalidTrigger| format!("{}/{}: {}", one.app, one.name, one.reason);
    let invalid = invalid.unwrap_or_default().iter().map(line).collect();
    match reply? {
        Reply::Discover(DiscoverReply { now, .. }) => Ok((now, invalid)),
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
