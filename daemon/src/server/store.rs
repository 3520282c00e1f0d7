//! The requirements of the daemon on a store, beyond the ports.

use super::config::ServerConfig;
use crate::services::Health;
use crate::services::Ports;
use async_trait::async_trait;
use std::future::Future;
use std::path::PathBuf;
use tidegate_core::{StoreError, StoreErrorKind};
use tidegate_io_postgres::{PgError, PgStore};
use tidegate_io_sqlite::{OpenError, SqliteOptions, SqliteStore};
use tidegate_ports::{DispatchStore, WakeHandle};

/// A store with all ports, which can be opened and closed.
pub(super) trait Store: DispatchStore + Ports + Health + Sized {
    /// The part of the store's URL that opens it.
    type Url: Clone + Send + Sync;

    /// Connects, brings the schema up to date, and ends the claims of a dead daemon with the name
    /// `daemon`.
    fn open(
        url: &Self::Url,
        config: &ServerConfig,
        daemon: &str,
    ) -> impl Future<Output = Result<Self, OpenFailure>> + Send;

    /// Passes wake-ups from other processes on to `wake`. Never returns.
    fn listen(&self, wake: WakeHandle) -> impl Future<Output = ()> + Send;

    /// Finishes pending writes and closes the store.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The message about a store that did not open.
pub(super) enum OpenFailure {
    /// The store may open later.
    Temporary(StoreError),
    /// The store will not open without an operator.
    Permanent(String),
}

impl From<PgError> for OpenFailure {
    fn from(error: PgError) -> Self {
        match error {
            PgError::Unavailable(error) => Self::Temporary(error),
            other => Self::Permanent(other.to_string()),
        }
    }
}

impl Store for SqliteStore {
    type Url = PathBuf;

    /// Only one process can open the file, so all claims in it are those of dead daemons.
    async fn open(path: &PathBuf, _: &ServerConfig, _: &str) -> Result<Self, OpenFailure> {
        // Only one failure is temporary: in a rolling restart, the daemon that has the file open is
        // about to end.
        Self::open(path, SqliteOptions::default()).await.map_err(|error| match error {
            OpenError::InUse { .. } => {
                OpenFailure::Temporary(StoreError::not_applied(StoreErrorKind::Unavailable, error.to_string()))
            }
            other => OpenFailure::Permanent(other.to_string()),
        })
    }

    async fn listen(&self, _: WakeHandle) {
        // No other process writes to the file.
        std::future::pending().await
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Health for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Self::ping(self).await
    }
}

impl Store for PgStore {
    type Url = String;

    async fn open(url: &String, config: &ServerConfig, daemon: &str) -> Result<Self, OpenFailure> {
        let store = Self::new(url, &config.postgres).map_err(OpenFailure::from)?;
        store.check_connection().await?;
        if config.migrates {
            store.migrate().await?;
        } else {
            store.check_schema().await?;
        }
        store.enter(daemon).await?;
        Ok(store)
    }

    async fn listen(&self, wake: WakeHandle) {
        Self::listen(self, wake).await;
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Health for PgStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Self::ping(self).await
    }
}
