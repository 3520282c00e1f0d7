//! Stores that commands open themselves, without a daemon.

use crate::server::StoreUrl;
use tidegate_core::{DiscoverReply, Reply, Request, StoreError, StoreErrorKind, Timestamp};
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::DispatchStore;

/// Brings the schema up to date, as a daemon does at its start.
pub(super) async fn migrate(url: &StoreUrl) -> Result<(), StoreError> {
    match url {
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path, SqliteOptions::default()).await.map_err(unavailable)?;
            store.close().await;
            Ok(())
        }
        StoreUrl::Postgres(url) => {
            let store = PgStore::new(url, &PgOptions::default()).map_err(unavailable)?;
            let result = store.migrate().await.map_err(unavailable);
            store.close().await;
            result
        }
    }
}

/// Makes the first request of a dispatcher, and returns the time of the store's clock. A schema
/// that this program does not support is [`StoreErrorKind::Refused`].
pub(super) async fn discover(url: &StoreUrl) -> Result<Timestamp, StoreError> {
    let reply = match url {
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path, SqliteOptions::default()).await.map_err(unavailable)?;
            let reply = store.call(Request::Discover).await;
            store.close().await;
            reply
        }
        StoreUrl::Postgres(url) => {
            let store = PgStore::new(url, &PgOptions::default()).map_err(unavailable)?;
            let reply = store.call(Request::Discover).await;
            store.close().await;
            reply
        }
    };
    match reply? {
        Reply::Discover(DiscoverReply { now, .. }) => Ok(now),
        _ => Err(StoreError::not_applied(StoreErrorKind::Refused, "the store answered a discovery with another reply")),
    }
}

fn unavailable(error: impl ToString) -> StoreError {
    StoreError::not_applied(StoreErrorKind::Unavailable, error.to_string())
}
