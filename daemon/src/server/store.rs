//! Which store, and what the daemon asks of it beyond the ports.

use crate::services::Health;
use crate::services::Ports;
use async_trait::async_trait;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_core::StoreError;
use tidegate_io_postgres::{PgError, PgOptions, PgStore};
use tidegate_io_sqlite::{OpenError, SqliteOptions, SqliteStore};
use tidegate_ports::{DispatchStore, WakeHandle};

/// Every port, and a life.
pub(super) trait Store: DispatchStore + Ports + Health + Sized {
    /// What it is opened by.
    type Url: Clone + Send + Sync;

    /// Connects and brings the schema up to date.
    fn open(url: &Self::Url) -> impl Future<Output = Result<Self, CannotOpen>> + Send;

    /// Passes on what other processes notify of, for ever.
    fn listen(&self, wake: WakeHandle) -> impl Future<Output = ()> + Send;

    /// Finishes what was begun.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Why a store did not open, for people.
pub(super) enum CannotOpen {
    /// It may open later.
    Now(String),
    /// Waiting does not help.
    Ever(String),
}

impl Store for SqliteStore {
    type Url = PathBuf;

    async fn open(path: &PathBuf) -> Result<Self, CannotOpen> {
        // Waiting helps against one thing: the daemon that has the file may be about to end, as in a rolling restart.
        Self::open(path, SqliteOptions::default()).await.map_err(|error| match error {
            OpenError::InUse { .. } => CannotOpen::Now(error.to_string()),
            other => CannotOpen::Ever(other.to_string()),
        })
    }

    async fn listen(&self, _: WakeHandle) {
        // The file has one process, and that one wakes itself.
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

/// How long Postgres may take to answer the first question.
const CONNECT_MAX: Duration = Duration::from_secs(2);

impl Store for PgStore {
    type Url = String;

    async fn open(url: &String) -> Result<Self, CannotOpen> {
        let classify = |error: PgError| match error {
            PgError::Url(_) | PgError::Newer(_) => CannotOpen::Ever(error.to_string()),
            other => CannotOpen::Now(other.to_string()),
        };
        let store = Self::new(url, &PgOptions::default()).map_err(classify)?;
        // A pool tries to connect for far longer than an operator wants to wait for the first word.
        match tokio::time::timeout(CONNECT_MAX, Self::ping(&store)).await {
            Ok(answer) => answer.map_err(|error| CannotOpen::Now(error.to_string()))?,
            Err(_) => {
                return Err(CannotOpen::Now(format!("Postgres does not answer within {} s", CONNECT_MAX.as_secs())));
            }
        }
        store.migrate().await.map_err(classify)?;
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
