//! Tests of the store on SQLite: the conformance suite, and tests of the guarantees that only this
//! store gives.

#![expect(clippy::disallowed_methods, reason = "tests read their settings from the environment")]

mod app;
mod clock;
mod grouping;
mod opening;
mod patterns;
mod random;
mod schema;

use std::sync::Arc;
use tempfile::TempDir;
use tidegate_io_conformance::World;
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};

/// A store on a file of its own.
struct Fresh {
    store: Arc<SqliteStore>,
    _directory: TempDir,
}

impl World for Fresh {
    type Store = SqliteStore;

    fn store(&self) -> Arc<SqliteStore> {
        Arc::clone(&self.store)
    }

    async fn close(self) {
        self.store.close().await;
    }
}

async fn fresh() -> Fresh {
    let directory = TempDir::new().expect("a temporary directory is created");
    let store = SqliteStore::open(directory.path().join("tidegate.db"), SqliteOptions::default()).await;
    Fresh { store: Arc::new(store.expect("a new file opens")), _directory: directory }
}

tidegate_io_conformance::conformance!(fresh().await);
