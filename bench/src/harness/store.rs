//! The operations of a store that scenarios need beyond the ports.

use anyhow::Context as _;
use std::future::Future;
use std::path::PathBuf;
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{AppStore, DispatchStore, KvStore, OutboxStore, TriggerStore, WakeHandle};

/// A store with the default settings of the daemon.
pub trait Store: DispatchStore + OutboxStore + AppStore + TriggerStore + KvStore + Sized {
    /// The URL or the path of the store.
    type Place: Clone + Send + Sync + 'static;

    /// Opens the store and migrates its schema.
    fn open(place: Self::Place) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Passes notifications of other processes to `wake`. It never returns.
    fn listen(&self, wake: WakeHandle) -> impl Future<Output = ()> + Send;

    /// Finishes all requests and closes the store.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

impl Store for PgStore {
    type Place = String;

    async fn open(url: String) -> anyhow::Result<Self> {
        let store = Self::new(&url, &PgOptions::default())?;
        store.migrate().await.context("the schema of Postgres was not migrated")?;
        Ok(store)
    }

    async fn listen(&self, wake: WakeHandle) {
        self.listen(wake).await;
    }

    async fn close(&self) {
        self.close().await;
    }
}

impl Store for SqliteStore {
    type Place = PathBuf;

    async fn open(path: PathBuf) -> anyhow::Result<Self> {
        Ok(Self::open(path, SqliteOptions::default()).await?)
    }

    /// Only one process opens the file, so that there are no notifications.
    async fn listen(&self, _: WakeHandle) {
        std::future::pending().await
    }

    async fn close(&self) {
        self.close().await;
    }
}
