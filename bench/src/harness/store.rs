//! What a scenario asks of either store beyond the ports.

use anyhow::Context as _;
use std::future::Future;
use std::path::PathBuf;
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{AppStore, DispatchStore, KvStore, OutboxStore, TriggerStore, WakeHandle};

/// A store as the daemon opens it, with the daemon's own defaults.
pub trait Store: DispatchStore + OutboxStore + AppStore + TriggerStore + KvStore + Sized {
    /// Where it is.
    type Place: Clone + Send + Sync + 'static;

    /// Opens it and brings its schema up to date.
    fn open(place: Self::Place) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Passes on what other processes notify of, for ever.
    fn listen(&self, wake: WakeHandle) -> impl Future<Output = ()> + Send;

    /// Finishes what was begun.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

impl Store for PgStore {
    type Place = String;

    async fn open(url: String) -> anyhow::Result<Self> {
        let store = Self::new(&url, &PgOptions::default())?;
        store.migrate().await.context("the schema of Postgres")?;
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

    /// One process has the file: there is nobody to hear of.
    async fn listen(&self, _: WakeHandle) {
        std::future::pending().await
    }

    async fn close(&self) {
        self.close().await;
    }
}
