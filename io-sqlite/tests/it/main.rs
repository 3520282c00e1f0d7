//! Tests of the store on SQLite: the conformance suite, and tests of the guarantees that only this
//! store gives.

#![expect(clippy::disallowed_methods, reason = "tests read their settings from the environment")]

mod app;
mod clock;
mod docs;
mod grouping;
mod invalid_triggers;
mod opening;
mod patterns;
mod random;
mod schema;

use std::path::PathBuf;
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
    let (store, _, directory) = fresh_file().await;
    Fresh { store, _directory: directory }
}

/// A store, the path of its file, and the directory of the file.
async fn fresh_file() -> (Arc<SqliteStore>, PathBuf, TempDir) {
    let directory = TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("tidegate.db");
    let store = SqliteStore::open(path.clone(), SqliteOptions::default()).await.expect("a new file opens");
    (Arc::new(store), path, directory)
}

tidegate_io_conformance::conformance!(fresh().await);
